"""Nothing but the store's own modules opens, copies or replaces the database's files, and no process inherits them.

Closing any descriptor of them drops SQLite's locks, which POSIX gives to the process and not to the descriptor; a copy
without the log is no copy; a child that was forked may use a connection that it must not have.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STORE = ROOT / "router" / "store"
MODULES = sorted(file for folder in ("router", "plugins") for file in (ROOT / folder).rglob("*.py"))

#: What may be asked of the database's path without opening it, and who may be given it.
HARMLESS = {"exists", "name", "parent"}
#: `_add` of the backup only looks at its owner.
GIVEN_TO = {"open_store", "copy", "size", "_add", "_side"}
#: The only modules of the store that open files: of the folder, the key, and the reserve, none of which is the database;
#: and the log, while no connection is open.
OPENS = {"folder.py", "keys.py", "leftovers.py", "reserve.py"}
OPENING = {
    "open", "fdopen", "read_bytes", "read_text", "write_bytes", "write_text", "touch", "copy", "copy2", "copyfile", "copytree",
    "move", "rename", "replace", "link", "symlink", "unlink", "remove", "sendfile", "truncate",
}  # fmt: skip
FORKING = {
    "subprocess", "multiprocessing", "pty", "fork", "forkpty", "posix_spawn", "posix_spawnp", "popen", "system",
    "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell", "ProcessPoolExecutor",
}  # fmt: skip


def reaches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a module outside of the store does more with the database's path than it may."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name == "sqlite3" for name in names):
                yield node.lineno, "imports sqlite3"
            case ast.ImportFrom(module="sqlite3"):
                yield node.lineno, "imports sqlite3"
            case ast.Constant(value=str(text)) if text.endswith((".db", "-wal", "-shm")) and " " not in text:
                above = parents[node]
                if not (isinstance(above, ast.BinOp) and isinstance(above.op, ast.Div)):  # makes the path
                    yield node.lineno, f"names {text}"
            case ast.Attribute(value=ast.Name(id="room"), attr="database"):
                continue  # a number of bytes
            case ast.Attribute(attr="database"):
                above = parents[node]
                named = isinstance(above, ast.keyword | ast.Compare | ast.FormattedValue)
                asked = isinstance(above, ast.Attribute) and above.attr in HARMLESS
                given = isinstance(above, ast.Call) and node in above.args and called(above) in GIVEN_TO
                if not (named or asked or given):
                    yield node.lineno, f"does something with {ast.unparse(above)}"


def forks(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a process is started."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=module, names=names):
                found = {(module or "").partition(".")[0], *(name.name for name in names)}
            case ast.Attribute(attr=attr):
                found = {attr}
            case _:
                continue
        for name in found & FORKING:
            yield node.lineno, f"uses {name}"


def opens(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a file is opened, copied or replaced."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in OPENING and not of_data(node):
            yield node.lineno, f"calls {ast.unparse(node.func)}"


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def of_data(node: ast.Call) -> bool:
    """What has such a name, and touches no file but the package's own SQL: `replace` of a dataclass or a text, too."""
    said = ast.unparse(node.func)
    if said in ("store.open", "self.readers.open", "file.read_text") or "resources.files" in said:
        return True
    return called(node) == "replace" and (said == "replace" or (said != "os.replace" and len(node.args) != 1))


@pytest.mark.case("DUR-12")
@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_dur_12_the_database_is_touched_by_the_store_alone(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = list(forks(tree))
    if not file.is_relative_to(STORE):
        found += reaches(tree)
    elif file.name not in OPENS:
        found += opens(tree)
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import sqlite3",
        "open(config.database)",
        "shutil.copyfile(config.database, there)",
        "config.database.read_bytes()",
        "config.database.rename(there)",
        "there = config.database",
        "os.open(str(folder) + 'aftercall.db', 0)",
        "Path('data/aftercall.db-wal').unlink()",
        "config.database.with_name('x')",
    ],
)
def test_the_check_sees_who_reaches_for_the_database(line: str) -> None:
    assert list(reaches(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["import subprocess", "from os import fork", "os.fork()", "from multiprocessing import x"]
)
def test_the_check_sees_who_starts_a_process(line: str) -> None:
    assert list(forks(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["open(path)", "self.path.open()", "shutil.copy(a, b)", "os.replace(a, b)", "a.replace(b)"]
)
def test_the_check_sees_which_module_of_the_store_opens_a_file(line: str) -> None:
    assert list(opens(ast.parse(line)))
