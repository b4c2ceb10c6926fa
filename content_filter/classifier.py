# SPDX-License-Identifier: Apache-2.0
"""Judges by meaning what no list of words can: 31 classes of GB/T 45654-2025 and prompt attacks, Chinese and English.

A text becomes a vector (`encoder`); small heads say how much it looks like a request for something unlawful, like abuse
of people, and, for answers, like content that must not leave, and so does a weight for each known n-gram: what a text
means and what it says are wrong in different places. Another head names the class. A long text is judged whole and in
windows, because harm may stand in one sentence of a harmless page.

The score is between 0 and 10,000 basis points and means the same for every language, role and class: of the ordinary
harmless texts of sources that were left out of training, 5 % reach 5,000 and 1.3 % (of answers, by the worst of their
sentences, 0.8 %) reach 8,000. It is no probability that the text is harmful. Each class has two thresholds and so three
bands: pass, second opinion (a guard model or a person), block.

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
from content_filter.second_encoder import Second, SecondEncoder, is_installed
from content_filter.taxonomy import CLASSES

CODES = tuple(CLASSES)
"""Class of each output of the class head, in order."""
HEADS = ("request", "quarrel", "answer")
"""Outputs of the harm heads: unlawful requests and attacks, abuse and discrimination, what an answer must not say."""

ASK_SECOND_BP = 1_000
"""Below this score of the first the second encoder is not asked: it would not find more, and three quarters of ordinary
texts are below."""
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


@dataclass(frozen=True, slots=True)
class Scale:
    """What turns logits into scores and scores into bands: a calibration, from held-out sources."""

    anchors: NDArray[np.float64]
    last_anchors: NDArray[np.float64]
    review_bp: tuple[int, ...]
    block_bp: tuple[int, ...]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Scale":
        """The arrays of a weights file. Raises `KeyError` for one that is missing."""
        return cls(
            arrays["anchors"].astype(np.float64),
            arrays["last_anchors"].astype(np.float64),
            tuple(int(value) for value in arrays["review_bp"]),
            tuple(int(value) for value in arrays["block_bp"]),
        )

    def score(self, logits: Floats, group: Group, doubt: float = 0.0) -> tuple[int, int]:
        """Calibrated score in basis points, and the head that gave it; `group` is with what it is compared."""
        heads = (1, 2) if group[1] else (0, 1)
        anchors = self.anchors[group]
        anchored = [float(logits[head]) * anchors[head][0] + anchors[head][1] for head in heads]
        best = max(anchored)
        slope, shift = self.last_anchors[group]
        return round(_FULL_BP * _logistic(best * slope + shift - doubt)), heads[anchored.index(best)]

    def band(self, score_bp: int, class_index: int) -> Band:
        """The band of a score of a class, which is an index in `CODES`."""
        if score_bp >= self.block_bp[class_index]:
            return Band.BLOCK
        return Band.SECOND_OPINION if score_bp >= self.review_bp[class_index] else Band.PASS


class Classifier:
    """Encoder and heads, and a second encoder where one is given. Read-only, safe to share between threads; about 14 MB
    without the second."""

    __slots__ = ("_arrays", "_mixed_scale", "_scale", "digest", "encoder", "second")

    encoder: Encoder
    second: SecondEncoder | None
    digest: str
    """SHA-256 in hex over the weights: which classifier gave a judgement."""

    def __init__(
        self,
        encoder: Encoder,
        heads: Mapping[str, NDArray[Any]],
        digest: str = "",
        second: SecondEncoder | None = None,
        mixture: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Takes the arrays of a heads file, and of the second encoder's file as `mixture`: what both say together is
        calibrated by itself. Raises `FilterError` if they are not of this shape."""
        try:
            self._arrays = {name: heads[name].astype(np.float32) for name in _LAYERS}
            self._scale = Scale.of(heads)
            self._mixed_scale = None if mixture is None else Scale.of(mixture)
            if str(heads["encoder"]) != encoder.digest:
                raise FilterError("the classifier's heads were trained for another encoder; train again")
        except KeyError as error:
            raise FilterError(f"the classifier's weights lack {error.args[0]}; train again") from None
        shapes = (self._arrays["harm_in"].shape[0], *self._arrays["words"].shape)
        if shapes != (encoder.width, encoder.rows, len(HEADS)) or len(self._scale.block_bp) != len(CODES):
            raise FilterError("the classifier's heads do not fit the encoder or the classes; train again")
        self.encoder = encoder
        self.second = second
        self.digest = digest

    @classmethod
    def load(cls, folder: str | Path | None = None, *, second: Second | str = Second.OFF) -> "Classifier":
        """Reads `encoder.npz` and `heads.npz` from a folder; the shipped ones when None.

        A folder may hold `heads.npz` alone, trained on an operator's own data: the encoder is then the shipped one.
        `second` says whether the second encoder is used, whose heads are in `second.npz`. Raises `FilterError`.
        """
        shipped = Path(str(resources.files("content_filter"))) / "weights"
        place = shipped if folder is None else Path(folder)
        encoder_path = place / "encoder.npz"
        if not encoder_path.exists():
            encoder_path = shipped / "encoder.npz"
        heads_path = place / "heads.npz"
        heads, encoder = load_arrays(heads_path), load_arrays(encoder_path)
        digest = hashlib.sha256(encoder_path.read_bytes() + heads_path.read_bytes())
        second_path = place / "second.npz"
        if second == Second.OFF or (second == Second.AUTO and not (second_path.exists() and is_installed())):
            return cls(Encoder(encoder), heads, digest.hexdigest())
        mixture = load_arrays(second_path)
        if str(mixture.get("heads")) != hashlib.sha256(heads_path.read_bytes()).hexdigest():
            raise FilterError("the second encoder's weights were trained beside other heads; train again")
        digest.update(second_path.read_bytes())
        return cls(Encoder(encoder), heads, digest.hexdigest(), SecondEncoder.load(mixture), mixture)

    @property
    def thresholds_bp(self) -> dict[str, tuple[int, int]]:
        """For each class from which score on a second opinion is asked for, and from which on a text is blocked."""
        scale = self._mixed_scale or self._scale
        return dict(zip(CODES, zip(scale.review_bp, scale.block_bp, strict=True), strict=True))

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
        scale = self._scale
        score_bp, head = scale.score(reading.logits, group, doubt)
        is_asked = score_bp >= ASK_SECOND_BP and group[0] is not Form.SOUND  # it knows no text by its sound
        if is_asked and self.second is not None and self._mixed_scale is not None:
            scale = self._mixed_scale
            logits = self.second.mixed(reading.logits, written(reading, normalised, text))
            score_bp, head = scale.score(logits, group, doubt)
        shares = self._shares(reading.vectors[head])
        top = np.argsort(-shares, kind="stable")[:3]
        first = int(top[0])
        band = scale.band(score_bp, first)
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
        return int(self._shares(reading.vectors[self._scale.score(reading.logits, group)[1]]).argmax())

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


def written(reading: Reading, normalised: str, text: str) -> list[str]:
    """The part of the original text where each head found its logit; of the normal form where there is no original."""
    if not text:
        return [normalised[start:end] for start, end in reading.spans]
    if all(span == (0, len(normalised)) for span in reading.spans):
        return [text] * len(reading.spans)
    owners = origins(text)
    return [text[owners[start] : owners[end - 1] + 1] for start, end in reading.spans]


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
