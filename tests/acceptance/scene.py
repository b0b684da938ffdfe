"""A whole router that may be killed, or several on one store, with far sides, senders, and the story that they tell."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

import farside
import oracle
from extent import dice
from farside import Archive, MailOffice, Web, file_name
from invariants import Story, sums, violations
from oracle import Answered, Kept, Ledger, Posted, Refused
from process import TOKEN, RouterProcess
from prompt import Prompt

#: The router's sink for each of the far sides, and a rule for those calls that a mail goes out for.
SINKS = ("web", "archive", "mail")
#: Seconds after which it is over, however slow the machine is.
_HOPELESS = 60.0


@dataclass
class Scene:
    """One router or several, and everybody around them."""

    router: RouterProcess
    web: Web
    moody: Web
    mail: MailOffice
    archive: Archive
    #: What this process posted itself.
    ledger: Ledger = field(default_factory=Ledger)
    sinks: tuple[str, ...] = ()
    restarted: Prompt = field(default_factory=Prompt)
    #: Those beside it, on the same store.
    others: tuple[RouterProcess, ...] = ()
    #: What routes.yaml says of the store.
    store: str = ""

    @property
    def routers(self) -> tuple[RouterProcess, ...]:
        return (self.router, *self.others)

    def configure(self, *sinks: str) -> None:
        """With these sinks alone."""
        self.sinks = sinks
        lines = "".join(f"  {name}: {getattr(self, name).sink}\n" for name in sinks)
        always = ", ".join(name for name in sinks if name in oracle.EVERYWHERE)
        some = ", ".join(name for name in sinks if name not in oracle.EVERYWHERE)
        routes = f"routes: [{{name: some, when: {{channel: {oracle.MAILED}}}, to: [{some}]}}]\n" if some else ""
        for number, router in enumerate(self.routers):
            router.configure(f"name: router-{number}\n{self.store}sinks:\n{lines}always: [{always}]\n{routes}")

    async def start(self, router: RouterProcess | None = None) -> None:
        """The router; what has to be prompt is so from here on."""
        self.restarted = Prompt()
        await (router or self.router).start()

    # --- posting ---

    async def post(self, call: str, url: str | None = None) -> Answered | Kept | Refused | None:
        """Post a call; None where there was no answer."""
        self.ledger.add(self._owed(oracle.posted(call)))
        url = url or self.router.url
        try:
            async with aiohttp.ClientSession() as client, client.post(url, data=oracle.body(call)) as came:
                said = oracle.answer(call, came.status, await came.read())
        except (aiohttp.ClientError, ConnectionError):
            return None
        self.ledger.add(said)
        return said

    def _owed(self, posted: Posted) -> Posted:
        """As it is with the sinks that there are."""
        return replace(posted, owed=tuple(sink for sink in posted.owed if sink in self.sinks))

    @asynccontextmanager
    async def oracle(self, clients: int = 4) -> AsyncIterator[None]:
        """It posts while the block runs; then what it wrote down is in the ledger."""
        file = self.router.folder / "ledger"
        ports = ",".join(str(router.ingest) for router in self.routers)
        command = ("oracle.py", "127.0.0.1", ports, f"/in/sipgate/{TOKEN}", str(file))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--clients", str(clients), "--seed", str(dice("oracle").random()),
            cwd=Path(__file__).parent,
        )  # fmt: skip
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        told = Ledger.read(file)
        self.ledger.posted |= {call: self._owed(posted) for call, posted in told.posted.items()}
        self.ledger.answered += told.answered
        self.ledger.kept += told.kept
        self.ledger.refused += told.refused

    # --- after a fault ---

    async def a_new_call_arrives(self, name: str, router: RouterProcess | None = None) -> None:
        """Everywhere, and soon after the router was started: it is well again.

        Of a router that is named it is not known when it was started: soon after this was posted to it.
        """
        soon, router = (self.restarted, self.router) if router is None else (Prompt.of(router.pid), router)
        names = (f"{name}-{n}" for n in range(100))
        call = next(name for name in names if oracle.is_mailed(name) and not oracle.fate(name))
        async with asyncio.timeout(_HOPELESS):
            said = await self.post(call, router.url)
            assert isinstance(said, Answered), f"{call} was answered {said}"
            while not (
                any(arrival.call == call for arrival in reversed(self.web.arrived))
                and any(arrival.call == call for arrival in reversed(self.mail.arrived))
                and self.archive.has(oracle.MAILED, call)
            ):
                await asyncio.sleep(0.01)
        soon.check(f"{call} came", router.pid)

    async def adds_up(self, router: RouterProcess | None = None) -> None:
        """The sums, now, whatever is under way.

        Of most of them the API gives the parts and adds those up, so they say more once they are compared with what is
        listed, in the end. That readers see one moment is shown by `test_store_sqlite`, and not by looking often.
        """
        _nothing(list(sums(await (router or self.router).summary())))

    async def story(self, *deaths: str, within: float = 60) -> Story:
        """What happened, once nothing is owed any more."""
        summary = await self.router.settled(within=within)
        events, deliveries = await self.router.all("events"), await self.router.all("deliveries")
        quarantined = {line["id"]: await self._digest(line["id"]) for line in await self.router.all("quarantine")}
        paths = {one["id"]: f"{one['channel_name']}/{file_name(one['call_id'], one['revision'])}" for one in events}
        keys = {paths[line["event_id"]]: line["id"] for line in deliveries if line["sink"] == "archive"}
        arrived = [*self.web.arrived, *self.moody.arrived, *self.mail.arrived, *self.archive.arrived(keys)]
        return Story(
            self.ledger,
            arrived,
            summary,
            events,
            deliveries,
            quarantined=quarantined,
            refused=self.web.refused,
            deaths=deaths,
        )

    async def _digest(self, quarantined: str) -> str:
        shown = await self.router.asked(f"quarantine/{quarantined}?full=true")
        text: str = shown["body"]
        content = base64.b64decode(text) if shown["encoding"] == "base64" else text.encode()
        return hashlib.sha256(content).hexdigest()

    async def settled_once(self, story: Story) -> None:
        """Of what was tried more than once, one attempt delivered it, or none, and nothing came after that one."""
        found = []
        for line in story.deliveries:
            if line["attempt"] > 1:
                shown = await self.router.asked(f"deliveries/{line['id']}")
                outcomes = [attempt["outcome"] for attempt in shown["attempts"]]
                if "delivered" in outcomes[:-1] or (outcomes[-1] == "delivered") != (line["state"] == "delivered"):
                    found.append(f"{line['id']} to {line['sink']} is {line['state']} after {outcomes}")
        _nothing(found)

    async def all_is_well(self, *deaths: str, within: float = 60) -> Story:
        """Tell the story, and stop: nothing was lost, and what is kept is whole. SQLite checks it, in a copy."""
        story = await self.story(*deaths, within=within)
        _nothing(violations(story))
        if not self.store:
            await self.router.backup(self.router.folder / "backup.tar")
        for router in self.routers:
            if router.process is not None and router.process.returncode is None:
                assert await router.stop() == 0
        return story


def _nothing(found: list[str]) -> None:
    """No violation; otherwise the first of them, a line each. (What pytest would say of a test it does not say in here.)"""
    assert not found, "\n".join([f"{len(found)} violations:", *found[:30]])


@asynccontextmanager
async def scene(
    folder: Path, *, slowness: float = 0.0, fails: bool = False, routers: int = 1, store: str = ""
) -> AsyncIterator[Scene]:
    """With all its sinks; no router is started, and those that still run in the end are killed.

    `slowness`: seconds that the web server takes at most. `fails`: some calls fail, as `oracle.fate` says. Several
    `routers` have a folder each, and a `store` in common.
    """
    web = Web("web", slowness, farside.FAILS if fails else {})
    moody = Web("moody", slowness, farside.MOODY)
    mail = MailOffice(fails)
    folders = [folder] if routers == 1 else [folder / f"router-{number}" for number in range(routers)]
    for each in folders:
        each.mkdir(exist_ok=True)
    async with web.listening(), moody.listening(), mail.office:
        first, *others = map(RouterProcess, folders)
        played = Scene(first, web, moody, mail, Archive(folder / "archive"), others=tuple(others), store=store)
        played.configure(*SINKS, *(["moody"] if fails else []))
        try:
            yield played
        finally:
            for router in played.routers:
                if router.process is not None and router.process.returncode is None:
                    router.process.kill()
                    await router.process.wait()
