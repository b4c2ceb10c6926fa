# SPDX-License-Identifier: Apache-2.0
"""Words inside pictures: read by an installed OCR package, judged as text is.

A picture of a forbidden sentence is that sentence. RapidOCR (`rapidocr`, Apache-2.0, models in the package) and
Tesseract (`pytesseract` and the program) are known by name; any other reader is a plug-in with `read(picture) -> str`.

What must hold: what was read is judged by the checks that need no waiting, and goes nowhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from content_filter.errors import FilterError
from content_filter.filter import Verdict
from content_filter.roles import Role

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_CHARACTERS = 20_000
"""What is judged of the words in one picture."""


class WordReader(Protocol):
    """Reads the words in a picture. Safe between threads."""

    def read(self, picture: Image) -> str:
        """The words in reading order, one line of the picture a line; empty where there are none."""
        ...


class PictureWords:
    """A reader and a judge of texts as a check of pictures."""

    name = "picture_words"

    def __init__(self, reader: WordReader, judge: Callable[[str, Role], Verdict]) -> None:
        """`judge` is asked in whatever thread the picture is looked at."""
        self._reader, self._judge = reader, judge

    def judge(self, picture: Image, role: Role) -> Verdict:
        """The verdict on the words; places in it are those of what was read, so none are given."""
        words = self._reader.read(picture)[:MOST_CHARACTERS]
        if not words.strip():
            return self._judge("", role)
        said = self._judge(words, role)
        return Verdict(said.verdict, role, said.class_code, said.rule, 0, 0, said.score_bp)


class RapidReader:
    """RapidOCR, Chinese and English."""

    def __init__(self) -> None:
        """Raises `FilterError` where the package is not installed."""
        try:
            rapidocr: Any = importlib.import_module("rapidocr")
        except ImportError:
            raise FilterError("reading words in pictures needs rapidocr; install it beside the gateway") from None
        self._engine: Any = rapidocr.RapidOCR()

    def read(self, picture: Image) -> str:
        """The words of all boxes."""
        import numpy as np

        found = self._engine(np.asarray(picture.convert("RGB"))[:, :, ::-1])
        return "\n".join(found.txts or ())


class TesseractReader:
    """Tesseract, in the languages that are installed."""

    def __init__(self) -> None:
        """Raises `FilterError` where package or program are missing."""
        try:
            pytesseract: Any = importlib.import_module("pytesseract")
        except ImportError:
            raise FilterError("reading words in pictures needs pytesseract; install it beside the gateway") from None
        self._engine = pytesseract
        try:
            known = set(pytesseract.get_languages(config=""))
        except Exception:  # the program is missing or does not answer; the package has several errors for that
            raise FilterError("reading words in pictures needs the program tesseract on the path") from None
        self._languages = "+".join(name for name in ("chi_sim", "chi_tra", "eng") if name in known) or "eng"

    def read(self, picture: Image) -> str:
        """The words of the page."""
        return str(self._engine.image_to_string(picture, lang=self._languages))


READERS: dict[str, Callable[[], WordReader]] = {"rapidocr": RapidReader, "pytesseract": TesseractReader}
"""Known readers, by the name of their package."""
