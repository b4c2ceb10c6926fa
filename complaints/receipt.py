# SPDX-License-Identifier: Apache-2.0
"""The number and the secret that a complainant takes home.

The receipt names the case in speech, on paper and in a URL: three groups of four characters of Crockford's alphabet
(no I, L, O, U), 55 random bits and a check character, so that one wrong character or two swapped ones are noticed.
The secret opens the case: 140 random bits. Reading forgives case, spaces, hyphens, and I, L, O typed for 1, 1, 0.

Check character: the receipt's characters are elements of GF(32) (x^5 + x^2 + 1) and the check is their sum weighted by
powers of x. All weights differ and none is zero, so every single error and every swap changes the sum.
"""

from collections.abc import Callable

from complaints.errors import NotFound

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RECEIPT_CHARS = 12
SECRET_CHARS = 28

_VALUES = {character: value for value, character in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_FORMAT_CHARS_MAX = 64  # longer input is not worth looking at


def new_receipt(random_bytes: Callable[[int], bytes]) -> str:
    """A new receipt, for instance `7Q4D-M0XR-2K9H`. `random_bytes(n)` must be fit for cryptography."""
    values = _draw(RECEIPT_CHARS - 1, random_bytes)
    return _grouped([*values, _check(values)])


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A new secret of 140 bits, in seven groups of four characters."""
    return _grouped(_draw(SECRET_CHARS, random_bytes))


def read_receipt(value: object) -> str:
    """The receipt in its written form. Raises `NotFound` for what no desk ever gave out."""
    values = _values_of(value, RECEIPT_CHARS)
    if _check(values[:-1]) != values[-1]:
        raise NotFound
    return _grouped(values)


def read_secret(value: object) -> str:
    """The secret in its written form. Raises `NotFound` for what no desk ever gave out."""
    return _grouped(_values_of(value, SECRET_CHARS))


def _draw(count: int, random_bytes: Callable[[int], bytes]) -> list[int]:
    return [byte & 31 for byte in random_bytes(count)]  # 256 is a multiple of 32: no value is likelier


def _grouped(values: list[int]) -> str:
    characters = "".join(ALPHABET[value] for value in values)
    return "-".join(characters[start : start + 4] for start in range(0, len(characters), 4))


def _values_of(value: object, count: int) -> list[int]:
    if not isinstance(value, str) or len(value) > _FORMAT_CHARS_MAX:
        raise NotFound
    characters = value.upper().replace("-", "").replace(" ", "")
    try:
        values = [_VALUES[character] for character in characters]
    except KeyError:
        raise NotFound from None
    if len(values) != count:
        raise NotFound
    return values


def _check(values: list[int]) -> int:
    total = 0
    for value in values:  # Horner: the weights are x^count down to x; the check character itself has weight 1
        total ^= value
        total <<= 1
        if total & 32:
            total ^= 0b100101
    return total
