# SPDX-License-Identifier: Apache-2.0
"""Receipts that survive being spoken, typed and mistyped."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from complaints.errors import NotFound
from complaints.receipt import ALPHABET, new_receipt, new_secret, read_receipt, read_secret


def _cut(drawn: bytes, count: int) -> bytes:
    return drawn[:count]


receipts = st.binary(min_size=11, max_size=11).map(lambda drawn: new_receipt(lambda count: drawn[:count]))


@given(receipts)
def test_a_receipt_reads_back_however_it_is_typed(receipt: str) -> None:
    """Lower case, missing or other joints, and look-alike letters do not matter."""
    assert read_receipt(receipt) == receipt
    assert read_receipt(f" {receipt.lower()} ") == receipt
    assert read_receipt(receipt.replace("-", "")) == receipt
    assert read_receipt(receipt.replace("-", " ").replace("0", "o").replace("1", "l")) == receipt
    assert read_receipt(receipt.replace("1", "I")) == receipt


@given(receipts, st.integers(0, 11), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_noticed(receipt: str, place: int, other: str) -> None:
    """Including a wrong check character."""
    typed = list(receipt.replace("-", ""))
    if typed[place] == other:
        return
    typed[place] = other

    with pytest.raises(NotFound):
        read_receipt("".join(typed))


@given(receipts, st.integers(0, 11), st.integers(0, 11))
def test_two_swapped_characters_are_always_noticed(receipt: str, one: int, two: int) -> None:
    """Wherever they stand."""
    typed = list(receipt.replace("-", ""))
    if typed[one] == typed[two]:
        return
    typed[one], typed[two] = typed[two], typed[one]

    with pytest.raises(NotFound):
        read_receipt("".join(typed))


def test_every_weight_of_the_check_character_differs() -> None:
    """The proof behind the two tests before, over all places: a lone 1 gives another check at each place."""
    checks = set()
    for place in range(11):
        drawn = bytes(n == place for n in range(11))
        checks.add(new_receipt(partial(_cut, drawn))[-1])

    assert len(checks) == 11 and not checks & {"0", "1"}


@pytest.mark.parametrize("value", ["", "7Q4D", "U" * 12, "7Q4D-M0XR-2K9H-AAAA", "7" * 65, "编号", None, 12, b"x"])
def test_what_is_no_receipt_is_not_found(value: object) -> None:
    """One error for everything, so that nothing is learned."""
    with pytest.raises(NotFound):
        read_receipt(value)
    with pytest.raises(NotFound):
        read_secret(value)


def test_secrets_hold_at_least_128_bits() -> None:
    """28 characters of 5 bits from 28 random bytes; equal bytes give equal secrets, one other bit another one."""
    asked: list[int] = []

    def draw(count: int) -> bytes:
        asked.append(count)
        return bytes(range(count))

    secret = new_secret(draw)

    assert asked == [28]
    assert secret == "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV"
    assert read_secret(secret.lower()) == secret
    assert new_secret(lambda count: bytes(range(1, count + 1))) != secret
