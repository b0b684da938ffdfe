"""The command line. What it knows, it knows from routes.yaml; the rest it asks a running router.

Exit: 0 done, 1 it could not be done (the message says what, where, which value, what to do), 2 wrong usage, 3 a
comparison found differences. Heavy modules are imported where they are needed: a command should answer at once.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import time
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from router import about, acting, asking
from router.errors import AftercallError, Unreadable
from router.options import (
    ITEMS,
    config_option,
    json_option,
    known,
    known_source,
    lanes_of,
    load_config,
    print_json,
    reaching,
)

if TYPE_CHECKING:
    from router.options import Reach
    from router.remote import Remote


#: As `aftercall events` prints it.
_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=about.NAME)
def cli() -> None:
    """One URL for what the phone company says after a call: kept, routed by rules, delivered."""


for _command in (*asking.COMMANDS, *acting.COMMANDS):
    cli.add_command(_command)


def main() -> None:
    """The console script: our errors are one message and exit 1, never a traceback."""
    try:
        cli.main(prog_name=about.NAME, standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AftercallError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        said = error.strerror or type(error).__name__
        click.echo(f"{error.filename}: {said}" if error.filename else said, err=True)
        sys.exit(1)


# --- begin, check, run ---


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a commented routes.yaml, and a call to send, into FOLDER."""
    files = [folder / name for name in ("routes.yaml", "call.json")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.exists():
                message = f"{file} is there already; nothing was written"
                raise AftercallError(message)
        for file in files:
            file.write_bytes((resources.files("router") / "starter" / file.name).read_bytes())
            click.echo(f"wrote {file}")
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"cannot write into the folder {folder}: {error.strerror}; name one that you may write to"
        raise AftercallError(message) from None
    where = "" if folder == Path() else f" -c {folder / 'routes.yaml'}"
    click.echo(
        f"Next: `aftercall serve{where}`, and in a second terminal `aftercall send {folder / 'call.json'}{where}`"
    )


@cli.command()
@config_option
@click.option("--log", "form", type=click.Choice(["json", "text"]), envvar="AFTERCALL_LOG", show_envvar=True,
              help="Form of the log; left out: text on a terminal, JSON elsewhere.")  # fmt: skip
@click.option("--hold", is_flag=True, help="Take calls in, and send nothing: to look at what a backup brought back.")
def serve(*, file: Path, form: Literal["json", "text"] | None, hold: bool) -> None:
    """Run the router, until SIGTERM or Ctrl-C."""
    import os

    from router import app, failpoints, log, unending

    log.set_up(form)
    if (point := failpoints.arm(os.environ)) is not None:
        log.logger().warning("failpoint.armed", point=point)
    config = load_config(file)
    for warning in config.warnings:
        log.logger().warning("config.warned", warning=str(warning))
    unending.run(app.serve(config, hold=hold), log.logger())


@cli.command()
@config_option
@click.option("--source", help="Only this source's.")
def url(file: Path, source: str | None) -> None:
    """Print the URL to paste at the phone company, token and all: it is a secret."""
    from router.remote import local_url
    from router.tokens import tokens

    config = known(file, "server", "sources", "data")
    base = config.server.public_url
    if base is None:
        base = local_url(config.server.listen)
        click.echo("server.public_url is not set: this is the address on this machine only", err=True)
    secrets = tokens(config)
    for name in [known_source(config, source)] if source else secrets:
        click.echo(f"{base}/in/{name}/{secrets[name][0]}")


@cli.command()
@config_option
def check(file: Path) -> None:
    """Validate the configuration, and say what it does."""
    config = load_config(file)
    for warning in config.warnings:
        click.echo(f"{warning} (a warning)", err=True)
    table = config.table
    click.echo(
        f"{file}: good. {len(config.sources)} source(s), {len(config.sinks)} sink(s), {len(table.routes)} route(s), "
        f"{len(table.never)} never rule(s)"
    )


@cli.command()
@click.argument("call")
@reaching
@click.option("--source", help="As if it came in at this source; left out: the first one.")
@json_option
def explain(*, call: str, reach: Reach, source: str | None, as_json: bool) -> None:
    """Say which routes match and fire for CALL, and why; nothing is sent.

    CALL is a file with a body as it comes in, or the id of a stored event.
    """
    from datetime import UTC, datetime

    from router.event import EVENT
    from router.operations import explained, explained_event
    from router.remote import body_of

    config = load_config(reach.file)
    if Path(call).is_file():
        try:
            body = Path(call).read_bytes()
            _refuse(call, body, config.server.max_body)
            answer = explained(config, body, source, datetime.now(UTC))
        except Unreadable as error:
            message = f"{call} would be kept in quarantine: {error}"
            raise AftercallError(message) from None
    elif not _EVENT_ID.fullmatch(call):
        message = f"there is no file {call}, and that is no id of an event"
        raise AftercallError(message)
    else:
        stored = reach.router().get("events", call, shape={"event": dict}, full="1")
        event = EVENT.validate_python(stored["event"] | ({"source": source} if source else {}))
        answer = explained_event(config, event, body_of(stored))
    if as_json:
        print_json(answer)
        return
    from router.show import explanation

    click.echo(explanation(answer))


def _refuse(call: str, body: bytes, most: int) -> None:
    """What the router would not even keep. Raises `AftercallError`."""
    if not body:
        message = f"{call} is empty: the router answers 400, and keeps nothing"
        raise AftercallError(message)
    if len(body) > most:
        message = (
            f"{call} has {len(body)} bytes, the router answers 413, and keeps nothing; raise server.max_body ({most})"
        )
        raise AftercallError(message)


@cli.command()
@click.argument("call", type=click.File("rb"))
@functools.partial(reaching, url=False)
@click.option("--source", help="Post it to this source; left out: the first one.")
@click.option("--new", is_flag=True, help="Give the call a new id, so that the router does not know it yet.")
@click.option("--wait", type=float, default=10.0, show_default=True, help="Seconds to wait for its deliveries.")
@json_option
def send(*, call: Any, reach: Reach, source: str | None, new: bool, wait: float, as_json: bool) -> None:
    """Post the body in CALL ("-": standard input) to the running router, and say what became of it."""
    from router.remote import Refusal, ask, local_url
    from router.tokens import tokens

    config = known(reach.file, "admin", "server", "sources", "data")
    router = reach.router_of(config.admin)
    name = known_source(config, source)
    body = _renewed(call.read()) if new else call.read()
    url = f"{local_url(config.server.listen)}/in/{name}/{tokens(config)[name][0]}"
    try:
        status, receipt = ask("POST", url, body, {})
    except Refusal as error:
        if error.status == HTTPStatus.NOT_FOUND and (allowed := config.sources[name].allow_from):
            message = f"{error}\nsource {name!r} lets in {', '.join(map(str, allowed))} alone (allow_from), and who is not is told this"
            raise AftercallError(message) from None
        raise
    deliveries = _settled(router, receipt, wait) if receipt.get("deliveries") else []
    if as_json:
        print_json({"status": status, **receipt, "results": deliveries})
        return
    from router.show import receipt_text

    click.echo(receipt_text(receipt, deliveries, lanes_of(router, deliveries)))


def _renewed(body: bytes) -> bytes:
    """The same call under an id of its own."""
    from datetime import UTC, datetime

    from router import formats
    from router.ids import new_id

    new = f"test-{new_id(datetime.now(UTC))}"
    try:
        bundle = json.loads(body)
        if "call" in bundle:
            bundle["call"]["id"] = new
        else:
            bundle["uuid"] = new
            for dialog in bundle.get("dialog") or ():
                dialog["interaction_id"] = new
        renewed = formats.find(bundle).call.call_id == new
    except (ValueError, TypeError, LookupError, AttributeError, Unreadable):
        renewed = False
    if not renewed:
        message = "--new goes with a JSON body that has a `call` object, or an unsigned vCon; its call id is replaced"
        raise AftercallError(message)
    return json.dumps(bundle, ensure_ascii=False).encode()


def _settled(remote: Remote, receipt: dict[str, Any], patience: float) -> list[dict[str, Any]]:
    """The event's deliveries, once they are settled or `patience` seconds have passed."""
    deadline = time.monotonic() + patience
    while True:
        deliveries: list[dict[str, Any]] = remote.get("deliveries", shape=ITEMS, event=receipt["event"])["items"]
        if all(line["state"] not in ("pending", "claimed") for line in deliveries) or time.monotonic() > deadline:
            return deliveries
        time.sleep(0.1)


@cli.command("test-sink")
@click.argument("name")
@config_option
def test_sink(name: str, file: Path) -> None:
    """Send one clearly marked sample call through the sink NAME, now and without the router."""
    import asyncio

    from router import log
    from router.trial import trial

    log.set_up("text")
    config = load_config(file)
    if name not in config.sinks:
        from router.config.suggest import did_you_mean

        message = f"there is no sink {name!r} {did_you_mean(name, config.sinks)}"
        raise AftercallError(message)
    click.echo(asyncio.run(trial(config, name)))


@cli.command()
@click.argument("backup_file", metavar="FILE", type=click.Path(path_type=Path))
@config_option
def backup(backup_file: Path, file: Path) -> None:
    """Write all that the router keeps into FILE (a tar), whole and verified, also while it runs.

    It holds calls and secrets. What routes.yaml names is not in it: neither that file nor what sinks wrote.
    """
    import signal

    from router.backup import back_up
    from router.show import backup_text

    # What is begun is removed then, as it is at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    click.echo(backup_text(back_up(known(file, "data", "database", "postgres"), backup_file)))


@cli.command("copy-store")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy_store(source: str, target: str) -> None:
    """Copy all that the store FROM keeps into the empty store TO, and compare the two; no router may run meanwhile.

    Each is a store as in routes.yaml (sqlite:///data/aftercall.db, postgresql://user@host/database), or the name of a
    routes.yaml that says where it is, and its password. FROM stays as it is. What was stopped goes on when it is run again.
    """
    import os

    from router import copystore, failpoints
    from router.moved import Advance, moved_text

    failpoints.arm(os.environ)
    from_, to = _side(source, "FROM"), _side(target, "TO")
    with Advance() as told:
        moved = copystore.copy_store(from_, to, told)
    click.echo(moved_text(moved, str(from_), str(to)))
    if moved.left.rows:
        sys.exit(3)


def _side(said: str, name: str) -> Any:
    """What was given as FROM or TO."""
    from router import copystore

    if ":" in said and not Path(said).is_file():
        return copystore.of_url(said, name)
    copystore.refuse_no_config(Path(said), name)
    return copystore.of_config(known(Path(said), "data", "database", "postgres"))


# --- what there is ---


@cli.command()
@config_option
def schema(file: Path) -> None:
    """Print the JSON Schema of routes.yaml with the installed kinds of sinks, for editors."""
    from router.config import schema as made

    print_json(made(_kinds(file)))


@cli.command()
@config_option
def kinds(file: Path) -> None:
    """List the installed kinds of sinks, and the formats that bodies are read as."""
    from router.formats import FORMATS
    from router.show import columns

    rows = [("sink", kind.name, kind.origin, kind.description) for _, kind in sorted(_kinds(file).items())]
    rows += [("format", form.name, "built-in", form.description) for form in FORMATS.values()]
    click.echo(columns(("", "NAME", "FROM", "WHAT IT IS"), rows))


def _kinds(file: Path) -> Any:
    """Those of the configuration where there is one: it may name local plugins."""
    from router.registry import load_kinds

    return load_config(file).kinds if file.exists() else load_kinds()
