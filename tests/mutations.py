"""Trees of plain data, broken in one place or in several: dropped, doubled, retyped, nested."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, below in inner for found in [(*path, key), *paths(below, (*path, key))]]


def _drop(parent: Any, key: Any, _: Any) -> None:
    del parent[key]


def _retype(parent: Any, key: Any, value: Any) -> None:
    parent[key] = value


def _nest(parent: Any, key: Any, _: Any) -> None:
    parent[key] = {"content": {"content": [parent[key]]}}


def _wrap(parent: Any, key: Any, _: Any) -> None:
    parent[key] = [parent[key]]


def _double(parent: Any, key: Any, _: Any) -> None:
    if isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[f"{key}x"] = parent[key]
        parent[key] = [parent[key], copy.deepcopy(parent[key])]


_MUTATIONS: list[Callable[[Any, Any, Any], None]] = [_drop, _retype, _nest, _wrap, _double]


@st.composite
def broken(draw: st.DrawFn, tree: Any, values: st.SearchStrategy[Any], at_most: int = 5) -> Any:
    """The tree with up to so many mutations; `values` are those that something is replaced by."""
    made = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, at_most))):
        if not (places := paths(made)):
            break
        *above, key = draw(st.sampled_from(places))
        parent = made
        for step in above:
            parent = parent[step]
        draw(st.sampled_from(_MUTATIONS))(parent, key, copy.deepcopy(draw(values)))
    return made
