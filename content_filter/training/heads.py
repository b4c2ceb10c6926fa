# SPDX-License-Identifier: Apache-2.0
"""Trains the heads of `classifier.Classifier` on vectors and n-grams of the encoder, and calibrates them.

NumPy alone, a minute at most: an operator trains on own data with this, keeping the shipped encoder. What must hold:
scores are calibrated on rows whose source was left out of the training that judged them (`anchors`), never on rows
that the same heads have learned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.classifier import CODES, HEADS, Form, Group, Reading
from content_filter.rows import Row
from content_filter.training import linear
from content_filter.training.corpus import QUARREL_SOURCES, language, weights_of

Floats = NDArray[np.float32]

REVIEW_BP, BLOCK_BP = 5_000, 8_000
"""Thresholds of a class whose scores can be trusted as they are."""
_HIGHEST_BLOCK_BP = 9_900
_WANTED_PRECISION = 0.85
_LEAST_ROWS = 150  # fewer harmless rows do not say where the highest hundredth begins
_REVIEW_SHARE = 0.05  # of ordinary harmless texts
_BLOCK_SHARES = (0.013, 0.008)  # of ordinary harmless prompts, and of answers: what was stopped cannot be asked again
_BLOCK_LOGIT = float(np.log(0.8 / 0.2))
_QUARREL = HEADS.index("quarrel")
_QUARREL_COST = 1.0  # in calibrated logits: abuse must be plainer than a request, or harmless texts have two chances
_ABUSE = frozenset(("A1e", "A2a", "A2b", "A2c", "A2d", "A2e", "A2f", "A2g", "A2h", "A2i"))
_UNNAMED = frozenset({"A1h"})  # sources whose rows all carry this class put everything into it


@dataclass(frozen=True, slots=True)
class Plan:
    """How the heads learn."""

    hidden: int = 96
    class_hidden: int = 64
    passes: int = 6
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1e-4
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network is learned from each; all stand side by side in the one that is stored."""
    words: linear.LinearPlan = field(default_factory=linear.LinearPlan)
    words_share: float = 0.3
    """How much the n-grams say in the mean of the logits."""


def fit(
    vectors: Floats, grams: Sequence[NDArray[np.int64]], size: int, rows: Sequence[Row], plan: Plan | None = None
) -> dict[str, Floats]:
    """Arrays of both heads. `vectors` and `grams` are what the encoder says of the rows and which of its `size` known
    n-grams they have."""
    chosen = plan or Plan()
    wanted, weights = _harm_targets(rows)
    into, into_bias, out, out_bias = _learn(vectors, wanted, weights, chosen.hidden, _logistic, chosen)
    words, words_bias = linear.fit(grams, size, wanted, weights, chosen.words)
    share = np.float32(chosen.words_share)
    harm = (into, into_bias, out * (1 - share), out_bias * (1 - share) + words_bias * share)
    named = [index for index, row in enumerate(rows) if row.category in CODES]
    classes = np.zeros((len(named), len(CODES)), np.float32)
    for place, index in enumerate(named):
        classes[place, CODES.index(rows[index].category)] = 1
    counts = np.maximum(classes.sum(0), 1)
    spread = (classes @ (1 / np.sqrt(counts)))[:, None]
    spread *= np.array([[0.3 if rows[index].is_weak and rows[index].category in _UNNAMED else 1.0] for index in named])
    naming = _learn(vectors[named], classes, spread, chosen.class_hidden, _softmax, chosen)
    names = ("in", "in_bias", "out", "out_bias")
    arrays = {f"harm_{name}": array for name, array in zip(names, harm, strict=True)}
    arrays |= {f"class_{name}": array for name, array in zip(names, naming, strict=True)}
    return arrays | {"words": words * share}


def fit_harm(vectors: Floats, rows: Sequence[Row], plan: Plan) -> dict[str, Floats]:
    """Arrays of the harm heads alone, over vectors of whatever encoder."""
    wanted, weights = _harm_targets(rows)
    harm = _learn(vectors, wanted, weights, plan.hidden, _logistic, plan)
    names = ("harm_in", "harm_in_bias", "harm_out", "harm_out_bias")
    return dict(zip(names, harm, strict=True))


