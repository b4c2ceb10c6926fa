# SPDX-License-Identifier: Apache-2.0
"""Makes `encoder.npz` and `heads.npz`: every group of sources is left out once to calibrate, then all are learned.

What must hold: what calibrates and what is reported as held out comes from encoders and heads that saw neither the
labels nor the texts of that group of sources.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.classifier import ASK_SECOND_BP, CODES, HEADS, Classifier, Form, Scale
from content_filter.encoder import Encoder, distinct, load_arrays
from content_filter.errors import FilterError
from content_filter.normalise import normalise
from content_filter.pinyin import sounded
from content_filter.rows import Row
from content_filter.second_encoder import is_installed
from content_filter.training import distil, heads
from content_filter.training.corpus import GROUPS, group_of, language, load_rows, pieces, sentences
from content_filter.training.second import make_second

Say = Callable[[str], None]
_LEAST = 1e-3
_SHIPPED = Path(__file__).parent.parent / "weights" / "encoder.npz"


def make(
    data: Path,
    out: Path,
    cache: Path,
    *,
    heads_only: bool = False,
    keep_encoders: bool = False,
    say: Say,
    shape: distil.Shape | None = None,
) -> dict[str, Any]:
    """Writes the weights and the held-out scores to `out`; returns counts. Raises `FilterError`.

    `heads_only` keeps the shipped encoder, `keep_encoders` those that an earlier run on the same data left in `cache`.
    """
    rows = load_rows(data)
    if not any(not row.source.startswith("own_") for row in rows):
        raise FilterError(f"{data}: no labelled rows in .jsonl files")
    cut = pieces(rows)
    say(f"{len(rows)} rows, {len(cut)} pieces")
    sizes = shape or distil.Shape()
    reuse = heads_only or keep_encoders
    lesson = None if reuse else distil.lesson([row.text for row in cut], cache, sizes, say)
    encoders = _SHIPPED.parent if heads_only else cache
    groups, row_groups = np.array([group_of(row) for row in cut]), [group_of(row) for row in rows]
    held: list[heads.Held] = []
    for group in range(GROUPS):
        out_rows = [row for row, mine in zip(rows, row_groups, strict=True) if mine == group]
        if not out_rows or (groups == group).all():
            continue
        name = "encoder.npz" if heads_only else f"encoder-without-{group}.npz"
        arrays = _encoder(lesson, groups == group, sizes, encoders / name, say)
        classifier = _classifier(arrays, cut, groups != group)
        held += _held(classifier, out_rows)
        say(f"group {group} held out: {len(out_rows)} rows")
    calibration = heads.calibrate(held)
    arrays = _encoder(lesson, np.zeros(len(cut), bool), sizes, encoders / "encoder.npz", say)
    final = _fitted(Encoder(arrays), cut)
    out.mkdir(parents=True, exist_ok=True)
    if not heads_only:
        np.savez_compressed(out / "encoder.npz", **arrays)  # type: ignore[arg-type]
    packed = {name: _small(array) for name, array in final.items()} | calibration
    packed["encoder"] = np.array(Encoder(arrays).digest)
    np.savez_compressed(out / "heads.npz", **packed)
    scale = Scale.of(packed)
    _write_held(out / "held_out.jsonl", held, scale)
    if is_installed():
        mixture, mixed = make_second(cut, held, out / "heads.npz", cache, say)
        np.savez_compressed(out / "second.npz", **mixture)  # type: ignore[arg-type]
        _write_held(out / "held_out_second.jsonl", held, scale, mixed, Scale.of(mixture))
    else:
        say("the second encoder is not installed: no weights for it")
    say("done")
    return {"rows": len(rows), "held_out": len(held)}


def _encoder(
    lesson: distil.Lesson | None, leave_out: NDArray[np.bool_], shape: distil.Shape, kept: Path, say: Say
) -> dict[str, NDArray[Any]]:
    """A student that has not seen some rows, kept in a file; the one in the file where none is to be taught."""
    if lesson is None:
        return load_arrays(kept)
    arrays = distil.distil(lesson, leave_out, shape, say)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, **arrays)  # type: ignore[arg-type]
    return arrays


def _fitted(encoder: Encoder, rows: Sequence[Row]) -> dict[str, heads.Floats]:
    grams = [distinct(encoder.places(normalise(row.text)).rows) for row in rows]
    sums = np.stack([encoder.sums(part) for part in grams])
    return heads.fit(encoder.finish(sums), grams, encoder.rows, rows)


def _small(array: NDArray[np.float32]) -> NDArray[np.float16]:
    """Half precision; what rounds to nothing is nothing, so that it takes no room."""
    return np.where(np.abs(array) < _LEAST, 0, array).astype(np.float16)


def _classifier(arrays: dict[str, NDArray[Any]], rows: Sequence[Row], chosen: NDArray[np.bool_]) -> Classifier:
    """A classifier without calibration, trained on some of the rows."""
    encoder = Encoder(arrays)
    learned = [row for row, use in zip(rows, chosen, strict=True) if use]
    return Classifier(encoder, _fitted(encoder, learned) | _uncalibrated() | {"encoder": np.array(encoder.digest)})


def _uncalibrated() -> dict[str, NDArray[Any]]:
    count = len(CODES)
    unit = np.zeros((len(Form), 2, 2, len(HEADS), 2))
    unit[..., 0] = 1
    last = np.zeros((len(Form), 2, 2, 2))
    last[..., 0] = 1
    return {
        "anchors": unit,
        "last_anchors": last,
        "review_bp": np.full(count, heads.REVIEW_BP),
        "block_bp": np.full(count, heads.BLOCK_BP),
    }


def _held(classifier: Classifier, rows: Sequence[Row]) -> list[heads.Held]:
    found = []
    for row in rows:
        plain = normalise(row.text)
        texts = [(plain, False)]
        if language(row) == "zh":
            texts.append((sounded(plain), True))
        for text, is_sound in texts:
            reading = classifier.read(text)
            if reading is not None:
                group = heads.group_of(row, reading, is_sound)
                found.append(heads.Held(row, reading, classifier.top_class(reading, group), is_sound))
            if row.role == "response":
                found += _streamed(classifier, row, is_sound)
    return found


def _streamed(classifier: Classifier, row: Row, is_sound: bool) -> list[heads.Held]:
    """An answer judged as it streams: by the worst of its sentences. Nothing where it is one sentence only."""
    texts, found = sentences(row.text), []
    for text in texts if len(texts) > 1 else ():
        plain = normalise(text)
        reading = classifier.read(sounded(plain) if is_sound else plain)
        if reading is not None:
            found.append((text, reading))
    if not found:
        return []
    logits = np.array([reading.logits for _, reading in found])
    worst = found[int(logits.max(1).argmax())][1]
    whole = replace(worst, logits=logits.max(0), is_long=False)
    top_class = classifier.top_class(worst, heads.group_of(row, whole, is_sound))
    parts = () if is_sound else tuple((text, reading.logits) for text, reading in found)
    return [heads.Held(row, whole, top_class, is_sound, parts)]


def _write_held(
    path: Path,
    held: Sequence[heads.Held],
    scale: Scale,
    mixed: Sequence[heads.Held] | None = None,
    mixed_scale: Scale | None = None,
) -> None:
    """One line a held-out row: where it comes from, what it is, what was said; of an answer also what was said of it
    as a stream. `mixed` has the same rows as both encoders see them."""
    with path.open("w", encoding="utf-8") as lines:
        for item, other in zip(held, mixed or held, strict=True):
            row = item.row
            if item.is_sound:
                continue
            used, score_bp = scale, scale.score(item.reading.logits, item.group)[0]
            if mixed_scale is not None and score_bp >= ASK_SECOND_BP:
                used, score_bp = mixed_scale, mixed_scale.score(other.reading.logits, item.group)[0]
            line = {
                "id": row.id, "source": row.source, "lang": row.lang, "role": row.role, "label":
                "harmful" if row.is_harmful else "benign", "category": row.category, "score": score_bp / 10_000,
                "verdict": used.band(score_bp, item.top_class).value, "class": CODES[item.top_class],
                "streamed": bool(item.sentences),
            }  # fmt: skip
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
