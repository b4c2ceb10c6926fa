# SPDX-License-Identifier: Apache-2.0
"""Other readings of a text: what a person sees behind a disguise.

`normalise` undoes what can be undone one character at a time and without doubt. A view undoes what needs the
neighbours and may be wrong: separators between characters, escapes, look-alike letters, digits for letters, characters
written as their parts, columns, reversal, sound. Each view is made only where the text shows the trace of its disguise;
most texts have none, and then `views` costs one scan.

Whoever judges takes the strongest verdict over all views, less `View.doubt`: a harmless text in the same disguise has
the same view, and must stay harmless. What must hold: a view says for each of its characters which character of the
original it came from, so that a verdict can point there; views are bounded in number and in length.
"""

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick

from content_filter.lookalikes import HOMOGLYPHS, LEET, PARTS
from content_filter.normalise import normalise
from content_filter.pinyin import read_aloud, sounded

MAX_CHARACTERS = 8_000
"""Longer texts are looked at this far; the plain form of a text is judged whole by the caller in any case."""
_MAX_ROUNDS = 3  # of decoding what was decoded
_MAX_DECODED = 8_000


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text. `origins` has, for each character of `text`, its index in the text that was given.

    `doubt` is what a score loses, in the classifier's calibrated logits, because the reading may be made up; `kind`
    names the disguise in rules and records. `is_sound` says that the text is in syllables.
    """

    kind: str
    text: str
    origins: tuple[int, ...]
    doubt: float
    is_sound: bool = False


Mapped = tuple[str, list[int]]


def views(text: str, plain: str | None = None) -> Iterator[View]:
    """Readings of an original text other than its plain normal form, the most likely first, all in normal form.

    `plain` is that form, where the caller has it already.
    """
    form = normalise(text) if plain is None else plain
    yield from _disguises(text[:MAX_CHARACTERS], form)
    aloud = read_aloud(form[:MAX_CHARACTERS]) if _SYLLABLES.search(form) else None
    if aloud is not None and aloud != form:
        # Syllables are re-cut, so places are not traced: the whole text is meant.
        yield View("pinyin", aloud, (), 0.3, True)


def _disguises(text: str, plain: str) -> Iterator[View]:
    if not _has_trace(text):
        return
    seen = {plain}
    start: Mapped = (text, list(range(len(text))))
    decoded = _decoded(start)
    base = decoded or start
    if decoded is not None:
        yield from _new("escapes", decoded, 0.3, seen)
        aloud = read_aloud(normalise(decoded[0]))
        if aloud is not None and aloud not in seen:
            seen.add(aloud)
            yield View("escapes", aloud, (), 0.6, True)
    for kind, undo, doubt in _UNDO:
        found = undo(base)
        if found is not None:
            yield from _new(kind, found, doubt, seen)
            further = _collapsed(found) if undo is not _collapsed else _leet(found)
            if further is not None:
                yield from _new(kind, further, doubt + 0.2, seen)


def sound_view(normalised: str) -> View | None:
    """How a Chinese text sounds, against characters that sound alike; None for a text without Chinese."""
    if normalised.isascii():
        return None
    text = sounded(normalised)
    return None if text == normalised else View("sound", text, (), 0.8, True)


def reversed_view(normalised: str) -> View | None:
    """The text read from its end; for callers that have a reason to suspect it."""
    if len(normalised) < 4:
        return None
    return View("reversal", normalised[::-1], tuple(range(len(normalised) - 1, -1, -1)), 0.8)


def _new(kind: str, mapped: Mapped, doubt: float, seen: set[str]) -> Iterator[View]:
    text, origins = _normal(mapped)
    if text.strip() and text not in seen:
        seen.add(text)
        yield View(kind, text, tuple(origins), doubt)


def _normal(mapped: Mapped) -> Mapped:
    text, origins = mapped
    out, places = [], []
    for char, origin in zip(text, origins, strict=True):
        image = normalise(char)
        out.append(image)
        places += [origin] * len(image)
    return "".join(out), places


def _replaced(mapped: Mapped, pattern: re.Pattern[str], image: Callable[[re.Match[str]], str | None]) -> Mapped | None:
    """Replaces matches by their image; None where there is no change. New characters come from the match's first."""
    text, origins = mapped
    out: list[str] = []
    places: list[int] = []
    done, changed = 0, False
    for match in pattern.finditer(text):
        new = image(match)
        if new is None:
            continue
        changed = True
        out.append(text[done : match.start()])
        places += origins[done : match.start()]
        out.append(new)
        span = match.end() - match.start()
        places += [
            origins[match.start() + min(index * span // max(len(new), 1), span - 1)] for index in range(len(new))
        ]
        done = match.end()
    if not changed:
        return None
    return "".join((*out, text[done:])), places + origins[done:]


# Escapes -------------------------------------------------------------------------------------------------------------

_ESCAPE = re.compile(
    r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});"
    r"|(?:%[0-9a-fA-F]{2})+"
    r"|(?:\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\U[0-9a-fA-F]{8}|\\u\{[0-9a-fA-F]{1,6}\})+"
    r"|(?:0x)?(?:[0-9a-fA-F]{2}[ ,:]?){8,}"
    r"|[A-Za-z0-9+/_-]{12,}={0,2}"
)
_BACKSLASH = re.compile(r"\\u\{([0-9a-fA-F]{1,6})\}|\\[uxU]([0-9a-fA-F]{8}|[0-9a-fA-F]{4}|[0-9a-fA-F]{2})")


