"""The oracle: a process of its own that posts calls, and writes down on the disk every answer before it goes on.

    python oracle.py HOST PORT[,PORT...] PATH LEDGER [--clients 4] [--seed 0]

Until SIGTERM. Of several ports, each call goes to any that listens. It is no part of the router and has nothing of it, so
that it lives and remembers whatever becomes of the router. What a call says, and whom it is owed to, can be told from its
name alone. A sender like sipgate does not send again what it got no answer to; this one does so with every second one, and
now and then with what was answered, too. Now and then it tells of a call once more and otherwise (`call-1` and `call-1+`
are two revisions of one call), or what nobody can read.

The seed decides what each client does next, as far as that does not hang on what it was answered, and when.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import itertools
import json
import os
import random
import signal
import threading
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

#: The sinks, and the channel of those calls that a mail goes out for, too; `moody` is a web server that is often busy.
EVERYWHERE = ("web", "archive")
WITH_MAIL = (*EVERYWHERE, "mail", "moody")
MAILED = "Post"
#: Seconds to wait for an answer.
PATIENCE = 30.0
#: Seconds between two calls of a client, on average: a router that is killed all the time must be able to keep up.
PAUSE = 0.16
#: At the end of the name of a call that is told once more, and at the beginning of that of what nobody can read.
AGAIN, UNREADABLE = "+", "unreadable-"


@dataclass(frozen=True, slots=True)
class Posted:
    """A call that was about to be posted."""

    call: str
    digest: str
    owed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A call that was answered 2xx: what the answer says."""

    call: str
    event: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What was answered 2xx, and could not be read: what the answer says."""

    call: str
    quarantined: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was answered otherwise."""

    call: str
    status: int


Entry = Posted | Answered | Kept | Refused


@dataclass
class Ledger:
    """What was posted, and what was answered."""

    posted: dict[str, Posted] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        match entry:
            case Posted():
                self.posted[entry.call] = entry
            case Answered():
                self.answered.append(entry)
            case Kept():
                self.kept.append(entry)
            case Refused():
                self.refused.append(entry)

    @classmethod
    def read(cls, file: Path) -> Ledger:
        """What a process wrote."""
        ledger = cls()
        for line in file.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            match said.pop("is"):
                case "Posted":
                    ledger.add(Posted(said["call"], said["digest"], tuple(said["owed"])))
                case "Answered":
                    ledger.add(Answered(**said))
                case "Kept":
                    ledger.add(Kept(**said))
                case "Refused":
                    ledger.add(Refused(**said))
        return ledger


def _number(name: str) -> int:
    """What is decided by a name is the same for all revisions of a call."""
    return zlib.crc32(name.rstrip(AGAIN).encode())


def is_mailed(name: str) -> bool:
    """Every fourth."""
    return _number(name) % 4 == 0


def fate(name: str) -> str:
    """What its far sides do about it, where they are told to fail: see `farside`. Nothing, in most cases."""
    return {3: "refused", 8: "broken", 13: "broken", 20: "refused"}.get(_number(name) % 31, "")


def body(name: str) -> bytes:
    """A call as sipgate posts it, in a spelling that no program of ours has; one in fifty is long.

    Whoever reads it and writes it anew writes other bytes: the order of its keys, its spaces, numbers and escapes, and the
    line break at its end are those of this call alone.
    """
    if name.startswith(UNREADABLE):
        return body(name.removeprefix(UNREADABLE))[:-30]
    dice = random.Random(name)
    number = _number(name)
    said = "Frage zur Rechnung. " * (9_000 if number % 50 == 7 else number % 40)
    call = [
        f'"id": "{name.rstrip(AGAIN)}"',
        '"caller":"+4915228817386"',
        r'"callee" : "\u002b493023125014"',
        '"direction":  "inbound"',
    ]
    parts = [
        f'"summary": "{name}: {said}"',
        f'"channel": {{ "name" : "{MAILED if is_mailed(name) else "Support"}" }}',
        r'"more": {"z": 1.0, "a":[1e2,  -0.0,12345678901234567890 ],"a\/b": "Gr\u00fc\u00DF G\u0072üße \ud83d\udcde 📞"}',
    ]
    dice.shuffle(call)
    dice.shuffle(parts)
    parts.insert(dice.randrange(4), f'"call" :{{{", ".join(call)} }}')
    comma = dice.choice((",", " ,", ",  ", ",\n\t"))
    text = (
        dice.choice(("", "\n", " "))
        + "{"
        + comma.join(parts)
        + dice.choice((" }", "}"))
        + dice.choice(("", "\n", "\r\n"))
    )
    return text.encode()


