"""A whole router that may be killed, or several on one store, its far sides, those who post to it, and the story that they tell in the end."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

import oracle
from extent import dice
from farside import Archive, MailOffice, Web
from invariants import Story, sums, violations
from oracle import Answered, Ledger, Refused
from process import TOKEN, RouterProcess

#: The router's sink for each of the far sides, and a rule for those calls that a mail goes out for.
SINKS = ("web", "archive", "mail")
#: Seconds after a restart until a new call has arrived everywhere. A machine on which the start alone takes longer than
#: usual is as much slower in everything else: see `Scene.start`.
PROMPT = 5.0
_USUAL_START = 2.0


@dataclass
class Scene:
    """One router or several, and everybody around them."""

    router: RouterProcess
    web: Web
    mail: MailOffice
    archive: Archive
    #: What this process posted itself.
    ledger: Ledger = field(default_factory=Ledger)
    sinks: tuple[str, ...] = ()
    #: Seconds that the machine is given for what takes `PROMPT`.
    patience: float = PROMPT
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
        always = ", ".join(name for name in sinks if name != "mail")
        routes = f"routes: [{{name: mails, when: {{channel: {oracle.MAILED}}}, to: mail}}]\n" if "mail" in sinks else ""
        for router in self.routers:
            router.configure(f"{self.store}sinks:\n{lines}always: [{always}]\n{routes}")

    async def start(self, router: RouterProcess | None = None) -> None:
        """The router; and how busy the machine is."""
        began = time.monotonic()
        await (router or self.router).start()
        self.patience = PROMPT * max(1.0, (time.monotonic() - began) / _USUAL_START)

    # --- posting ---

    async def post(self, call: str, url: str | None = None) -> Answered | Refused | None:
        """Post a call; None where there was no answer."""
        posted = oracle.posted(call)
        self.ledger.add(replace(posted, owed=tuple(sink for sink in posted.owed if sink in self.sinks)))
        url = url or self.router.url
        try:
            async with aiohttp.ClientSession() as client, client.post(url, data=oracle.body(call)) as came:
                said = oracle.answer(call, came.status, await came.read())
        except (aiohttp.ClientError, ConnectionError):
            return None
        self.ledger.add(said)
        return said

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
        self.ledger.posted |= told.posted
        self.ledger.answered += told.answered
        self.ledger.refused += told.refused

    # --- after a fault ---

    async def a_new_call_arrives(self, name: str, router: RouterProcess | None = None) -> None:
        """Everywhere, and soon: the router is well again."""
        call = next(f"{name}-{n}" for n in range(100) if oracle.is_mailed(f"{name}-{n}"))
        async with asyncio.timeout(self.patience):
            said = await self.post(call, (router or self.router).url)
            assert isinstance(said, Answered), f"{call} was answered {said}"
            while not (
                any(arrival.call == call for arrival in reversed(self.web.arrived))
                and any(arrival.call == call for arrival in reversed(self.mail.arrived))
                and self.archive.has(oracle.MAILED, call)
            ):
                await asyncio.sleep(0.01)

    async def adds_up(self, router: RouterProcess | None = None) -> None:
        """The sums, now, whatever is under way."""
        _nothing(list(sums(await (router or self.router).summary())))

    async def all(self, what: str) -> list[dict[str, Any]]:
        """All lines of a list of the admin API."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self.router.asked(f"{what}?limit=500{after}")
            found += page["items"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    async def story(self, *deaths: str, within: float = 60) -> Story:
        """What happened, once nothing is owed any more."""
        summary = await self.router.settled(within=within)
        events, deliveries = await self.all("events"), await self.all("deliveries")
        paths = {event["id"]: f"{event['channel_name']}/{event['call_id']}.json" for event in events}
        keys = {paths[line["event_id"]]: line["id"] for line in deliveries if line["sink"] == "archive"}
        arrived = [*self.web.arrived, *self.mail.arrived, *self.archive.arrived(keys)]
        return Story(self.ledger, arrived, summary, events, deliveries, deaths)

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
async def scene(folder: Path, *, slowness: float = 0.0, routers: int = 1, store: str = "") -> AsyncIterator[Scene]:
    """With all its sinks; no router is started, and those that still run in the end are killed.

    Several routers have a folder each, and a `store` in common.
    """
    far = Web(slowness, dice("web"))
    mail = MailOffice()
    folders = [folder] if routers == 1 else [folder / f"router-{number}" for number in range(routers)]
    for each in folders:
        each.mkdir(exist_ok=True)
    async with far.listening(), mail.office:
        first, *others = map(RouterProcess, folders)
        played = Scene(first, far, mail, Archive(folder / "archive"), others=tuple(others), store=store)
        played.configure(*SINKS)
        try:
            yield played
        finally:
            for router in played.routers:
                if router.process is not None and router.process.returncode is None:
                    router.process.kill()
                    await router.process.wait()
