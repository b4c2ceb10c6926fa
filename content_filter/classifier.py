# SPDX-License-Identifier: Apache-2.0
"""Judges by meaning what no list of words can: 31 classes of GB/T 45654-2025 and prompt attacks, Chinese and English.

A text becomes a vector (`encoder`); small heads say how much it looks like a request for something unlawful, like abuse
of people, and, for answers, like content that must not leave, and so does a weight for each known n-gram: what a text
means and what it says are wrong in different places. Another head names the class. A long text is judged whole and in
windows, because harm may stand in one sentence of a harmless page.

The score is between 0 and 10,000 basis points and means the same for every language, role and class: of the ordinary
harmless texts of sources that were left out of training, 5 % reach 5,000 and 1.3 % reach 8,000. It is no probability
that the text is harmful. Each class has two thresholds and so three bands: pass, second opinion (a guard model or a
person), block.

What must hold: the same text, role and weights give the same judgement; a text in which nothing is known passes with
score 0; no judgement carries text.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.encoder import Encoder, distinct, load_arrays
from content_filter.errors import FilterError
from content_filter.features import MAX_CHARACTERS
from content_filter.normalise import normalise, origins
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

CODES = tuple(CLASSES)
"""Class of each output of the class head, in order."""
HEADS = ("request", "quarrel", "answer")
"""Outputs of the harm heads: unlawful requests and attacks, abuse and discrimination, what an answer must not say."""

LONG_CHARACTERS = 120
"""From here on windows are judged beside the whole text."""
_WINDOW, _STEP = 90, 60  # characters; windows of a longer sentence overlap by 30
_LEAST_WINDOW = 16  # shorter sentences are judged with the next
_SENTENCE_END = re.compile(r"[。!?;…]+|[.:] |  +")
_WINDOW_COST = 1.0  # a window must look that much worse than a whole text, in logits, to count as much
_BLOCK_CHARACTERS = MAX_CHARACTERS - _WINDOW  # longer texts are taken in blocks
_FULL_BP = 10_000

Floats = NDArray[np.float32]


class Form(IntEnum):
    """How a text is written, as far as calibration tells it apart."""

    CHINESE = 0
    OTHER = 1
    SOUND = 2
    """Chinese in syllables (`pinyin`)."""


Group = tuple[Form, int, int]
"""What is calibrated apart: form, whether it is an answer, whether it is long."""


class Band(StrEnum):
    """What a score asks for."""

    PASS = "pass"
    SECOND_OPINION = "second_opinion"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the classifier says of one text.

    `class_code` is the likeliest class if the text is harmful at all; `classes` are the first three with their share in
    basis points. `start` and `end` are characters of the original text: the window that decided, or all of it.
    """

    band: Band
    role: Role
    class_code: str
    score_bp: int
    classes: tuple[tuple[str, int], ...]
    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Logits of the harm heads before calibration, and where in the normal form each was found."""

    logits: Floats
    spans: tuple[tuple[int, int], ...]
    vectors: Floats
    """The vector behind each logit, one a head."""
    is_long: bool
    familiarity: float
    """Share of the text's n-grams that the encoder knows: low where writing is disguised."""


