# SPDX-License-Identifier: Apache-2.0
"""Heads learn what can be told apart, and scores mean the shares of harmless rows that they promise."""

import numpy as np

from content_filter.classifier import CODES, HEADS, Form, Reading
from content_filter.rows import Row
from content_filter.training.heads import BLOCK_BP, REVIEW_BP, Held, Plan, calibrate, fit


def _row(is_harmful: bool, category: str = "A1d", source: str = "s", role: str = "prompt", lang: str = "zh") -> Row:
    return Row("x", lang, role, is_harmful, category if is_harmful else "none", source)


def test_heads_tell_apart_what_differs() -> None:
    """Harm along one axis, the class along another."""
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(800, 8)).astype(np.float32)
    rows = [_row(bool(vector[0] > 0), "A1d" if vector[1] > 0 else "A3e") for vector in vectors]

    grams = [np.zeros(0, np.int64)] * len(rows)
    arrays = fit(vectors, grams, 1, rows, Plan(hidden=16, class_hidden=16, passes=12, batch=32, rate=1e-2, seeds=(0,)))
    hidden = np.maximum(vectors @ arrays["harm_in"] + arrays["harm_in_bias"], 0)
    harm = (hidden @ arrays["harm_out"] + arrays["harm_out_bias"])[:, 0] > 0
    inner = np.maximum(vectors @ arrays["class_in"] + arrays["class_in_bias"], 0)
    named = (inner @ arrays["class_out"] + arrays["class_out_bias"]).argmax(1)
    is_harmful = np.array([row.is_harmful for row in rows])

    assert np.mean(harm == is_harmful) > 0.93
    right = [CODES[index] == row.category for index, row in zip(named, rows, strict=True) if row.is_harmful]
    assert np.mean(right) > 0.9


def test_several_seeds_stand_side_by_side_as_their_mean() -> None:
    """The stored network says the mean of what each says."""
    draw = np.random.default_rng(2)
    vectors = draw.normal(size=(200, 4)).astype(np.float32)
    rows = [_row(bool(vector[0] > 0)) for vector in vectors]

    def logits(seeds: tuple[int, ...]) -> np.ndarray:
        grams = [np.zeros(0, np.int64)] * len(rows)
        arrays = fit(vectors, grams, 1, rows, Plan(hidden=8, class_hidden=4, passes=2, seeds=seeds))
        hidden = np.maximum(vectors @ arrays["harm_in"] + arrays["harm_in_bias"], 0)
        return np.asarray(hidden @ arrays["harm_out"] + arrays["harm_out_bias"])

    assert np.allclose(logits((0, 1)), (logits((0,)) + logits((1,))) / 2, atol=1e-4)


def test_what_words_say_is_a_share_of_the_mean() -> None:
    """One n-gram that only harmful rows have: it speaks where the vectors say nothing."""
    rows = [_row(bool(number % 2)) for number in range(200)]
    vectors = np.zeros((200, 2), np.float32)
    grams = [np.array([number % 2]) for number in range(200)]

    arrays = {share: fit(vectors, grams, 2, rows, Plan(4, 4, 1, seeds=(0,), words_share=share)) for share in (0.2, 0.4)}

    assert arrays[0.2]["words"][1, 0] > 0 > arrays[0.2]["words"][0, 0]
    assert np.allclose(arrays[0.4]["words"], 2 * arrays[0.2]["words"], rtol=1e-3)


def test_abuse_must_be_plainer_than_a_request() -> None:
    """Or each harmless text would have two chances to be stopped."""
    draw = np.random.default_rng(6)
    arrays = calibrate([_held(float(draw.normal()), _row(False)) for _ in range(500)])
    request, quarrel = arrays["anchors"][0, 0, 0, 0], arrays["anchors"][0, 0, 0, 1]

    assert np.isclose(quarrel[1] - 3 * quarrel[0], request[1] - 1.0, atol=1e-4)  # its logits are 3 lower


def _held(logit: float, row: Row, top_class: int = 3, is_sound: bool = False) -> Held:
    logits = np.array([logit, logit - 3, logit], np.float32)
    spans = ((0, 1),) * len(HEADS)
    return Held(row, Reading(logits, spans, np.zeros((3, 2), np.float32), False, 1.0), top_class, is_sound)


def _scores(held: list[Held], arrays: dict[str, np.ndarray]) -> np.ndarray:
    found = []
    for item in held:
        group = item.group
        heads = (1, 2) if group[1] else (0, 1)
        best = max(
            item.reading.logits[head] * arrays["anchors"][group][head][0] + arrays["anchors"][group][head][1]
            for head in heads
        )
        slope, shift = arrays["last_anchors"][group]
        found.append(10_000 / (1 + np.exp(-(best * slope + shift))))
    return np.array(found)


def test_of_ordinary_rows_five_percent_reach_review_and_one_block() -> None:
    """In every language, though their logits differ by a lot."""
    draw = np.random.default_rng(3)
    held = [_held(float(draw.normal()), _row(False, lang="zh")) for _ in range(2_000)]
    held += [_held(float(5 + 2 * draw.normal()), _row(False, lang="en")) for _ in range(2_000)]

    arrays = calibrate(held)
    scores = _scores(held, arrays)

    for part in (scores[:2_000], scores[2_000:]):
        assert abs(np.mean(part >= REVIEW_BP) - 0.05) < 0.003
        assert abs(np.mean(part >= BLOCK_BP) - 0.013) < 0.003


def test_of_ordinary_answers_fewer_are_stopped() -> None:
    """What was stopped cannot be asked again."""
    draw = np.random.default_rng(6)
    held = [_held(float(draw.normal()), _row(False, role="response")) for _ in range(4_000)]

    scores = _scores(held, calibrate(held))

    assert abs(np.mean(scores >= REVIEW_BP) - 0.05) < 0.003
    assert abs(np.mean(scores >= BLOCK_BP) - 0.008) < 0.002


def test_groups_with_few_rows_are_calibrated_with_wider_ones() -> None:
    """A handful of answers does not say where the highest hundredth begins."""
    draw = np.random.default_rng(4)
    held = [_held(float(draw.normal()), _row(False)) for _ in range(500)]
    held += [_held(9.0, _row(False, role="response"))]

    arrays = calibrate(held)

    answer, prompt = arrays["anchors"][0, 1, 0, 0], arrays["anchors"][0, 0, 0, 0]
    assert np.isclose(answer[1] / answer[0], prompt[1] / prompt[0], rtol=0.05)  # where the middle band begins
    assert answer[0] < prompt[0]  # an answer is stopped later
    assert arrays["anchors"].shape[:3] == (len(Form), 2, 2)


def test_a_class_that_is_often_wrong_needs_a_higher_score() -> None:
    """Quarrels about a topic are harmless rows that are no ordinary ones: they move the threshold, not the scale."""
    draw = np.random.default_rng(5)
    held = [_held(float(draw.normal()), _row(False), 3) for _ in range(1_000)]
    held += [_held(float(4 + draw.normal()), _row(True), 3) for _ in range(200)]
    held += [_held(float(4 + draw.normal()), _row(False, source="cold"), 8) for _ in range(300)]
    held += [_held(float(5 + draw.normal()), _row(True, "A2a", "cold"), 8) for _ in range(300)]

    arrays = calibrate(held)

    assert arrays["block_bp"][3] == BLOCK_BP
    assert arrays["block_bp"][8] > BLOCK_BP