def _harm_targets(rows: Sequence[Row]) -> tuple[Floats, Floats]:
    """For each row and each of `HEADS`, what to say and how much it counts."""
    base = weights_of(rows)
    harmful = np.array([row.is_harmful for row in rows])
    quarrel = np.array([row.source in QUARREL_SOURCES for row in rows])
    abusive = np.array([row.category in _ABUSE for row in rows])
    insulting = np.array([row.category == "A4a" and row.source in ("davidson", "xsafety_zh", "xsafety_en")
                          for row in rows])  # fmt: skip
    answers = np.array([row.role == "response" for row in rows])
    is_abuse = harmful & (abusive | quarrel | insulting)
    wanted = np.stack([harmful, is_abuse, harmful], 1).astype(np.float32)
    request = base * np.where(quarrel, np.where(harmful, 0.1, 0.3), 1.0)
    abuse = base * np.where(harmful & ~is_abuse, 0.0, 1.0)
    answer = base * np.where(answers, 3.0, 0.3)
    return wanted, np.stack([request, abuse, answer], 1).astype(np.float32)


def _logistic(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True), np.float32)


def _learn(
    vectors: Floats, wanted: Floats, weights: Floats, hidden: int, link: Callable[[Floats], Floats], plan: Plan
) -> list[Floats]:
    """The mean of several networks, as one whose hidden units are those of all."""
    learned = [_learn_one(vectors, wanted, weights, hidden, link, plan, seed) for seed in plan.seeds]
    into, into_bias, out, out_bias = zip(*learned, strict=True)
    share = np.float32(1 / len(learned))
    return [
        np.concatenate(into, axis=1),
        np.concatenate(into_bias),
        np.concatenate(out, axis=0) * share,
        np.asarray(np.sum(out_bias, axis=0) * share, np.float32),
    ]


def _learn_one(
    vectors: Floats,
    wanted: Floats,
    weights: Floats,
    hidden: int,
    link: Callable[[Floats], Floats],
    plan: Plan,
    seed: int,
) -> list[Floats]:
    """One hidden layer by Adam; cross entropy under either link has the same slope."""
    draw = np.random.default_rng(seed)
    width, outputs = vectors.shape[1], wanted.shape[1]
    layer = [
        draw.normal(0, 2 * width**-0.5, (width, hidden)).astype(np.float32),
        np.zeros(hidden, np.float32),
        draw.normal(0, hidden**-0.5, (hidden, outputs)).astype(np.float32),
        np.zeros(outputs, np.float32),
    ]
    first = [np.zeros_like(part) for part in layer]
    second = [np.zeros_like(part) for part in layer]
    weights = np.asarray(weights / weights.mean(0), np.float32)
    step = 0
    for turn in range(plan.passes):
        order = draw.permutation(len(vectors))
        rate = plan.rate * (1 - turn / plan.passes)
        for begin in range(0, len(order), plan.batch):
            rows = order[begin : begin + plan.batch]
            given = vectors[rows]
            inner = np.maximum(given @ layer[0] + layer[1], 0)
            error = (link(inner @ layer[2] + layer[3]) - wanted[rows]) * weights[rows] / len(rows)
            back = (error @ layer[2].T) * (inner > 0)
            step += 1
            for index, slope in enumerate((given.T @ back, back.sum(0), inner.T @ error, error.sum(0))):
                first[index] += 0.1 * (slope - first[index])
                second[index] += 0.001 * (slope**2 - second[index])
                change = (first[index] / (1 - 0.9**step)) / (np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8)
                if index in (0, 2):
                    change = change + plan.decay * layer[index]
                layer[index] -= np.float32(rate) * change
    return layer


def group_of(row: Row, reading: Reading, is_sound: bool) -> Group:
    """As the classifier's calibration is divided."""
    form = Form.SOUND if is_sound else Form.CHINESE if language(row) == "zh" else Form.OTHER
    return form, int(row.role == "response"), int(reading.is_long)


