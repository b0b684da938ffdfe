"""Keywords: compiled when the rules are loaded, then asked whether a text has them.

How a text is folded and cut into tokens is left to `router.text`. Each way to match is a finder of its own, chosen in
`keyword`: a further one (stem, fuzzy, near) is a member of `Match`, a finder, and its case there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, islice
from typing import Any, Protocol, assert_never

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from router.errors import Discreet
from router.text import JOINED_PARTS, Fold, FoldedText, collapsed, is_glue, is_mark, wildcards


class Match(StrEnum):
    """How a keyword is looked for."""

    #: Consecutive whole words; symbols of the keyword must stand in the text as well.
    WORD = "word"
    #: As `WORD`, but the last word may go on.
    PREFIX = "prefix"
    #: Anywhere, also inside of words.
    SUBSTRING = "substring"
    #: `*` and `?` inside of one word.
    GLOB = "glob"
    #: A regular expression of RE2, anywhere.
    REGEX = "regex"


class _Finder(Protocol):
    def find(self, text: FoldedText) -> str | None:
        """Give the piece of `text` that matches, or None."""

    def doubt(self, source: str) -> str | None:
        """Say what is odd about the keyword that was written as `source`, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """Something to look for in texts of one fold. Made by `keyword`."""

    #: As it stands in the rules.
    source: str
    match: Match
    fold: Fold
    #: Globs; a word that fits one of them does not count.
    exceptions: tuple[str, ...]
    _finder: _Finder = field(repr=False, compare=False)

    def found_in(self, text: FoldedText) -> str | None:
        """Give the piece of the folded text that matches, or None.

        A regex may also match the text as it was written, and an empty piece. Raises ValueError for a text of another
        fold, which would be a mistake of the caller.
        """
        if text.mode != self.fold:
            raise ValueError(f"the text is folded {text.mode}, the keyword {self.source!r} {self.fold}")
        return self._finder.find(text)

    @property
    def warning(self) -> str | None:
        """What is probably not meant as it is written, and what to write instead; None for most keywords."""
        return self._finder.doubt(self.source)


def keyword(
    source: str, match: Match = Match.WORD, fold: Fold = Fold.GERMAN, exceptions: Iterable[str] = ()
) -> Keyword:
    """Compile a keyword.

    Raises ValueError, saying what is wrong and what to do, for one that cannot be looked for.
    """
    own, exceptions = _given(source, fold), tuple(exceptions)
    if exceptions and match in {Match.SUBSTRING, Match.REGEX}:
        raise Discreet(
            f"`except` is about whole words and has no meaning with match: {match}; use word, prefix or glob"
        )
    refused = tuple(_Glob.of(exception, _given(exception, fold)) for exception in exceptions)
    finder: _Finder
    match match:
        case Match.WORD | Match.PREFIX:
            finder = _Words.of(source, own, refused, may_go_on=match is Match.PREFIX)
        case Match.SUBSTRING:
            finder = _Substring(collapsed(own.folded))
        case Match.GLOB:
            finder = _Glob.of(source, own, refused)
        case Match.REGEX:
            finder = _Regex.of(source, fold)
        case _:
            assert_never(match)
    return Keyword(source, match, fold, exceptions, finder)


def _given(source: str, fold: Fold) -> FoldedText:
    own = FoldedText(source, fold)
    if not own.folded.strip():
        what = "has nothing that can be seen" if source.strip() else "is empty"
        raise Discreet(
            f"the keyword {source!r} {what}, so it would match everything or nothing; write a word or take it out",
            instead=f"{what}, so it would match everything or nothing; write a word or take it out",
        )
    return own


