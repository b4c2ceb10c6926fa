# SPDX-License-Identifier: Apache-2.0
"""Explicit labels on text: which words, in which language, before or after the text, whole or streamed.

Implements GB 45438-2025 clause 5.1 (文本内容显式标识) and 《人工智能生成合成内容标识办法》 article 4(1): words that
hold an AI element and a generation element stand at the start or the end of the text; the corner form (角标) may hold
the AI element alone. The element groups come from the policy; this module holds none.

What must hold for every way in which a text can be cut into pieces: the labelled text is the same, the original text
stands in it unchanged and in one piece, and a label that the text already carries at that place is not written twice
(a model that sees labelled answers in its history imitates them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from labeling.errors import LabelError

MAX_LABEL_CHARS: Final = 200

# Han characters with their extensions and compatibility forms.
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")


def language_of(text: str) -> str | None:
    """``"zh"`` where the text holds a Han character, ``"en"`` where it holds other letters, else None."""
    if _HAN.search(text):
        return "zh"
    return "en" if _LETTER.search(text) else None


def holds_elements(words: str, must_have: Sequence[Sequence[str]]) -> bool:
    """Whether ``words`` hold at least one element of each group.

    An element of ASCII letters counts only as a word of its own (``AI`` is not in ``SAID``), and in any case unless it
    is written in capitals.
    """
    return all(any(_holds(words, element) for element in group) for group in must_have)


def _holds(words: str, element: str) -> bool:
    if not element:
        return False
    if not element.isascii():
        return element in words
    flags = 0 if element.isupper() else re.IGNORECASE
    return re.search(rf"(?<![A-Za-z]){re.escape(element)}(?![A-Za-z])", words, flags) is not None


@dataclass(frozen=True, slots=True)
class TextLabel:
    """The words of a label in both languages, checked against the element groups that the policy asks for.

    ``must_have`` is a sequence of groups, each a sequence of alternatives, for example
    ``(("人工智能", "AI"), ("生成", "合成", "generated"))``. Raises :class:`LabelError` where a language lacks a group.
    """

    zh: str
    en: str
    must_have: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        if not self.must_have or not all(self.must_have):
            raise LabelError("the policy names no elements that a label must hold; give at least one group of words")
        for language, words in (("zh", self.zh), ("en", self.en)):
            check_words(words, f"the {language} label")
            for group in self.must_have:
                if not holds_elements(words, (group,)):
                    raise LabelError(
                        f"the {language} label must hold one of {', '.join(group)} (GB 45438-2025 clause 5)"
                    )

    @classmethod
    def corner(cls, zh: str, en: str, must_have: Sequence[Sequence[str]]) -> Self:
        """The corner-mark form (角标), which needs only the first group, the AI element."""
        return cls(zh, en, tuple(must_have[:1]))

    def choose(self, language: str | None) -> str:
        """The words for a BCP 47 language tag; Chinese where the language is unknown."""
        if language is None or not language:
            return self.zh
        return self.zh if language.lower().split("-")[0].split("_")[0] in ("zh", "cmn", "yue") else self.en

    def choose_for(self, text: str) -> str:
        """The words for the language that the text so far is written in; Chinese where it does not tell."""
        return self.choose(language_of(text))


def check_words(words: str, what: str) -> None:
    """Raise :class:`LabelError` unless ``words`` are one line of visible text without outer spaces."""
    if not words or words != words.strip() or not words.isprintable():
        raise LabelError(f"{what} must be one line of visible characters without spaces around it")
    if len(words) > MAX_LABEL_CHARS:
        raise LabelError(f"{what} may have {MAX_LABEL_CHARS} characters at most, got {len(words)}")


class TextLabeler:
    """Puts a label before the text, after it, or both.

    ``separator`` stands between label and text. A label in the text counts as already there only where it stands alone:
    with a line break beside it if the separator breaks the line, else with white space. "AI生成技术..." is a text about
    AI generation, not a labelled text.
    """

    __slots__ = ("_end", "_separator", "_start")

    def __init__(self, start: str | None, end: str | None, *, separator: str = "\n\n") -> None:
        for words, what in ((start, "the start label"), (end, "the end label")):
            if words is not None:
                check_words(words, what)
        if not separator or not (set(separator) <= set("\r\n") or set(separator) <= set(" \t\u3000")):
            raise LabelError("the separator between label and text must be line breaks only or spaces only")
        self._start = start
        self._end = end
        self._separator = separator

    def head(self) -> str:
        """What stands before the first character of the text; empty without a start label."""
        return self._start + self._separator if self._start else ""

    def tail(self) -> str:
        """What stands after the last character of the text; empty without an end label."""
        return self._separator + self._end if self._end else ""

    def run(self) -> LabelRun:
        """A fresh run over one text lane (one choice, one channel)."""
        return LabelRun(self._start or "", self._end or "", self._separator)

    def label(self, text: str) -> str:
        """The whole text with its labels; an empty text stays empty, because there is nothing to label."""
        run = self.run()
        return run.feed(text) + run.close()


class LabelRun:
    """One text on its way through the labeler, piece by piece.

    At the head at most ``len(start) + len(separator)`` characters wait, and only while they still equal the beginning
    of the label. At the tail nothing waits: the last ``len(end) + len(separator) + 1`` characters are remembered.
    """

    __slots__ = (
        "_boundary",
        "_end",
        "_held",
        "_is_closed",
        "_last",
        "_last_chars",
        "_separator",
        "_start",
        "_total_chars",
        "_undecided",
        "head_added",
        "tail_added",
    )

    def __init__(self, start: str, end: str, separator: str) -> None:
        self._start = start
        self._end = end
        self._separator = separator
        self._boundary = "\r\n" if "\n" in separator else ""
        self._held = ""
        self._undecided = bool(start)
        self._last = ""
        self._last_chars = len(end) + len(separator) + 1
        self._total_chars = 0
        self._is_closed = False
        self.head_added = False
        """Whether the start label was written by this run (False while undecided, or where the text had it)."""
        self.tail_added = False
        """Whether the end label was written by this run."""

    def feed(self, text: str) -> str:
        """Take the next piece and give back what may go out now. Raises :class:`LabelError` after :meth:`close`."""
        if self._is_closed:
            raise LabelError("the label run is closed; start a new one for another text")
        if not text:
            return ""
        self._total_chars += len(text)
        if self._end:
            keep = self._last_chars
            self._last = text[-keep:] if len(text) >= keep else (self._last + text)[-keep:]
        if not self._undecided:
            return text
        self._held += text
        labelled = self._head_state(at_end=False)
        if labelled is None:
            return ""
        return self._release(labelled)

    def close(self) -> str:
        """The rest: what was held, and the end label. An empty text gets no label. A second call gives nothing."""
        if self._is_closed:
            return ""
        self._is_closed = True
        if not self._total_chars:
            return ""
        rest = self._release(bool(self._head_state(at_end=True))) if self._undecided else ""
        if self._end and not self._ends_labelled():
            self.tail_added = True
            rest += self._separator + self._end
        return rest

    def _release(self, is_labelled: bool) -> str:
        self._undecided = False
        held, self._held = self._held, ""
        if is_labelled:
            return held
        self.head_added = True
        return self._start + self._separator + held

    def _head_state(self, *, at_end: bool) -> bool | None:
        """True: the text begins with the label. False: it does not. None: more is needed to know."""
        text = self._held.lstrip()
        if len(self._held) - len(text) > len(self._separator):
            return False
        label = self._start
        if len(text) > len(label):
            return text.startswith(label) and self._is_boundary(text[len(label)])
        if at_end:
            return text == label
        return None if label.startswith(text) else False

    def _ends_labelled(self) -> bool:
        text = self._last.rstrip()
        if len(self._last) - len(text) > len(self._separator) or not text.endswith(self._end):
            return False
        before = len(text) - len(self._end)
        return before == 0 or self._is_boundary(text[before - 1])

    def _is_boundary(self, character: str) -> bool:
        return character in self._boundary if self._boundary else character.isspace()
