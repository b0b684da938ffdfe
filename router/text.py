"""What a text looks like to whoever compares or shows it: folded, cut into tokens, shortened, put on one line.

Looking for keywords is left to `router.keywords`. Everything here is pure, and linear in the length of the text also
where somebody wrote the text to hurt.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cached_property
from itertools import count

from typing_extensions import override


class Fold(StrEnum):
    """How much of its spelling counts when a text is compared. Invisible characters never do."""

    #: NFKC and casefold, ä=ae ö=oe ü=ue ß=ss, other diacritics stripped; any dash is `-`, any apostrophe `'`.
    GERMAN = "german"
    #: NFKC and casefold.
    BASIC = "basic"
    #: NFKC; case counts.
    EXACT = "exact"


class _Characters(dict[int, str]):
    """A table for `str.translate` that works out what becomes of a character when it first meets it."""

    #: More than a language needs. A text that runs through all of Unicode shall not stay in memory for good.
    _REMEMBERED = 10_000

    def __init__(self, become: Callable[[str], str]) -> None:
        super().__init__()
        self._become = become

    def __missing__(self, code: int) -> str:
        if len(self) >= self._REMEMBERED:
            self.clear()
        became = self[code] = self._become(chr(code))
        return became


#: Finds what needs more care than `unicodedata.normalize` takes. The ranges hold no mark and nothing invisible.
_UNUSUAL = re.compile("[^\0-\xac\xae-\xb3\xb5-\u02af\u2010-\u2027\u202f-\u205e\u20a0-\u20bf]")
#: Invisible without being of category Cf (Default_Ignorable_Code_Point): variation selectors, fillers, joiners.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
#: Straight, typographic, primes, modifier letters, Armenian, Hebrew, saltillo; and accents typed in their place.
_APOSTROPHES = frozenset(
    "'`\u2018\u2019\u201b\u2032\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u055a\u05f3\ua78c"
    "\u00b4\u0384\u1fbd\u1fbf\u1ffd\u1ffe"
)
_DASHES = frozenset("\u2212\u02d7\u2043")  # minus signs and the bullet, besides the category Pd
_SLASHES = frozenset("/\u2044\u2215\u29f8")
#: With colons, stars and middle dots; besides the categories Pd and Pc.
_GLUE = _APOSTROPHES | _DASHES | frozenset(":\ua789\u2236*\u2217\u204e\u00b7\u2027\u2219\u22c5\u30fb")
#: A run in which marks are counted: CPython sorts them in quadratic time, five seconds for 80,000 on one letter.
_MARKS_IN_A_PILE = 30  # the bound of Unicode's stream-safe format (UAX 15)
_PILE = re.compile(rf"[^\w\s]{{{_MARKS_IN_A_PILE + 1},}}")
#: Combining classes of marks that make another letter instead of adorning one: nukta, kana voicing, virama.
_LETTERLIKE = frozenset({0, 7, 8, 9})
#: Letters which Unicode neither decomposes nor calls "… WITH …".
_PLAIN = {"\N{LATIN SMALL LETTER DOTLESS I}": "i", "ȷ": "j", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}


def fold(text: str, mode: Fold = Fold.GERMAN) -> str:
    """Spell `text` in the one way that `mode` compares by. Folding what is folded changes nothing."""
    if text.isascii():
        return text if mode is Fold.EXACT else text.lower()
    text = _compatible(text)
    if mode is Fold.EXACT:
        return text
    text = _compatible(text.casefold())
    if mode is Fold.BASIC:
        return text
    return unicodedata.normalize("NFC", text.translate(_GERMAN))


def _compatible(text: str) -> str:
    """NFKC, without invisible characters and without lone surrogates, which no encoder takes."""
    if not _UNUSUAL.search(text):
        return unicodedata.normalize("NFKC", text)
    text = unicodedata.normalize("NFKC", _PILE.sub(_thin, text.translate(_CLEAN)))
    return _PILE.sub(_thin, text)


def _thin(pile: re.Match[str]) -> str:
    marks = count(1)
    return "".join(char for char in pile[0] if not is_mark(char) or next(marks) <= _MARKS_IN_A_PILE)


def is_mark(char: str) -> bool:
    """Whether a character is a mark on the letter before it."""
    return unicodedata.category(char)[0] == "M"


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cf" or _IGNORABLE.match(char):
        return ""
    return "\ufffd" if category == "Cs" else char


def _clean(char: str) -> str:
    if char in _APOSTROPHES and unicodedata.normalize("NFKC", char)[0] == " ":
        return "'"  # an accent typed in its place, which NFKC would part into a blank and a mark
    if char in "\uff9e\uff9f":
        return unicodedata.normalize("NFKC", char)  # the only letters that NFKC makes marks: they count in a pile
    return _visible(char)


def _german(char: str) -> str:
    if char.isascii():
        return char
    if char in _APOSTROPHES:
        return "'"
    if char in _DASHES or unicodedata.category(char) == "Pd":
        return "-"
    parts = unicodedata.normalize("NFD", char)
    kept = (part for part in parts if unicodedata.combining(part) in _LETTERLIKE and unicodedata.category(part) != "Me")
    letters = [_plain(part) for part in kept]
    if letters and letters[0] in {"a", "o", "u"} and "\N{COMBINING DIAERESIS}" in parts:
        letters.insert(1, "e")
    return unicodedata.normalize("NFC", "".join(letters))


def _plain(letter: str) -> str:
    """Take the stroke off a letter that does not decompose; đ is "LATIN SMALL LETTER D WITH STROKE", and so on."""
    name, _, ornament = unicodedata.name(letter, "").partition(" WITH ")
    if ornament and re.fullmatch("LATIN SMALL LETTER [A-Z]", name):
        return unicodedata.lookup(name)
    return _PLAIN.get(letter, letter)


_CLEAN = _Characters(_clean)
_GERMAN = _Characters(_german)


def is_glue(char: str) -> bool:
    """Whether a character holds the parts of one word together: a dash, an apostrophe, or one of `: * _ ·`."""
    return char in _GLUE or unicodedata.category(char) in {"Pd", "Pc"}


def _spaced(char: str) -> str:
    if is_glue(char):
        return "-"
    if char in _SLASHES or char.isspace() or unicodedata.category(char) == "Cc":
        return " "
    return char if char.isalnum() or is_mark(char) else f" {char} "


_SPACED = _Characters(_spaced)
#: The parts of a chain that count as one word: as many as the letters that somebody may spell (M-U-S-T-E-R-M-A-N-N).
JOINED_PARTS = 12
#: A longer chain is a table or an attack: its parts are joined in pairs only, to cost no more than other texts do.
_LONG_CHAIN = 64


class FoldedText:
    """One text under one fold, to be asked by many keywords: each view of it is made when first needed, and once.

    A token is a word (a run of letters and digits, with the marks on them) or one symbol. White space, slashes and glue
    are no tokens. So words follow each other where nothing else stands between them; a sentence end is a symbol, and a
    token in between. White space at a symbol does not count (100% = 100 %). Words with only glue between them are a
    chain, whose parts also count joined (E-Mail = Email).
    """

    def __init__(self, text: str, mode: Fold = Fold.GERMAN) -> None:
        self.mode = mode
        self._text = text

    @override
    def __repr__(self) -> str:
        return f"FoldedText({len(self._text)} characters, {self.mode})"  # what was said is for no log

    @cached_property
    def written(self) -> str:
        """The text as it was written, but for compatibility forms and invisible characters."""
        return fold(self._text, Fold.EXACT)

    @cached_property
    def folded(self) -> str:
        """The text in the spelling that its fold compares by."""
        return fold(self._text, self.mode)

    @cached_property
    def collapsed(self) -> str:
        """`folded`, every run of white space as one blank."""
        return collapsed(self.folded)

    @cached_property
    def tokens(self) -> list[str]:
        """The words and symbols of `folded`, in order."""
        return [token for item in self._items for token in item.split("-") if token]

    @cached_property
    def chains(self) -> list[range]:
        """The positions of the tokens of each chain."""
        chains = []
        start = 0
        for item in self._items:
            stop = start + (sum(map(bool, item.split("-"))) if "-" in item else 1)
            if stop - start > 1:
                chains.append(range(start, stop))
            start = stop
        return chains

    @cached_property
    def glued(self) -> frozenset[int]:
        """The positions of the tokens that are glued to the next one."""
        return frozenset(position for chain in self.chains for position in chain[:-1])

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Where each token stands, and where each word begins that parts of a chain make."""
        positions = defaultdict(list)
        for position, token in enumerate(self.tokens):
            positions[token].append(position)
        for chain in self.chains:
            reach = JOINED_PARTS if len(chain) <= _LONG_CHAIN else 2
            for start in chain[:-1]:
                word = self.tokens[start]
                for position in range(start + 1, min(start + reach, chain.stop)):
                    word += self.tokens[position]
                    positions[word].append(start)
        return dict(positions)

    @cached_property
    def words(self) -> list[str]:
        """Each word of `positions`, sorted; no symbols."""
        return sorted(token for token in self.positions if token[0].isalnum())

    @cached_property
    def vocabulary(self) -> str:
        """The `words` as one string: letters that are not in here are in none of them."""
        return " ".join(self.words)

    def words_from(self, prefix: str) -> Iterator[str]:
        """Yield the `words` that begin with `prefix`."""
        for index in range(bisect_left(self.words, prefix), len(self.words)):
            if not self.words[index].startswith(prefix):
                return
            yield self.words[index]

    def end_of(self, word: str, start: int) -> int:
        """Give the position behind the last token of a word of `positions` that begins at `start`."""
        end, letters = start, len(word)
        while letters > 0:
            letters -= len(self.tokens[end])
            end += 1
        return end

    def readings(self, start: int, end: int) -> Iterator[str]:
        """Yield what stands between two positions word by word: each token, and each glued stretch as one word."""
        stretch = ""
        for position in range(start, end):
            yield self.tokens[position]
            stretch += self.tokens[position]
            if position not in self.glued or position == end - 1:
                yield stretch
                stretch = ""

    def passage(self, start: int, end: int) -> str:
        """Give the piece of `collapsed` from the token at `start` to the one before `end`."""
        last = end - 1
        return collapsed(self.folded[self._offsets[start] : self._offsets[last] + len(self.tokens[last])])

    @cached_property
    def _items(self) -> list[str]:
        """Symbols and chains, glue as `-`, found at the speed of `str.translate` and `str.split`."""
        return self.folded.translate(_SPACED).split()

    @cached_property
    def _offsets(self) -> list[int]:
        offsets = []
        end = 0
        for token in self.tokens:
            offset = self.folded.index(token, end)
            offsets.append(offset)
            end = offset + len(token)
        return offsets


