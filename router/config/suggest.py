"""What was meant, when a name is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: How many names are listed: a line is a line.
_MOST = 20


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks like this one."""
    folded = {one.casefold(): one for one in known if abs(len(one) - len(name)) * 3 <= max(len(one), len(name))}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], label: str = "there are") -> str:
    """`(there are: a, b; did you mean 'a'?)`."""
    names = sorted(known)
    meant = closest(name, names)
    listed = ", ".join(names[:_MOST]) + (", …" if len(names) > _MOST else "")
    return f"({label}: {listed or 'none'}" + (f"; did you mean {meant!r}?)" if meant is not None else ")")
