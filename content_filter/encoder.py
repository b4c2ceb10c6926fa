# SPDX-License-Identifier: Apache-2.0
"""A small sentence encoder: texts that mean alike get vectors that lie close.

It was taught to repeat what a large multilingual encoder says (`training.distil`), from the n-grams of `features`
alone: a table of known n-grams with one vector each, their sum, one hidden layer. So it knows words that no moderation
data contains, runs in NumPy in a fraction of a millisecond, and is a few megabytes of int8.

What must hold: `Encoder.places` depends on the text only through its known n-grams; a text without any known n-gram
gets the vector of no text, and whoever judges it says that it knows nothing (`Places.is_empty`).
"""

import functools
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.errors import FilterError
from content_filter.features import Features, features, fingerprint

Vectors = NDArray[np.float32]

GAIN = np.float32(4.0)  # keeps the sums near 1, where training steps are well sized


@dataclass(frozen=True, slots=True)
class Places:
    """Known n-grams of one text: rows of the table, and where each begins and ends in the normal form."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    total: int
    """How many n-grams the text has, known or not."""

    @property
    def is_empty(self) -> bool:
        """Whether the text has no n-gram that the encoder knows."""
        return not len(self.rows)

    def within(self, start: int, end: int) -> NDArray[np.int64]:
        """Rows of the n-grams that lie wholly between two characters, none twice."""
        return distinct(self.rows[(self.starts >= start) & (self.ends <= end)])


@functools.cache
def _fingerprint() -> str:
    return fingerprint()


def distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows in order, none twice: `np.unique` without its overhead, which counts for short texts."""
    if len(rows) < 2:
        return rows
    ordered = np.sort(rows)
    keep = np.empty(len(ordered), bool)
    keep[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


def keys_of(found: Features) -> NDArray[np.uint32]:
    """The numbers under which n-grams stand in the table: the upper half of their hash."""
    return (found.hashes >> np.uint64(32)).astype(np.uint32)


class Encoder:
    """The table and the layer, read-only; safe to share between threads."""

    __slots__ = ("_bias", "_hidden", "_hidden_bias", "_keys", "_out", "_scales", "_skip", "_table", "digest")

    digest: str
    """SHA-256 in hex over its n-grams and layer: heads belong to the encoder that they were trained on."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes the arrays of a weights file. Raises `FilterError` if they do not fit together or this version."""
        try:
            if str(arrays["features"]) != _fingerprint():
                raise FilterError("the encoder's weights were made for other features; train again")
            self._keys: NDArray[np.uint32] = arrays["keys"]
            self._table: NDArray[np.int8] = arrays["table"]
            self._scales = arrays["scales"].astype(np.float32)
            self._hidden, self._hidden_bias = arrays["hidden"].astype(np.float32), arrays["hidden_bias"]
            self._out, self._bias = arrays["out"].astype(np.float32), arrays["out_bias"]
            self._skip = arrays["skip"].astype(np.float32)
        except KeyError as error:
            raise FilterError(f"the encoder's weights lack {error.args[0]}; train again") from None
        if not len(self._keys) == len(self._table) == len(self._scales):
            raise FilterError("the encoder's weights do not fit together; train again")
        digest = hashlib.sha256()
        for name in ("keys", "scales", "hidden", "out", "skip"):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        self.digest = digest.hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> "Encoder":
        """Reads a weights file."""
        return cls(load_arrays(path))

    @property
    def rows(self) -> int:
        """Known n-grams: rows of the table."""
        return len(self._keys)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._out.shape[1])

    def places(self, normalised: str) -> Places:
        """Known n-grams of a text in normal form."""
        found = features(normalised)
        keys = keys_of(found)
        at = np.searchsorted(self._keys, keys)
        at[at == len(self._keys)] = 0
        known = np.flatnonzero(self._keys[at] == keys)
        return Places(at[known], found.starts[known], found.ends[known], len(keys))

    def sums(self, rows: NDArray[np.int64]) -> Vectors:
        """Sum of the vectors of these rows over the root of their number: a text before the hidden layer."""
        if not len(rows):
            return np.zeros(self._table.shape[1], np.float32)
        weighted: Vectors = self._scales[rows] @ self._table[rows].astype(np.float32)
        return weighted * (GAIN / np.float32(np.sqrt(len(rows))))

    def finish(self, sums: Vectors) -> Vectors:
        """Vectors of texts, one a row, from their sums, one a row."""
        hidden = np.maximum(sums @ self._hidden + self._hidden_bias, 0)
        vectors: Vectors = hidden @ self._out + self._bias + sums @ self._skip
        return vectors

    def encode(self, normalised: str) -> Vectors:
        """The vector of a whole text in normal form."""
        vector: Vectors = self.finish(self.sums(distinct(self.places(normalised).rows))[None])[0]
        return vector


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file. Raises `FilterError`."""
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise FilterError(f"{path}: the weights cannot be read ({error.strerror or 'unknown error'})") from error
    except Exception as error:  # zipfile, zlib and NumPy each have their own for a damaged file
        raise FilterError(f"{path}: not a weights file") from error
