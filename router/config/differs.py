"""What two configurations say differently, by the names in them: for who reloads, and wonders what that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from router.config.settings import Settings

#: By key of routes.yaml and the names below it, what stands there; comparable.
Written: TypeAlias = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differs:
    """The names below one key that are new, say something else, or are not there any more."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    #: Those that both have are in another order.
    moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone or self.moved)


def written(settings: Settings) -> Written:
    """What decides where calls come in and who gets them. Sinks are not in it: whether those are alike they say."""
    return {
        "sources": settings.sources,
        "words": settings.words,
        "always": dict.fromkeys(settings.always),
        "never": {rule.name: rule for rule in settings.never},
        "routes": {rule.name: rule for rule in settings.routes},
        "otherwise": dict.fromkeys(settings.otherwise),
    }


def differs(old: Written, new: Written) -> dict[str, Differs]:
    """By key, where there is a difference."""
    found = {key: _differs(old[key], new[key], ordered=key == "routes") for key in new}
    return {key: one for key, one in found.items() if one}


def _differs(old: Mapping[str, object], new: Mapping[str, object], *, ordered: bool) -> Differs:
    """`ordered`: their order decides something."""
    return Differs(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
        gone=tuple(name for name in old if name not in new),
        moved=ordered and [name for name in old if name in new] != [name for name in new if name in old],
    )