@dataclass(frozen=True, slots=True)
class _Words:
    """Consecutive tokens. Glue of the keyword may be missing in the text, and be white space or a slash there."""

    tokens: tuple[str, ...]
    glued: frozenset[int]
    #: Words that the text may have where the keyword begins: its first token, also with those that are glued to it.
    beginnings: tuple[str, ...]
    #: What such a word begins with, where the keyword begins with the word that may go on.
    prefix: str | None
    #: Such words for what follows in the keyword: one look at each tells most texts apart.
    further: tuple[tuple[str, ...], ...]
    may_go_on: bool
    refused: tuple[_Glob, ...]

    @classmethod
    def of(cls, source: str, own: FoldedText, refused: tuple[_Glob, ...], *, may_go_on: bool) -> _Words:
        tokens = tuple(own.tokens)
        if not tokens:
            raise Discreet(
                f"the keyword {source!r} only separates words; write match: substring to look for it as it stands",
                instead="only separates words; write match: substring to look for it as it stands",
            )
        may_go_on = may_go_on and tokens[-1][0].isalnum()
        groups = list(_groups(len(tokens), own.chains))
        beginnings = [tuple(islice(accumulate(tokens[group.start : group.stop]), JOINED_PARTS)) for group in groups]
        prefix = None
        if may_go_on:
            last = "".join(tokens[groups[-1].start :])
            beginnings[-1] = tuple(beginning for beginning in beginnings[-1] if beginning != last)
            prefix = last if len(groups) == 1 else None
        # A last word that may go on is not looked up like this.
        further = beginnings[1:-1] if may_go_on else beginnings[1:]
        return cls(tokens, own.glued, beginnings[0], prefix, tuple(further), may_go_on, refused)

    def find(self, text: FoldedText) -> str | None:
        if not all(any(map(text.positions.__contains__, group)) for group in self.further):
            return None
        for start in self._starts(text):
            end = self._end(text, start)
            if end is not None and not _refuses(self.refused, text.readings(start, end)):
                return text.passage(start, end)
        return None

    def doubt(self, source: str) -> str | None:
        if "*" in source or "?" in source:
            return f"the keyword {source!r} looks like a glob, but * and ? are none here; write match: glob"
        return None

    def _starts(self, text: FoldedText) -> Iterator[int]:
        for word in self.beginnings:
            yield from text.positions.get(word, ())
        if self.prefix is not None:
            for word in text.words_from(self.prefix):  # looked at here once, and not at each of its places
                if not _refuses(self.refused, (word,)):
                    yield from text.positions[word]

    def _end(self, text: FoldedText, start: int) -> int | None:
        """Lay the keyword beside the text from `start`, letter by letter; give the position behind it, or None.

        A token that ends alone, in the text or in the keyword, must be glued to the next one. Where both end together
        all is well: glue and white space count the same.
        """
        at, asked = start, 0
        theirs, ours = text.tokens[at], self.tokens[asked]
        while True:
            if theirs == ours:
                at, asked = at + 1, asked + 1
                if asked == len(self.tokens):
                    return at
                if at == len(text.tokens):
                    return None
                theirs, ours = text.tokens[at], self.tokens[asked]
            elif theirs.startswith(ours):
                if asked == len(self.tokens) - 1:
                    return at + 1 if self.may_go_on else None
                if asked not in self.glued:
                    return None
                asked += 1
                theirs, ours = theirs[len(ours) :], self.tokens[asked]
            elif ours.startswith(theirs) and at in text.glued:
                at += 1
                theirs, ours = text.tokens[at], ours[len(theirs) :]
            else:
                return None


def _groups(length: int, chains: Iterable[range]) -> Iterator[range]:
    """Cut `length` tokens into chains and single ones."""
    at = 0
    for chain in chains:
        yield from (range(single, single + 1) for single in range(at, chain.start))
        yield chain
        at = chain.stop
    yield from (range(single, single + 1) for single in range(at, length))


#: A substring of fewer characters is in too many words (IT in mit).
_SHORT = 3


@dataclass(frozen=True, slots=True)
class _Substring:
    piece: str

    def find(self, text: FoldedText) -> str | None:
        return self.piece if self.piece in text.collapsed else None

    def doubt(self, source: str) -> str | None:
        if len("".join(source.split())) < _SHORT:
            return f"the keyword {source!r} is so short that many words have it inside; write match: word"
        return None


