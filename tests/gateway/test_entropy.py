# SPDX-License-Identifier: Apache-2.0
"""Random bytes are given once each, however large the portions."""

from __future__ import annotations

import os

import pytest

from gateway.entropy import Entropy


def test_bytes_come_in_order_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a portion that is too small is thrown away, never given twice."""
    drawn: list[int] = []

    def urandom(count: int) -> bytes:
        drawn.append(count)
        return bytes(number % 251 for number in range(count))

    monkeypatch.setattr("gateway.entropy.os.urandom", urandom)
    entropy = Entropy()
    given = [entropy(8) for _ in range(600)]
    assert drawn == [4_096, 4_096]
    assert b"".join(given[:512]) == bytes(number % 251 for number in range(4_096))
    assert b"".join(given[512:]) == bytes(number % 251 for number in range(8 * 88))


def test_more_than_a_portion_can_be_asked_for() -> None:
    """And nothing, too."""
    entropy = Entropy()
    assert len(entropy(10_000)) == 10_000
    assert entropy(0) == b""
    assert entropy(16) != entropy(16)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_draws_bytes_of_its_own() -> None:
    """Two processes with the same bytes would give the same name twice."""
    entropy = Entropy()
    entropy(8)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, entropy(32))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert len(theirs) == 32 and theirs != entropy(32)
