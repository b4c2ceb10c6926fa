# SPDX-License-Identifier: Apache-2.0
"""Hashed n-grams of a text: what the classifier sees of it.

A text in normal form (`normalise`) is cut into units: a word of letters without spaces between words (Han, kana,
Hangul and whatever else writes like them) gives one unit a character; any other word gives one unit. Features are runs
of one to four units, pairs of units with one or two others between them, and, for words, their pieces of four
characters: a new word is often built of known ones. Every feature is a number by a hash, so no dictionary is
shipped and no text can be read back from the weights.

What must hold: training and inference call the same functions here, so no feature may change without new weights:
`fingerprint` is stored beside them and compared when they are loaded. All steps are vectors of NumPy; a text of 800
characters takes well under a millisecond.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from content_filter.normalise import normalise

Codes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: odd, so multiplication loses nothing
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(32)
_PIECE = 4  # characters in a piece of a word
_LONGEST_RUN = 4  # units in a run
_GAPS = (2, 3)  # distances of the units of a pair

# Kinds of characters, looked up by code point; beyond the basic plane everything counts as one unit a character.
_SPACE, _MARK, _WORD, _SINGLE = 0, 1, 2, 3


def _kinds() -> NDArray[np.uint8]:
    table = np.full(0x10000, _MARK, np.uint8)
    for code in range(0x10000):
        char = chr(code)
        if char.isspace():
            table[code] = _SPACE
        elif char.isalnum():
            table[code] = _WORD
    for low, high in ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x2E80, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF)):
        part = table[low : high + 1]
        part[part == _WORD] = _SINGLE
    table[ord("'")] = _WORD
    return table


_KINDS = _kinds()
_DIGITS = np.arange(0x10000, dtype=np.uint64)
_DIGITS[ord("0") : ord("9") + 1] = ord("0")  # one number is as good as another
_MAX_POWERS = 4096
_POWERS = np.cumprod(np.full(_MAX_POWERS + 1, _MULTIPLIER), dtype=np.uint64)
_INVERSES = np.cumprod(np.full(_MAX_POWERS + 1, _INVERSE), dtype=np.uint64)

MAX_CHARACTERS = _MAX_POWERS
"""Longest text that is looked at in one call; longer ones are cut into windows by the caller."""


@dataclass(frozen=True, slots=True)
class Features:
    """Features of one text: 64-bit hashes, and for each where it begins and ends in its normal form, none merged."""

    hashes: Codes
    starts: Indices
    ends: Indices


def _mixed(value: Codes, salt: int) -> Codes:
    value = (value + np.uint64(salt)) * _MIX
    value ^= value >> _SHIFT
    return value * _MULTIPLIER


def features(normalised: str) -> Features:
    """Features of a text in normal form, of which the first `MAX_CHARACTERS` are looked at."""
    codes = np.frombuffer(normalised[:MAX_CHARACTERS].encode("utf-32-le"), np.uint32).astype(np.uint64)
    small = np.minimum(codes, 0xFFFF).astype(np.int64)
    kinds = np.where(codes > 0xFFFF, _SINGLE, _KINDS[small])
    codes = np.where(codes > 0xFFFF, codes, _DIGITS[small])

    # A unit begins at every single character and mark, and where a word begins.
    is_word = kinds == _WORD
    before = np.concatenate((np.zeros(1, bool), is_word[:-1]))
    begins = (kinds != _SPACE) & ~(is_word & before)
    starts = np.flatnonzero(begins)
    if not len(starts):
        empty = np.zeros(0, np.int64)
        return Features(np.zeros(0, np.uint64), empty, empty)
    word_ends = np.flatnonzero(is_word & ~np.concatenate((is_word[1:], np.zeros(1, bool)))) + 1
    ends = starts + 1
    ends[is_word[starts]] = word_ends

    # Sum of code * multiplier ** position, wrapping: differences of it are hashes of any span once the position is
    # divided out, which is a multiplication by the inverse modulo 2 ** 64.
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum((codes + np.uint64(1)) * _POWERS[: len(codes)], out=sums[1:])

    units = _mixed((sums[ends] - sums[starts]) * _INVERSES[starts], 1)
    hashes, firsts, lasts = [units], [starts], [ends]
    run = units
    for length in range(2, _LONGEST_RUN + 1):
        if len(units) < length:
            break
        run = _mixed(run[:-1] * _MIX + units[length - 1 :], length)
        hashes.append(run)
        firsts.append(starts[: len(run)])
        lasts.append(ends[length - 1 :])
    for gap in _GAPS:
        if len(units) > gap:
            hashes.append(_mixed(units[:-gap] * _INVERSE + units[gap:], 16 + gap))
            firsts.append(starts[:-gap])
            lasts.append(ends[gap:])
    last = len(codes) - _PIECE + 1  # places at which a piece can begin
    if last > 0:
        inside = is_word[:last].copy()
        for offset in range(1, _PIECE):
            inside &= is_word[offset : last + offset]
        pieces = np.flatnonzero(inside)
        if len(pieces):
            hashes.append(_mixed((sums[pieces + _PIECE] - sums[pieces]) * _INVERSES[pieces], 32))
            firsts.append(pieces)
            lasts.append(pieces + _PIECE)
    return Features(np.concatenate(hashes), np.concatenate(firsts), np.concatenate(lasts))


_PROBES = (
    "如何在两天内写完一篇论文？！", "臺灣的開發與傳統", "How do I kill a Python process that doesn't stop?",
    "ｆｕｌｌ　ｗｉｄｔｈ ①②③ Ⓐ", "价格128元，电话 13800000000；微信abc_99", "привет мир, naïve café",
    "한국어 にほんご", "👍a😀",
)  # fmt: skip


def fingerprint() -> str:
    """SHA-256 in hex over the features of a few texts in normal form: it changes whenever weights would no longer fit.

    The texts have every kind of character that is cut or folded in its own way.
    """
    digest = hashlib.sha256()
    for probe in _PROBES:
        found = features(normalise(probe))
        for part in (found.hashes, found.starts, found.ends):
            digest.update(part.astype("<u8").tobytes())
    return digest.hexdigest()