def _decoded(mapped: Mapped) -> Mapped | None:
    current: Mapped | None = None
    for _ in range(_MAX_ROUNDS):
        following = _replaced(current or mapped, _ESCAPE, _unescaped)
        if following is None or len(following[0]) > _MAX_DECODED:
            break
        current = following
    return current


def _unescaped(match: re.Match[str]) -> str | None:
    found = match[0]
    if found.startswith("&"):
        plain = html.unescape(found)
        return None if plain == found else plain
    if found.startswith("%"):
        return _readable(urllib.parse.unquote_to_bytes(found))
    if found.startswith("\\"):
        if found.startswith("\\x"):
            return _readable(bytes.fromhex(found.replace("\\x", ""))) if "\\u" not in found else None
        return _BACKSLASH.sub(lambda code: _char(int(code[1] or code[2], 16)), found)
    digits = re.sub("[^0-9a-fA-F]", "", found.removeprefix("0x"))
    if len(digits) * 10 >= len(found) * 6 and len(digits) >= 16 and len(digits) % 2 == 0:
        text = _readable(bytes.fromhex(digits))
        if text is not None:
            return text
    return _from_base64(found)


def _from_base64(found: str) -> str | None:
    body = found.rstrip("=")
    if len(body) % 4 == 1:
        return None
    try:
        raw = base64.b64decode(body.replace("-", "+").replace("_", "/") + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return _readable(raw)


def _readable(raw: bytes) -> str | None:
    """The bytes as text, if they are one: UTF-8 or GB 18030, and nearly all of it letters a person would write."""
    for encoding in ("utf-8", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        common = sum(map(_is_common, text))
        if text and common >= 0.95 * len(text) and any(char.isalpha() for char in text):
            if encoding == "gb18030" and text.isascii():
                return None
            return text
    return None


def _is_common(char: str) -> bool:
    if char.isascii():
        return char.isprintable() or char in "\n\t"
    return "\u4e00" <= char <= "\u9fff" or char in "，。？！、：；“”‘’（）"


def _char(code: int) -> str:
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


# Look-alikes ---------------------------------------------------------------------------------------------------------

_FOREIGN_LETTERS = re.compile("[" + "".join(HOMOGLYPHS) + "]")
_WORD = re.compile(r"\S+")
_LEET_WORD = re.compile(r"[A-Za-z0-9@$!|+]{2,}")


def _homoglyphs(mapped: Mapped) -> Mapped | None:
    """Greek and Cyrillic letters in words that also have Latin ones, or that are made of look-alikes alone."""

    def image(match: re.Match[str]) -> str | None:
        word = match[0]
        if not _FOREIGN_LETTERS.search(word):
            return None
        new = "".join(HOMOGLYPHS.get(char, char) for char in word)
        return new if new.isascii() else None

    return _replaced(mapped, _WORD, image)


def _leet(mapped: Mapped) -> Mapped | None:
    """Digits and signs for letters, in words that have both."""

    def image(match: re.Match[str]) -> str | None:
        word = match[0]
        core = word.rstrip("!")
        letters = sum(char.isalpha() for char in core)
        signs = sum(char in LEET for char in core)
        if not letters or not signs or letters + signs < len(core) or signs > letters + 2:
            return None
        return "".join(LEET.get(char, char) for char in core) + word[len(core) :]

    return _replaced(mapped, _LEET_WORD, image)


# Separators ----------------------------------------------------------------------------------------------------------

_SEPARATOR = r"[\s\-_.,·•・*~|/\\+=^'\"`，。、…—　（）()\[\]【】<>《》!@#$%&]"
_APART_HAN = re.compile(rf"[\u4e00-\u9fff](?:{_SEPARATOR}{{1,3}}[\u4e00-\u9fff]){{2,}}")
_APART_LATIN = re.compile(rf"(?<![A-Za-z])[A-Za-z](?:{_SEPARATOR}{{1,3}}[A-Za-z](?![A-Za-z])){{2,}}")


def _collapsed(mapped: Mapped) -> Mapped | None:
    """Characters that stand apart are drawn together; between Latin letters a wider gap parts words."""
    text, origins = mapped
    pieces: list[tuple[int, int]] = []
    keep = [True] * len(text)
    changed = False
    for pattern in (_APART_HAN, _APART_LATIN):
        for match in pattern.finditer(text):
            gaps = [index for index in range(match.start(), match.end()) if not text[index].isalnum()]
            pieces.append(match.span())
            wide = _word_gaps(text, match.start(), match.end()) if pattern is _APART_LATIN else set()
            for index in gaps:
                keep[index] = index in wide
                changed = changed or not keep[index]
    if not changed:
        return None
    kept = [index for index, use in enumerate(keep) if use]
    out = "".join(text[index] if text[index].isalnum() or not _inside(index, pieces) else " " for index in kept)
    return out, [origins[index] for index in kept]


def _inside(index: int, pieces: list[tuple[int, int]]) -> bool:
    return any(start <= index < end for start, end in pieces)


def _word_gaps(text: str, start: int, end: int) -> set[int]:
    """First characters of the gaps that are wider than the narrowest, or that alone hold a space."""
    gaps, index = [], start
    while index < end:
        if text[index].isalnum():
            index += 1
            continue
        begin = index
        while index < end and not text[index].isalnum():
            index += 1
        gaps.append((begin, text[begin:index]))
    narrowest = min(len(gap) for _, gap in gaps)
    tight = [gap for _, gap in gaps if not gap.isspace()]
    return {begin for begin, gap in gaps if len(gap) > narrowest or (tight and gap.isspace())}


# Parts and columns ---------------------------------------------------------------------------------------------------

_PART_PAIR = re.compile("|".join(sorted(map(re.escape, PARTS), key=len, reverse=True)))


def _joined(mapped: Mapped) -> Mapped | None:
    """Characters written as their left and right parts, where at least two stand in the text."""
    found = _PART_PAIR.findall(mapped[0])
    return _replaced(mapped, _PART_PAIR, lambda match: PARTS[match[0]]) if len(found) >= 2 else None


def _columns(mapped: Mapped) -> Mapped | None:
    """Vertical text: lines of one character, or of equally few, read downwards from the right."""
    text, origins = mapped
    lines: list[list[int]] = [[]]
    for index, char in enumerate(text):
        if char == "\n":
            lines.append([])
        elif not char.isspace() and char not in "|｜":
            lines[-1].append(index)
    rows = [line for line in lines if line]
    width = max(map(len, rows), default=0)
    if len(rows) < 3 or width > 8 or (len(rows) < width and width > 1) or sum(map(len, rows)) < 4:
        return None
    order = [row[column] for column in range(width - 1, -1, -1) for row in rows if column < len(row)]
    return "".join(text[index] for index in order), [origins[index] for index in order]


_TRACES = (
    # Escapes; a long word of small letters is just a long word.
    re.compile(
        r"[&%\\]|\b(?![A-Za-z]?[a-z]+\b)[0-9A-Za-z+/_-]{12}|[0-9a-fA-F]{2}[ ,:][0-9a-fA-F]{2}[ ,:][0-9a-fA-F]{2}[ ,:]"
    ),
    re.compile(rf"[\u4e00-\u9fff]{_SEPARATOR}{{1,3}}[\u4e00-\u9fff]{_SEPARATOR}{{1,3}}[\u4e00-\u9fff]"),
    re.compile(rf"(?<![A-Za-z])[A-Za-z]{_SEPARATOR}{{1,3}}[A-Za-z]{_SEPARATOR}{{1,3}}[A-Za-z](?![A-Za-z])"),
    re.compile(rf"{_FOREIGN_LETTERS.pattern}|[A-Za-z][0-9@$!|+]|[0-9@$|+][A-Za-z]"),
    re.compile(r"\n[^\n]{1,16}\n"),  # columns
)
_PARTS_ENGINE = AhoCorasick(list(PARTS))


def _has_trace(text: str) -> bool:
    """Where this says no, no disguise that is undone here can be in the text. Cheap: it runs for every text."""
    return any(trace.search(text) for trace in _TRACES) or len(_PARTS_ENGINE.find_matches_as_indexes(text)) > 1


_SYLLABLES = re.compile(r"[a-z]{2,} ?[a-z]{2,}")

_UNDO: tuple[tuple[str, Callable[[Mapped], Mapped | None], float], ...] = (
    ("separators", _collapsed, 0.2),
    ("homoglyphs", _homoglyphs, 0.1),
    ("leet", _leet, 0.2),
    ("parts", _joined, 0.3),
    ("columns", _columns, 0.4),
)
"""Kind, how it is undone, and the doubt about it."""
