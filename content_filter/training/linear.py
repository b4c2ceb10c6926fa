# SPDX-License-Identifier: Apache-2.0
"""A logistic regression on the n-grams that the encoder knows: what single words say, beside what a text means.

The networks on the encoder's vectors see meaning and blur words; this sees words and no meaning. Each is wrong
elsewhere, so the mean of their logits is better than either on sources that neither learned. NumPy alone. What must
hold: a text is the sum of the weights of its distinct n-grams over the root of their number, as in the encoder; the
result depends on its arguments only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LinearPlan:
    """How the weights are learned."""

    passes: int = 5
    batch: int = 512
    rate: float = 0.5
    shrink: float = 3e-6
    """How much of a weight is given up at each step for each text of a batch: rare n-grams stay small."""
    seed: int = 0


def fit(
    texts: Sequence[NDArray[np.int64]], size: int, wanted: Floats, weights: Floats, plan: LinearPlan | None = None
) -> tuple[Floats, Floats]:
    """Weights of shape (size, outputs) and biases. `texts` holds the distinct n-grams of each text as rows of the
    encoder's table, `size` is the length of that table; `wanted` and `weights` have a row a text."""
    chosen = plan or LinearPlan()
    lengths = np.array([len(text) for text in texts])
    flat = np.concatenate(texts) if len(texts) else np.zeros(0, np.int64)
    begins = np.concatenate(([0], np.cumsum(lengths)))
    share = np.asarray(1 / np.sqrt(np.maximum(lengths, 1)), np.float32)
    scaled = np.asarray(weights / weights.mean(0), np.float32)
    outputs = wanted.shape[1]
    table, bias = np.zeros((size, outputs), np.float32), np.zeros(outputs, np.float32)
    seen, seen_bias = np.full((size, outputs), 1e-6, np.float32), np.full(outputs, 1e-6, np.float32)
    draw = np.random.default_rng(chosen.seed)
    filled = np.flatnonzero(lengths)
    for turn in range(chosen.passes):
        rate = np.float32(chosen.rate * (1 - turn / chosen.passes))
        order = draw.permutation(filled)
        for begin in range(0, len(order), chosen.batch):
            rows = order[begin : begin + chosen.batch]
            counts = lengths[rows]
            owner = np.repeat(np.arange(len(rows)), counts)
            first = np.concatenate(([0], np.cumsum(counts)[:-1]))
            grams = flat[np.arange(len(owner)) - np.repeat(first - begins[rows], counts)]
            logits = np.add.reduceat(table[grams], first, axis=0) * share[rows][:, None] + bias
            error = (1 / (1 + np.exp(-logits)) - wanted[rows]) * scaled[rows] / len(rows)
            each = (error * share[rows][:, None])[owner]
            used, places = np.unique(grams, return_inverse=True)
            slope = np.stack([np.bincount(places, each[:, output], len(used)) for output in range(outputs)], 1)
            slope = slope.astype(np.float32) + np.float32(chosen.shrink) * table[used]
            seen[used] += slope**2
            table[used] -= rate * slope / np.sqrt(seen[used])
            total = error.sum(0)
            seen_bias += total**2
            bias -= rate * total / np.sqrt(seen_bias)
    return table, bias
