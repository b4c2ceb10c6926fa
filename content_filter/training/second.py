# SPDX-License-Identifier: Apache-2.0
"""Trains the heads over the second encoder (`second_encoder`) and calibrates the mixture with the first.

The teacher's vectors of the rows are there already where the encoder was taught (`distil.teach` keeps them), so this
takes two minutes. What must hold, as for the first: what calibrates comes from heads that saw neither the labels nor
the texts of that group of sources.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.classifier import written
from content_filter.normalise import normalise
from content_filter.rows import Row
from content_filter.second_encoder import MOST_CHARACTERS, PROBES, SCALE, SecondEncoder
from content_filter.training import distil, heads
from content_filter.training.corpus import GROUPS, group_of

SHARE = 0.45
"""How much the second encoder says in the mixture."""
_PLAN = heads.Plan(passes=4, rate=1e-3, seeds=(0, 1))


def make_second(
    rows: Sequence[Row], held: Sequence[heads.Held], heads_file: Path, cache: Path, say: distil.Say
) -> tuple[dict[str, NDArray[Any]], list[heads.Held]]:
    """Arrays of `second.npz`, and the held-out rows as the mixture sees them, in order. `rows` are those that were
    learned from, `held` what the first classifier said of rows that it had not learned."""
    vectors = distil.teach([row.text for row in rows], cache, say) * SCALE
    groups = np.array([group_of(row) for row in rows])
    parts = [_shown(item) for item in held]
    texts = sorted({part for found in parts for part in found})
    known = {row.text: index for index, row in enumerate(rows)}
    missing = [text for text in texts if text not in known]
    more = distil.teach(missing, cache, say) * SCALE if missing else np.zeros((0, vectors.shape[1]), np.float32)
    known |= {text: len(rows) + index for index, text in enumerate(missing)}
    everything = np.concatenate([vectors, more])
    mixed = list(held)

    def stored(asked: Sequence[str]) -> heads.Floats:
        return np.asarray(everything[[known[text] for text in asked]] / SCALE)

    for group in range(GROUPS):
        mine = [index for index, item in enumerate(held) if parts[index] and group_of(item.row) == group]
        chosen = np.flatnonzero(groups != group)
        if not mine or not len(chosen):
            continue
        learned = heads.fit_harm(vectors[chosen], [rows[int(index)] for index in chosen], _PLAN)
        second = SecondEncoder(learned | {"share": np.array(SHARE)}, stored)
        for index in mine:
            item = held[index]
            mixed[index] = replace(item, reading=replace(item.reading, logits=_mixed(second, item, parts[index])))
        say(f"second encoder, group {group} held out: {len(mine)} rows")
    final = heads.fit_harm(vectors, rows, _PLAN)
    arrays: dict[str, NDArray[Any]] = {name: array.astype(np.float16) for name, array in final.items()}
    arrays |= heads.calibrate(mixed)
    arrays |= {
        "share": np.array(SHARE),
        "probes": distil.teach(PROBES, cache, say).astype(np.float16),
        "heads": np.array(hashlib.sha256(heads_file.read_bytes()).hexdigest()),
    }
    return arrays, mixed


def _shown(item: heads.Held) -> list[str]:
    """What the second encoder reads of a held-out row: the part where each head found its logit, or each sentence of an
    answer that streams; nothing of what was judged by its sound."""
    if item.is_sound:
        return []
    text = item.row.text
    shown = [part for part, _ in item.sentences] or written(item.reading, normalise(text), text)
    return [part[:MOST_CHARACTERS] for part in shown]


def _mixed(second: SecondEncoder, item: heads.Held, shown: list[str]) -> heads.Floats:
    """The mixed logits, the highest of all sentences where there are any."""
    if not item.sentences:
        return second.mixed(item.reading.logits, shown)
    said = second.logits(shown)
    first = np.array([logits for _, logits in item.sentences])
    return np.asarray(((1 - second.share) * first + second.share * said).max(0), np.float32)