@dataclass(frozen=True, slots=True)
class Held:
    """What heads that had not learned a row's source said of it."""

    row: Row
    reading: Reading
    top_class: int
    """Index in `CODES`."""
    is_sound: bool = False
    """Whether it was judged by its sound."""
    sentences: tuple[tuple[str, Floats], ...] = ()
    """Of an answer that was judged as it streams: its sentences and the logits of each. The reading has the highest."""

    @property
    def group(self) -> Group:
        """What the classifier calibrates apart."""
        return group_of(self.row, self.reading, self.is_sound)

    @property
    def is_ordinary(self) -> bool:
        """Harmless, and not about what harmful texts are about."""
        row = self.row
        return not row.is_harmful and row.source not in QUARREL_SOURCES and not row.source.startswith("own_")


def calibrate(held: Sequence[Held]) -> dict[str, NDArray[Any]]:
    """Arrays `anchors`, `last_anchors`, `review_bp` and `block_bp` of a heads file."""
    groups = np.array([item.group for item in held])
    logits = np.array([item.reading.logits for item in held], np.float64)
    ordinary = np.array([item.is_ordinary for item in held])
    anchors = np.zeros((len(Form), 2, 2, len(HEADS), 2))
    last = np.zeros((len(Form), 2, 2, 2))
    best = np.zeros(len(held))
    for group in np.ndindex(len(Form), 2, 2):
        chosen = _enough(groups, ordinary, group)
        for head in range(len(HEADS)):
            anchors[group][head] = _anchor(logits[chosen, head], _BLOCK_SHARES[group[1]])
        anchors[group][_QUARREL][1] -= _QUARREL_COST
        heads = (1, 2) if group[1] else (0, 1)

        def of(rows: NDArray[np.bool_], group: Any = group, heads: Any = heads) -> NDArray[np.float64]:
            scaled = [logits[rows, head] * anchors[group][head][0] + anchors[group][head][1] for head in heads]
            return np.asarray(np.maximum(*scaled))

        last[group] = _anchor(of(chosen), _BLOCK_SHARES[group[1]])
        mine = (groups == group).all(1)
        best[mine] = of(mine) * last[group][0] + last[group][1]
    scores = np.rint(10_000 / (1 + np.exp(-best)))
    return {
        "anchors": anchors,
        "last_anchors": last,
        "review_bp": np.full(len(CODES), REVIEW_BP, np.int32),
        "block_bp": _block_thresholds(held, scores),
    }


def _enough(groups: NDArray[np.int64], ordinary: NDArray[np.bool_], group: tuple[int, ...]) -> NDArray[np.bool_]:
    """Ordinary rows of the group, or of a wider one where they are too few: any role, then any language."""
    for parts in ((0, 1, 2), (0, 2), (0,), ()):
        rows = ordinary.copy()
        for part in parts:
            rows &= groups[:, part] == group[part]
        if rows.sum() >= _LEAST_ROWS:
            return rows
    return ordinary


def _anchor(logits: NDArray[np.float64], block_share: float) -> tuple[float, float]:
    """Slope and shift that put the highest 5 % of harmless rows above 0.5 and the highest `block_share` above 0.8."""
    if not len(logits):
        return 1.0, 0.0
    review, block = np.quantile(logits, [1 - _REVIEW_SHARE, 1 - block_share])
    slope = _BLOCK_LOGIT / max(float(block - review), 0.1)
    return slope, -slope * float(review)


def _block_thresholds(held: Sequence[Held], scores: NDArray[np.float64]) -> NDArray[np.int32]:
    """For each class the lowest score from which most of what is named so is harmful, talk about the topic included."""
    harmful = np.array([item.row.is_harmful for item in held])
    named = np.array([-1 if item.is_sound else item.top_class for item in held])
    weights = weights_of([item.row for item in held])
    found = np.full(len(CODES), BLOCK_BP, np.int32)
    for index in range(len(CODES)):
        mine = named == index
        for threshold in range(BLOCK_BP, _HIGHEST_BLOCK_BP + 1, 100):
            above = mine & (scores >= threshold)
            found[index] = threshold
            total = weights[above].sum()
            if total == 0 or weights[above & harmful].sum() / total >= _WANTED_PRECISION:
                break
    return found
