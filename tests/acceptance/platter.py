"""A disk that can lose its power at any moment: what was asked of it, in which order, and what is on it then."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from surface import MOODS, Mark, Name, Remove, Rename, Step, Surface, Sync, Truncate, Write, rename


@dataclass
class Platter:
    """A disk: `before` is safe on it from the start. Paths are relative to it."""

    before: Mapping[str, bytes] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, int | None] = {}
        self._next = 0
        for path in self.before:
            self._names[path] = self._new()

    def _new(self) -> int:
        self._next += 1
        return self._next

    # --- what is asked of it ---

    def add(self, step: Step) -> None:
        """This is what happens next."""
        with self._lock:
            self.steps.append(step)

    def file(self, path: str) -> int:
        """The file of this name, made where there is none."""
        with self._lock:
            file = self._names.get(path)
            if file is None:
                file = self._names[path] = self._new()
                self.steps.append(Name(path, file))
            return file

    def folder(self, path: str) -> None:
        """A new folder."""
        self.add(Name(path, None))

    def find(self, path: str) -> int | None:
        """The file of this name, if there is one."""
        return self._names.get(path)

    def rename(self, old: str, new: str) -> None:
        """A file gets another name."""
        with self._lock:
            if old in self._names:
                self._names[new] = self._names.pop(old)
                self.steps.append(Rename(old, new))

    def link(self, old: str, new: str) -> None:
        """A file gets a second name."""
        file = self.file(old)
        with self._lock:
            self._names[new] = file
            self.steps.append(Name(new, file))

    def remove(self, path: str) -> None:
        """A name goes."""
        with self._lock:
            if self._names.pop(path, None) is not None:
                self.steps.append(Remove(path))

    # --- what is on it ---

    def facts(self, cut: int) -> list[object]:
        """What its user knew when the power went after so many steps."""
        return [step.fact for step in self.steps[:cut] if isinstance(step, Mark)]

    def after(self, cut: int, dice: Random, mood: str | None = None) -> dict[str, bytes]:
        """What is on it when the power goes after so many steps."""
        surface = Surface(self.before)
        mood = mood or dice.choice(MOODS)
        for step in self.steps[:cut]:
            surface.take(step, dice)
        return surface.left(mood, dice)

    def shown(self, cut: int) -> dict[str, bytes]:
        """What the system shows after so many steps, whether or not it is safe: what is there when a process is killed."""
        surface = Surface(self.before)
        for step in self.steps[:cut]:
            if not isinstance(step, Sync):  # one that failed goes on being shown
                surface.take(step, Random(0))
        return surface.left("everything", Random(0))

    def killed(self, cut: int) -> Platter:
        """The same disk after so many steps, for another process to go on with."""
        disk = Platter(self.before)
        for step in self.steps[:cut]:
            rename(disk._names, step)
        disk.steps, disk._next = self.steps[:cut], self._next
        return disk

    def told(self, cut: int) -> str:
        """What was asked of it before the cut, a line each, for who looks for what broke."""
        paths = dict(enumerate(self.before, 1))
        lines = []
        for number, step in enumerate(self.steps[:cut], 1):
            match step:
                case Name(path, int() as file):
                    paths[file] = path
                    lines.append(f"{number} {path} is file {file}")
                case Rename(old, new):
                    paths = {file: new if path == old else path for file, path in paths.items()}
                    lines.append(f"{number} {old} is renamed to {new}")
                case Write():
                    lines.append(f"{number} {paths[step.file]} write {len(step.data)} at {step.offset}")
                case Truncate():
                    lines.append(f"{number} {paths[step.file]} truncate to {step.size}")
                case Sync():
                    how = "FAILED" if step.failed else "done"
                    lines.append(f"{number} {paths[step.file]} sync {how} through {step.handle}")
                case _:
                    lines.append(f"{number} {str(step)[:150]}")
        return "\n".join(lines) + "\n"

    # --- what must never be asked of it ---

    def synced_again(self) -> list[str]:
        """Files that were synced through a descriptor on which that had failed before: the second try may lie."""
        failed: set[int] = set()
        again = []
        paths = {step.file: step.path for step in self.steps if isinstance(step, Name) and step.file}
        for step in self.steps:
            if isinstance(step, Sync) and step.handle:
                if step.handle in failed:
                    again.append(paths[step.file])
                if step.failed:
                    failed.add(step.handle)
        return again

    def hasty_names(self) -> list[str]:
        """Names that files got before they were synced, and new names whose folder was not synced to the end."""
        surface = Surface(self.before)
        hasty = []
        for step in self.steps:
            if (file := surface.renamed(step)) and file.waiting:
                hasty.append(f"{step} before its content was synced")
            surface.take(step, Random(0))
        return hasty + [f"{change} is not known to be on the disk" for change in surface.named]


def lay(files: Mapping[str, bytes], folder: Path) -> None:
    """Put these files into a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
