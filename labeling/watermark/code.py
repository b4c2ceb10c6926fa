# SPDX-License-Identifier: Apache-2.0
"""Error correction of a watermark's payload: a check sum and a convolutional code, read softly.

48 bits of payload and 16 of CRC-16/XMODEM go through a tail-biting convolutional code of rate 1/8 and constraint length
9, so that 512 soft values of which most are noise still give the payload. The decoder is Viterbi's, run around the
circle three times and read in the middle; a result whose check sum is wrong is none.
"""

from __future__ import annotations

import binascii
from typing import Final

import numpy as np
from numpy.typing import NDArray

from labeling.errors import LabelError

PAYLOAD_BYTES: Final = 6
PAYLOAD_BITS: Final = 8 * PAYLOAD_BYTES
_CHECK_BITS: Final = 16
_BITS: Final = PAYLOAD_BITS + _CHECK_BITS
_MEMORY: Final = 8
_STATES: Final = 1 << _MEMORY
# Rate 1/8, constraint length 9: every polynomial taps both ends. One payload bit changes 32 signs at least (tested).
_TAPS: Final = (0o715, 0o463, 0o551, 0o673, 0o435, 0o767, 0o531, 0o657)
CODED_BITS: Final = _BITS * len(_TAPS)
_LAPS: Final = 3


def _outputs() -> NDArray[np.float32]:
    """(2 * _STATES, 8): the signs that leave when a bit enters a register; index = bit * _STATES + state."""
    registers = np.arange(2 * _STATES)
    rows = []
    for taps in _TAPS:
        masked = registers & taps
        parity = np.zeros_like(masked)
        for shift in range(_MEMORY + 1):
            parity ^= (masked >> shift) & 1
        rows.append(1.0 - 2.0 * parity)
    return np.stack(rows, axis=1).astype(np.float32)


_OUT: Final = _outputs()


def encode(payload: bytes) -> NDArray[np.float32]:
    """``CODED_BITS`` signs, +1 for a zero. Raises :class:`LabelError` for a payload of another length."""
    if len(payload) != PAYLOAD_BYTES:
        raise LabelError(f"the payload of a watermark has {PAYLOAD_BYTES} bytes")
    word = payload + binascii.crc_hqx(payload, 0).to_bytes(2, "big")
    bits = np.unpackbits(np.frombuffer(word, np.uint8))
    state = int("".join(str(bit) for bit in bits[: -_MEMORY - 1 : -1]), 2)  # as if the word had just gone by
    signs = np.empty((_BITS, len(_TAPS)), np.float32)
    for index, bit in enumerate(bits.tolist()):
        register = bit * _STATES + state
        signs[index] = _OUT[register]
        state = register >> 1
    return signs.reshape(-1)


def decode(soft: NDArray[np.float32]) -> bytes | None:
    """The payload that fits ``CODED_BITS`` soft values (positive: zero) best, or None where its check sum is wrong."""
    word = decode_word(soft)
    payload, check = word[:PAYLOAD_BYTES], word[PAYLOAD_BYTES:]
    return payload if binascii.crc_hqx(payload, 0).to_bytes(2, "big") == check else None


def decode_word(soft: NDArray[np.float32]) -> bytes:
    """The best word, check sum and all."""
    gains = soft.reshape(_BITS, len(_TAPS)).astype(np.float32) @ _OUT.T
    scores = np.zeros(_STATES, np.float32)
    states = np.arange(_STATES)
    # A state's predecessors differ in the bit that fell out at the end; its first bit is the one that came in.
    came_in = states >> (_MEMORY - 1)
    before = ((states << 1) & (_STATES - 1))[:, None] + np.arange(2)
    registers = came_in[:, None] * _STATES + before
    choices = np.empty((_LAPS * _BITS, _STATES), np.uint8)
    for step in range(_LAPS * _BITS):
        totals = scores[before] + gains[step % _BITS][registers]
        choices[step] = totals[:, 1] > totals[:, 0]
        scores = totals.max(axis=1)
    state = int(scores.argmax())
    bits = np.empty(_LAPS * _BITS, np.uint8)
    for step in range(_LAPS * _BITS - 1, -1, -1):
        bits[step] = state >> (_MEMORY - 1)
        state = ((state << 1) & (_STATES - 1)) + int(choices[step, state])
    middle = (_LAPS // 2) * _BITS
    return np.packbits(bits[middle : middle + _BITS]).tobytes()