def name(content: bytes) -> str:
    """Of a call, by what it says."""
    said: str = json.loads(content)["summary"]
    return said.partition(":")[0]


def posted(name: str) -> Posted:
    owed = () if name.startswith(UNREADABLE) else WITH_MAIL if is_mailed(name) else EVERYWHERE
    return Posted(name, hashlib.sha256(body(name)).hexdigest(), owed)


def answer(call: str, status: int, text: bytes) -> Answered | Kept | Refused:
    """What came back to a call."""
    if status not in (200, 202):
        return Refused(call, status)
    said = json.loads(text)
    if "quarantined" in said:
        return Kept(call, said["quarantined"])
    return Answered(call, said["event"], said.get("duplicate", False))


class Sender(threading.Thread):
    """One client: posts a call, waits for the answer, writes it down, posts the next."""

    def __init__(self, name: str, oracle: Oracle) -> None:
        super().__init__(name=name)
        self._oracle = oracle
        self._dice = random.Random(f"{oracle.seed} {name}")
        self._connections = [http.client.HTTPConnection(oracle.host, port, timeout=PATIENCE) for port in oracle.ports]
        self._answered: list[str] = []

    def run(self) -> None:
        for number in itertools.count(1):
            self._oracle.stopping.wait(self._dice.expovariate(1 / PAUSE))
            if self._oracle.stopping.is_set():
                return
            dice = random.Random(f"{self._oracle.seed} {self.name} {number}")
            match dice.choices(("new", "sent again", "told again", "unreadable"), (85, 5, 5, 5))[0]:
                case "sent again" if self._answered:
                    self._tell(dice.choice(self._answered))
                case "told again" if self._answered:
                    # Only what was answered: so that it is known which of the two came first.
                    self._post(dice.choice(self._answered).rstrip(AGAIN) + AGAIN, dice)
                case "unreadable":
                    self._post(f"{UNREADABLE}{self.name}-{number}", dice)
                case _:
                    self._post(f"{self.name}-{number}", dice)

    def _post(self, call: str, dice: random.Random) -> None:
        self._oracle.write(posted(call))
        while not self._tell(call) and dice.random() < 0.5 and not self._oracle.stopping.is_set():
            pass

    def _tell(self, call: str) -> bool:
        """Post it; whether there was an answer. Where nobody listens, nothing was posted yet."""
        while not self._oracle.stopping.is_set():
            connection = self._dice.choice(self._connections)
            try:
                connection.connect() if connection.sock is None else None
            except OSError:
                self._oracle.stopping.wait(0.01)
                continue
            try:
                connection.request("POST", self._oracle.path, body(call), {"Content-Type": "application/json"})
                came = connection.getresponse()
                said = answer(call, came.status, came.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                return False
            self._oracle.write(said)
            if isinstance(said, Answered):
                self._answered.append(call)
            return True
        return False


class Oracle:
    """All clients, and the one ledger."""

    def __init__(self, host: str, ports: Sequence[int], path: str, ledger: Path, *, clients: int, seed: str) -> None:
        self.host, self.ports, self.path, self.seed = host, ports, path, seed
        self.stopping = threading.Event()
        self._file = ledger.open("ab", buffering=0)
        self._turn = threading.Lock()
        self._clients = [Sender(f"call-{number}", self) for number in range(clients)]

    def write(self, entry: Entry) -> None:
        """Write it down; an answer is on the disk when this returns."""
        line = json.dumps({"is": type(entry).__name__, **asdict(entry)}).encode() + b"\n"
        with self._turn:
            self._file.write(line)
            if not isinstance(entry, Posted):
                os.fsync(self._file.fileno())

    def run(self) -> None:
        """Until SIGTERM, and until what was posted is answered, or never will be."""
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        for client in self._clients:
            client.start()
        while not self.stopping.wait(1.0):
            pass
        for client in self._clients:
            client.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("ports", type=lambda said: [int(port) for port in said.split(",")])
    parser.add_argument("path")
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", default="0")
    said = parser.parse_args()
    Oracle(said.host, said.ports, said.path, said.ledger, clients=said.clients, seed=said.seed).run()


if __name__ == "__main__":
    main()