@dataclass(frozen=True, slots=True)
class _Glob:
    """`*` and `?` inside of one word. Glue in the glob does not count, as a glued word is also one without it."""

    pattern: str
    fits: Callable[[str], object]
    #: The longest run of letters in it. A word that fits has it.
    literal: str
    refused: tuple[_Glob, ...]

    @classmethod
    def of(cls, source: str, own: FoldedText, refused: tuple[_Glob, ...] = ()) -> _Glob:
        words = own.folded.split()
        if len(words) > 1:
            raise Discreet(
                f"the glob {source!r} is looked for inside of one word and has white space; write one glob a word",
                instead="is a glob, which is looked for inside of one word, and has white space; write one glob a word",
            )
        pattern = "".join(char for char in words[0] if char in "*?" or not is_glue(char))
        if not pattern:
            raise Discreet(
                f"the glob {source!r} has neither letters nor * or ?; write match: substring to look for it",
                instead="is a glob that has neither letters nor * or ?; write match: substring to look for it",
            )
        literal = max(re.split(r"[*?]", pattern), key=len)
        return cls(pattern, wildcards(pattern).match, literal, refused)

    def find(self, text: FoldedText) -> str | None:
        if self.literal not in text.vocabulary:
            return None
        for word in text.words:
            if self.fits(word) and not _refuses(self.refused, (word,)):
                for start in text.positions[word]:
                    end = text.end_of(word, start)
                    if not _refuses(self.refused, text.readings(start, end)):
                        return text.passage(start, end)
        return None

    def doubt(self, source: str) -> str | None:
        if not self.literal:
            return f"the glob {source!r} has no letters, so nearly every text has a word for it"
        odd = next((char for char in self.pattern if not (char in "*?" or char.isalnum() or is_mark(char))), None)
        return odd and f"no word has a {odd!r} inside, so nothing fits the glob {source!r}; write match: substring"


def _refuses(globs: tuple[_Glob, ...], words: Iterable[str]) -> bool:
    return bool(globs) and any(glob.fits(word) for word in words for glob in globs)


@dataclass(frozen=True, slots=True)
class _Regex:
    """A regex, on the text as it was written and, spelled as folding spells, on the folded text."""

    written: Any
    #: None where there is nothing to fold, and where the regex is none any more once it is folded.
    folded: Any | None

    @classmethod
    def of(cls, source: str, fold: Fold) -> _Regex:
        try:
            written = _compiled(_spelled(source, Fold.EXACT), fold)
        except re2.error as error:
            raise _no_regex(source, error.args[0].decode(errors="replace")) from error
        if fold is Fold.EXACT:
            return cls(written, None)
        try:
            return cls(written, _compiled(_spelled(source, fold), fold))
        except re2.error:
            return cls(written, None)

    def find(self, text: FoldedText) -> str | None:
        found = self.written.search(text.written)
        if found is None and self.folded is not None:
            found = self.folded.search(text.folded)
        return None if found is None else str(found[0])

    def doubt(self, source: str) -> str | None:
        if self.written.search("") is not None:
            return f"the regex {source!r} matches an empty text, so it matches every text; write what must be there"
        return None


def _compiled(pattern: str, fold: Fold) -> Any:
    options = re2.Options()
    options.log_errors = False  # it would write to stderr
    options.case_sensitive = fold is Fold.EXACT
    return re2.compile(pattern, options)


def _no_regex(source: str, error: str) -> Discreet:
    advice = "its syntax is described at https://github.com/google/re2/wiki/Syntax"
    if re.search(r"operator: \(\?<?[=!]", error):
        advice = "RE2 has no look-around: write two keywords, one of them under none"
    if re.search(r"escape sequence: \\[1-9]", error):
        advice = "RE2 has no backreferences: write out what may repeat"
    return Discreet(
        f"the regex {source!r} is none that RE2 knows: {error}; {advice}",
        instead=f"is no regex that RE2 knows; {advice}",
    )


#: Where a regex has letters beyond ASCII: by themselves, and in a set of characters.
_PART = re.compile(
    r"""\\.
      | (?P<set>\[(?P<negated>\^)?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*+\])
      | (?P<letter>[^\0-\x7f])""",
    re.DOTALL | re.VERBOSE,
)


def _spelled(pattern: str, fold: Fold) -> str:
    """Spell a regex's letters as `fold` does: `ü+` is `(?:ue)+`, and `[aü]` is `(?:[aü]|ue)`."""

    def spell(part: re.Match[str]) -> str:
        letters = {char: FoldedText(char, fold).folded for char in part[0] if not char.isascii()}
        if part["letter"]:
            letter = letters[part[0]]
            return letter if len(letter) == 1 and letter.isalpha() else f"(?:{re2.escape(letter)})"
        more = sorted({re2.escape(letter) for char, letter in letters.items() if letter not in {"", char}})
        return f"(?:{'|'.join((part[0], *more))})" if part["set"] and not part["negated"] and more else part[0]

    return _PART.sub(spell, unicodedata.normalize("NFC", pattern))
