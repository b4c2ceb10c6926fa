# SPDX-License-Identifier: Apache-2.0
"""Numbers of writers: a gap is seen, and a pruned beginning is not mistaken for one."""

import json

from audit_log.chain import WriterChain, type_of, writer_of


def leaf(writer: str, number: int, type_: str = "exchange") -> bytes:
    return json.dumps({"type": type_, "writer": writer, "wseq": str(number)}, separators=(",", ":")).encode()


def breaches(chain_args: dict[str, object], *leaves: bytes) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    chain = WriterChain(lambda text, index: found.append((text, index)), **chain_args)  # type: ignore[arg-type]
    for index, item in enumerate(leaves):
        chain.add(index, item)
    return found


def test_a_whole_life_of_two_writers_is_good() -> None:
    """Boot first, shutdown last, numbers without a gap, however they interleave."""
    assert not breaches(
        {}, leaf("a", 0, "boot"), leaf("b", 0, "boot"), leaf("a", 1), leaf("b", 1), leaf("a", 2, "shutdown")
    )


def test_a_gap_a_repetition_and_a_life_after_death_are_seen() -> None:
    """Each under the index of the record that shows it."""
    assert [index for _, index in breaches({}, leaf("a", 0, "boot"), leaf("a", 2))] == [1]
    assert [index for _, index in breaches({}, leaf("a", 0, "boot"), leaf("a", 0, "boot"))] == [1]
    assert [index for _, index in breaches({}, leaf("a", 0, "boot"), leaf("a", 1, "shutdown"), leaf("a", 2))] == [2]


def test_a_writer_begins_with_its_boot_record() -> None:
    """Number 0 is nothing else."""
    assert breaches({}, leaf("a", 0))


def test_a_leaf_without_a_writer_is_seen() -> None:
    """The tail is looked at, not the fields."""
    assert breaches({}, b'{"writer":"a","wseq":"0","x":1}')


def test_numbers_go_on_where_a_prune_left_them() -> None:
    """A writer of the pruned part has to go on; another one has to begin."""
    start = {"start": {"a": 5}}
    assert not breaches(start, leaf("a", 5), leaf("b", 0, "boot"))
    assert breaches(start, leaf("a", 6))
    assert breaches(start, leaf("b", 3))


def test_a_part_of_a_log_may_begin_anywhere() -> None:
    """The first number of each writer is taken as it is, then none may be missing."""
    assert not breaches({"partial": True}, leaf("b", 3), leaf("b", 4))
    assert breaches({"partial": True}, leaf("b", 3), leaf("b", 5))


def test_the_tail_is_read() -> None:
    """Writer and number, or nothing."""
    assert writer_of(leaf("gw/1", 12)) == (b"gw/1", 12)
    assert writer_of(b"{}") is None
    assert (type_of(b"{}"), type_of(b"["), type_of(leaf("a", 0))) == (None, None, "exchange")
