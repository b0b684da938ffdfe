"""Finding plugins: the built-in kinds, entry points of installed packages, local files. At start-up only."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import pluggy

from router import hookspecs
from router.about import NAME
from router.errors import PluginError
from router.sink import SinkConfig

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

#: Names of entry points that are not loaded, separated by commas.
DISABLE = f"{NAME.upper()}_DISABLE_PLUGINS"


@dataclass(frozen=True, slots=True)
class Kind:
    """One installed kind of sink, and where it came from."""

    name: str
    config: type[SinkConfig]
    origin: str

    @property
    def description(self) -> str:
        """The first line of the configuration's docstring."""
        return (self.config.__doc__ or "").strip().partition("\n")[0]


def load_kinds(files: Sequence[Path] = (), environ: Mapping[str, str] = os.environ) -> dict[str, Kind]:
    """Every kind of sink, by name. Raises `PluginError` naming the plugin: half a router is worse than none."""
    manager = pluggy.PluginManager(NAME)
    manager.add_hookspecs(hookspecs)
    for origin, module in [*_built_in(), *_installed(environ), *_local(files)]:
        try:
            manager.register(module, origin)
        except (ValueError, pluggy.PluginValidationError) as error:
            message = f"plugin {origin}: {error}"
            raise PluginError(message) from error
        if not manager.get_hookcallers(module):
            message = (
                f"plugin {origin} has no hook; mark its register_sinks with @hookimpl (from router import hookimpl)"
            )
            raise PluginError(message)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        message = f"a plugin has a hook that {NAME} does not have: {error}"
        raise PluginError(message) from error
    kinds: dict[str, Kind] = {}
    for kind in _collected(manager):
        if kind.name in kinds:
            message = f"sink kind {kind.name!r} comes from both {kinds[kind.name].origin} and {kind.origin}; remove one"
            raise PluginError(message)
        kinds[kind.name] = kind
    return kinds


def _built_in() -> Iterator[tuple[str, ModuleType]]:
    try:
        package = import_module("router.plugins")
    except ModuleNotFoundError:
        message = "the built-in sinks are not installed: this is a bare checkout; run make"
        raise PluginError(message) from None
    for found in pkgutil.iter_modules(package.__path__):
        if not found.name.startswith("_"):  # what sinks share
            yield f"built-in {found.name}", _imported(f"router.plugins.{found.name}", f"built-in {found.name}")


def _installed(environ: Mapping[str, str]) -> Iterator[tuple[str, ModuleType]]:
    disabled = {name.strip() for name in environ.get(DISABLE, "").split(",")}
    for entry in metadata.entry_points(group=NAME):
        if entry.name in disabled:
            continue
        distribution = entry.dist.name if entry.dist else "?"
        origin = f"{entry.name} of {distribution}"
        try:
            yield origin, entry.load()
        except (Exception, SystemExit) as error:
            message = f"plugin {origin} cannot be imported: {type(error).__name__}: {error}"
            raise PluginError(message) from error


def _local(files: Sequence[Path]) -> Iterator[tuple[str, ModuleType]]:
    """Not by `sys.path`: a neighbour called email.py would shadow the standard library's."""
    for number, file in enumerate(files):
        name = f"{NAME}_local.{number}.{file.stem}"  # two folders may have files of the same name
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None or not file.is_file():
            message = f"plugin {file}: no such Python file"
            raise PluginError(message)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # before it runs: dataclasses look themselves up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            message = f"plugin {file}: {type(error).__name__}: {error}"
            raise PluginError(message) from error
        yield str(file), module


def _imported(module: str, origin: str) -> ModuleType:
    try:
        return import_module(module)
    except (Exception, SystemExit) as error:
        message = f"plugin {origin} cannot be imported: {type(error).__name__}: {error}"
        raise PluginError(message) from error


def _collected(manager: pluggy.PluginManager) -> Iterator[Kind]:
    """Each hook is called by itself, so that an error names its plugin."""
    for implementation in manager.hook.register_sinks.get_hookimpls():
        origin = implementation.plugin_name
        try:
            configs: list[object] = list(implementation.function())  # type: ignore[call-overload] # pluggy says object
        except (Exception, SystemExit) as error:
            message = f"plugin {origin}: register_sinks failed: {type(error).__name__}: {error}"
            raise PluginError(message) from error
        for config in configs:
            yield _kind(config, origin)


def _kind(config: object, origin: str) -> Kind:
    if not (isinstance(config, type) and issubclass(config, SinkConfig)):
        what = config.__name__ if isinstance(config, type) else f"a {type(config).__name__}"
        message = f"plugin {origin}: register_sinks returned {what}, which is no subclass of SinkConfig"
        raise PluginError(message)
    if config.__abstractmethods__:
        message = f"plugin {origin}: {config.__name__} does not define {', '.join(sorted(config.__abstractmethods__))}"
        raise PluginError(message)
    field = config.model_fields.get("kind")
    names = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    if len(names) != 1 or not isinstance(names[0], str):
        message = f'plugin {origin}: {config.__name__} needs a field `kind: Literal["…"]` with one name'
        raise PluginError(message)
    return Kind(names[0], config, origin)
