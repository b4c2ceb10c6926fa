# SPDX-License-Identifier: Apache-2.0
"""The cache before a slow check."""

import pytest

from content_filter.cached import CachedCheck, VerdictMemory
from content_filter.context import CheckUnavailable
from content_filter.filter import Outcome, Verdict
from content_filter.roles import Role


class _Check:
    name = "slow"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Role]] = []
        self.is_broken = False
        self.is_closed = False

    async def judge(self, text: str, role: Role) -> Verdict:
        self.asked.append((text, role))
        if self.is_broken:
            raise CheckUnavailable("broken")
        return Verdict(Outcome.BLOCK, role, "A1a", "slow:x", 0, len(text), 9_000)

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.asyncio
async def test_the_same_text_in_the_same_role_is_asked_once() -> None:
    """Another role is another question."""
    check = _Check()
    cached = CachedCheck(check, VerdictMemory(lambda: 0.0))

    first = await cached.judge("a", Role.PROMPT)

    assert await cached.judge("a", Role.PROMPT) == first
    await cached.judge("a", Role.ANSWER)
    assert check.asked == [("a", Role.PROMPT), ("a", Role.ANSWER)]


@pytest.mark.asyncio
async def test_a_failure_is_never_remembered() -> None:
    """The next call asks again."""
    check = _Check()
    cached = CachedCheck(check, VerdictMemory(lambda: 0.0))
    check.is_broken = True
    with pytest.raises(CheckUnavailable):
        await cached.judge("a", Role.PROMPT)

    check.is_broken = False

    assert (await cached.judge("a", Role.PROMPT)).verdict is Outcome.BLOCK


@pytest.mark.asyncio
async def test_an_old_entry_is_asked_again() -> None:
    """A model may change its mind when its operator changes it."""
    now = [0.0]
    check = _Check()
    cached = CachedCheck(check, VerdictMemory(lambda: now[0], lifetime_s=60))
    await cached.judge("a", Role.PROMPT)

    now[0] = 60.0
    await cached.judge("a", Role.PROMPT)

    assert len(check.asked) == 2


@pytest.mark.asyncio
async def test_the_cache_keeps_the_latest_used_entries_alone() -> None:
    """Bounded, whatever is asked."""
    check = _Check()
    cached = CachedCheck(check, VerdictMemory(lambda: 0.0, most=2))
    for text in ("a", "b", "a", "c", "a", "b"):
        await cached.judge(text, Role.PROMPT)

    assert [text for text, _ in check.asked] == ["a", "b", "c", "b"]


@pytest.mark.asyncio
async def test_no_text_stands_in_the_cache() -> None:
    """Whoever reads the memory finds keyed hashes."""
    one, other = (VerdictMemory(lambda: 0.0, secret=letter * 32) for letter in (b"s", b"t"))
    for memory in (one, other):
        await CachedCheck(_Check(), memory).judge("very secret words", Role.PROMPT)

    assert b"secret" not in repr(one._kept).encode()
    assert one._kept.keys() != other._kept.keys()
    assert len(one) == len(other) == 1


@pytest.mark.asyncio
async def test_closing_and_clearing_forget_everything() -> None:
    """After a reload of the check behind it, nothing old is answered."""
    check = _Check()
    cached = CachedCheck(check, VerdictMemory(lambda: 0.0))
    await cached.judge("a", Role.PROMPT)

    cached.clear()
    await cached.judge("a", Role.PROMPT)
    await cached.close()

    assert len(check.asked) == 2
    assert check.is_closed


def test_a_memory_answers_only_what_it_was_told_and_for_its_time() -> None:
    """Text and role both count; at the end of its life an entry is gone."""
    now = [0.0]
    memory = VerdictMemory(lambda: now[0], lifetime_s=10)
    verdict = Verdict(Outcome.FLAG, Role.PROMPT, "A1a", "x", 0, 1, 5_000)
    memory.put("a", Role.PROMPT, verdict)

    assert memory.get("a", Role.PROMPT) == verdict
    assert memory.get("a", Role.ANSWER) is None
    assert memory.get("b", Role.PROMPT) is None
    now[0] = 10.0
    assert memory.get("a", Role.PROMPT) is None
    memory.clear()
    assert len(memory) == 0