class Classifier:
    """Encoder and heads. Read-only, safe to share between threads; about 14 MB."""

    __slots__ = ("_anchors", "_arrays", "_block_bp", "_last_anchors", "_review_bp", "digest", "encoder")

    encoder: Encoder
    digest: str
    """SHA-256 in hex over the weights: which classifier gave a judgement."""

    def __init__(self, encoder: Encoder, heads: Mapping[str, NDArray[Any]], digest: str = "") -> None:
        """Takes the arrays of a heads file. Raises `FilterError` if they are not of this shape."""
        try:
            self._arrays = {name: heads[name].astype(np.float32) for name in _LAYERS}
            self._anchors = heads["anchors"].astype(np.float64)
            self._last_anchors = heads["last_anchors"].astype(np.float64)
            self._review_bp = [int(value) for value in heads["review_bp"]]
            self._block_bp = [int(value) for value in heads["block_bp"]]
            if str(heads["encoder"]) != encoder.digest:
                raise FilterError("the classifier's heads were trained for another encoder; train again")
        except KeyError as error:
            raise FilterError(f"the classifier's weights lack {error.args[0]}; train again") from None
        shapes = (self._arrays["harm_in"].shape[0], *self._arrays["words"].shape)
        if shapes != (encoder.width, encoder.rows, len(HEADS)) or len(self._block_bp) != len(CODES):
            raise FilterError("the classifier's heads do not fit the encoder or the classes; train again")
        self.encoder = encoder
        self.digest = digest

    @classmethod
    def load(cls, folder: str | Path | None = None) -> "Classifier":
        """Reads `encoder.npz` and `heads.npz` from a folder; the shipped ones when None.

        A folder may hold `heads.npz` alone, trained on an operator's own data: the encoder is then the shipped one.
        """
        shipped = Path(str(resources.files("content_filter"))) / "weights"
        place = shipped if folder is None else Path(folder)
        encoder_path = place / "encoder.npz"
        if not encoder_path.exists():
            encoder_path = shipped / "encoder.npz"
        heads_path = place / "heads.npz"
        heads, encoder = load_arrays(heads_path), load_arrays(encoder_path)
        digest = hashlib.sha256(encoder_path.read_bytes() + heads_path.read_bytes()).hexdigest()
        return cls(Encoder(encoder), heads, digest)

    @property
    def thresholds_bp(self) -> dict[str, tuple[int, int]]:
        """For each class from which score on a second opinion is asked for, and from which on a text is blocked."""
        return dict(zip(CODES, zip(self._review_bp, self._block_bp, strict=True), strict=True))

    def judge(self, text: str, role: Role | str = Role.PROMPT) -> Judgement:
        """Judges a whole text."""
        try:
            judged = Role(role)
        except ValueError:
            raise FilterError("unknown role; expected prompt or answer") from None
        return self.judge_normalised(normalise(text), judged, text)

    def judge_normalised(
        self, normalised: str, role: Role, text: str = "", form: Form | None = None, doubt: float = 0.0
    ) -> Judgement:
        """`judge` for a text in normal form; offsets are its own unless the original `text` is given.

        `doubt` is taken from the calibrated logit, for texts that were made readable first (`views`).
        """
        return self.judge_reading(self.read(normalised), normalised, role, text, form, doubt)

    def judge_reading(
        self, reading: Reading | None, normalised: str, role: Role, text: str, form: Form | None, doubt: float
    ) -> Judgement:
        """`judge_normalised` for a text that was read before."""
        whole = len(text) if text else len(normalised)
        if reading is None:
            return Judgement(Band.PASS, role, "", 0, (), 0, whole, "classifier")
        group = (form_of(normalised) if form is None else form, int(role is Role.ANSWER), int(reading.is_long))
        score_bp, head = self._score(reading, group, doubt)
        shares = self._shares(reading.vectors[head])
        top = np.argsort(-shares, kind="stable")[:3]
        first = int(top[0])
        band = self._band(score_bp, first)
        start, end = reading.spans[head]
        if text and band is not Band.PASS:
            owners = origins(text)
            start, end = owners[start], owners[end - 1] + 1
        elif text:
            start, end = 0, whole
        classes = tuple((CODES[int(index)], round(float(shares[index]) * _FULL_BP)) for index in top)
        return Judgement(band, role, CODES[first], score_bp, classes, start, end, f"classifier:{HEADS[head]}")

    def familiarity(self, normalised: str) -> float:
        """Share of the n-grams of a text in normal form that the encoder knows; 1 for a text without any."""
        places = self.encoder.places(normalised)
        return len(places.rows) / places.total if places.total else 1.0

    def read(self, normalised: str) -> Reading | None:
        """Logits of a text in normal form; None when nothing in it is known."""
        readings = [
            reading
            for begin in range(0, max(1, len(normalised)), _BLOCK_CHARACTERS)
            if (reading := self._read_block(normalised[begin : begin + MAX_CHARACTERS], begin)) is not None
        ]
        if len(readings) < 2:
            return readings[0] if readings else None
        best = np.argmax([reading.logits for reading in readings], axis=0)
        return Reading(
            logits=np.array([readings[index].logits[head] for head, index in enumerate(best)], np.float32),
            spans=tuple(readings[index].spans[head] for head, index in enumerate(best)),
            vectors=np.array([readings[index].vectors[head] for head, index in enumerate(best)]),
            is_long=True,
            familiarity=min(reading.familiarity for reading in readings),
        )

    def _read_block(self, block: str, offset: int) -> Reading | None:
        places = self.encoder.places(block)
        if places.is_empty:
            return None
        is_long = len(block) > LONG_CHARACTERS
        spans = [(0, len(block))]
        if is_long:
            spans += _windows(block)
        rows = [distinct(places.rows), *(places.within(*span) for span in spans[1:])]
        vectors = self.encoder.finish(np.stack([self.encoder.sums(part) for part in rows]))
        logits = self._harm(vectors) + self._words(rows)
        logits[1:] -= _WINDOW_COST
        best = logits.argmax(0)
        return Reading(
            logits=logits[best, np.arange(len(HEADS))],
            spans=tuple((spans[index][0] + offset, spans[index][1] + offset) for index in best),
            vectors=vectors[best],
            is_long=is_long or offset > 0,
            familiarity=len(places.rows) / places.total,
        )

    def top_class(self, reading: Reading, group: Group) -> int:
        """Index in `CODES` of the likeliest class."""
        return int(self._shares(reading.vectors[self._score(reading, group)[1]]).argmax())

    def verdict(self, reading: Reading, group: Group, top_class: int) -> tuple[int, Band]:
        """Score in basis points and band of a reading; with what it is compared is `group`."""
        score_bp = self._score(reading, group)[0]
        return score_bp, self._band(score_bp, top_class)

    def _score(self, reading: Reading, group: Group, doubt: float = 0.0) -> tuple[int, int]:
        """Calibrated score in basis points, and the head that gave it."""
        heads = (1, 2) if group[1] else (0, 1)
        anchors = self._anchors[group]
        anchored = [float(reading.logits[head]) * anchors[head][0] + anchors[head][1] for head in heads]
        best = max(anchored)
        slope, shift = self._last_anchors[group]
        return round(_FULL_BP * _logistic(best * slope + shift - doubt)), heads[anchored.index(best)]

    def _band(self, score_bp: int, class_index: int) -> Band:
        if score_bp >= self._block_bp[class_index]:
            return Band.BLOCK
        return Band.SECOND_OPINION if score_bp >= self._review_bp[class_index] else Band.PASS

    def _harm(self, vectors: Floats) -> Floats:
        arrays = self._arrays
        hidden = np.maximum(vectors @ arrays["harm_in"] + arrays["harm_in_bias"], 0)
        logits: Floats = hidden @ arrays["harm_out"] + arrays["harm_out_bias"]
        return logits

    def _words(self, rows: list[NDArray[np.int64]]) -> Floats:
        words = self._arrays["words"]
        return np.stack([words[part].sum(0) / np.float32(math.sqrt(max(1, len(part)))) for part in rows])

    def _shares(self, vector: Floats) -> Floats:
        arrays = self._arrays
        hidden = np.maximum(vector @ arrays["class_in"] + arrays["class_in_bias"], 0)
        logits = hidden @ arrays["class_out"] + arrays["class_out_bias"]
        raised = np.exp(logits - logits.max())
        shares: Floats = raised / raised.sum()
        return shares


_LAYERS = (
    "harm_in", "harm_in_bias", "harm_out", "harm_out_bias", "words",
    "class_in", "class_in_bias", "class_out", "class_out_bias",
)  # fmt: skip


def form_of(normalised: str) -> Form:
    """Chinese where a tenth of a text is Han."""
    if normalised.isascii():
        return Form.OTHER
    han = sum("\u3400" <= char <= "\u9fff" for char in normalised[:500])
    return Form.CHINESE if han * 10 >= min(len(normalised), 500) else Form.OTHER


def _windows(block: str) -> list[tuple[int, int]]:
    """The sentences of a text, short ones joined, long ones cut."""
    ends = [match.end() for match in _SENTENCE_END.finditer(block)]
    spans, start = [], 0
    for end in (*ends, len(block)):
        if end - start < _LEAST_WINDOW and end < len(block):
            continue
        while end - start > _WINDOW:
            spans.append((start, start + _WINDOW))
            start += _STEP
        if end > start:
            spans.append((start, end))
        start = end
    return spans


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