def collapsed(text: str) -> str:
    """Make every run of white space one blank."""
    return re.sub(r"\s{2,}|[^\S ]", " ", text)


def wildcards(pattern: str) -> re.Pattern[str]:
    """Compile a glob over a whole string, in which only `*` and `?` are special. It never backtracks over a `*`."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def name_key(name: str) -> str:
    """Give what two spellings of the same name have in common: NFC, trimmed, casefolded. Umlauts stay what they are."""
    composed = unicodedata.normalize("NFC", _PILE.sub(_thin, name))
    return unicodedata.normalize("NFC", composed.casefold()).strip()


def name_glob(pattern: str) -> Callable[[str], bool]:
    """Compile a glob over whole names, compared as `name_key` does; raises ValueError for an empty one."""
    key = name_key(pattern)
    if not key:
        raise ValueError(f"the name {pattern!r} is empty; write a name, or * for any")
    fits = wildcards(key).match
    return lambda name: fits(name_key(name)) is not None


def cut(text: str, length: int) -> str:
    """Give at most `length` (1 or more) characters of `text`; where something is left out, the last one is `…`.

    A letter is not parted from its marks, nor an emoji from what belongs to it.
    """
    if len(text) <= length:
        return text
    return text[: parting(text, max(length, 1) - 1)].rstrip() + "…"


def parting(text: str, end: int) -> int:
    """Give the last place up to `end` where `text` may be parted: a letter from its marks, or an emoji, it may not."""
    while 0 < end < len(text) and _belongs(text, end):
        end -= 1
    return end


def _belongs(text: str, at: int) -> bool:
    """Whether the character there is shown as one with what stands before it."""
    before, char = text[at - 1], text[at]
    return (
        is_mark(char)
        or not _visible(char)
        or before == "\N{ZERO WIDTH JOINER}"
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= char <= "\udfff")
        or (char in _HALVES_OF_FLAGS and (at - len(text[:at].rstrip(_HALVES_OF_FLAGS))) % 2 == 1)
    )


#: Two of them are a flag.
_HALVES_OF_FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))


def one_line(text: str) -> str:
    """Make `text` fit for a title, a subject, a log line or a file name: nothing in it breaks or turns the line.

    Control characters and separators become blanks, white space is collapsed and trimmed, invisible characters go.
    """
    return " ".join(text.translate(_ON_ONE_LINE).split())


def _on_one_line(char: str) -> str:
    return " " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else _visible(char)


_ON_ONE_LINE = _Characters(_on_one_line)


def readable(text: str) -> str:
    """Make `text` fit to be shown as it is, over several lines: what can be seen, in the order in which it was written.

    Line and paragraph separators break lines; other control characters, invisible ones and those that turn a line around
    go. Joiners and variation selectors stay, for emoji and Persian; a pile of marks is thinned.
    """
    return _PILE.sub(_thin, text.replace("\r\n", "\n").translate(_READABLE))


def _readable(char: str) -> str:
    if char in "\n\u200c\N{ZERO WIDTH JOINER}" or "\ufe00" <= char <= "\ufe0f":
        return char
    match unicodedata.category(char):
        case "Zl" | "Zp":
            return "\n"
        case "Cc":
            return "\n" if char in "\r\x0b\x0c\x85" else " " if char == "\t" else ""
        case "Cn" if _NONCHARACTER.match(char):
            return ""
    return _visible(char)


_NONCHARACTER = re.compile(
    "[\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_READABLE = _Characters(_readable)
