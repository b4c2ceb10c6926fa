# SPDX-License-Identifier: Apache-2.0
"""What a check is, and the words in which checks say what they expect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.conformance.leaks import leaks
from tests.conformance.model import Can, Got
from tests.conformance.probe import Probe
from tests.conformance.target import Target
from tests.conformance.terms import SENTINEL


class Failed(Exception):
    """The gateway did not hold what the check expects; the message says where, and never a forbidden word."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise. `claim` says why a target cannot be asked it, or nothing."""

    key: str
    says: str
    run: Callable[[Probe], Awaitable[str | None]]
    needs: frozenset[Can] = frozenset()
    claim: Callable[[Target], str] = field(default=lambda target: "")
    on_hold: bool = False
    """Whether it runs against the gateway that the target's `[hold]` starts."""


CHECKS: list[Check] = []
"""All checks in the order of their declaration."""


def check(
    key: str,
    says: str,
    *needs: Can,
    claim: Callable[[Target], str] = lambda target: "",
    on_hold: bool = False,
) -> Callable[[Callable[[Probe], Awaitable[str | None]]], Callable[[Probe], Awaitable[str | None]]]:
    """Declare a check. It returns nothing, or a figure worth reporting; it raises `Failed`."""

    def declare(run: Callable[[Probe], Awaitable[str | None]]) -> Callable[[Probe], Awaitable[str | None]]:
        CHECKS.append(Check(key, says, run, frozenset(needs), claim, on_hold))
        return run

    return declare


def expect(holds: bool, otherwise: str) -> None:
    """Raise `Failed` where it does not hold."""
    if not holds:
        raise Failed(otherwise)


def arrived(got: Got) -> bool:
    """Whether the end of what the model said reached the client, on any channel."""
    return any(SENTINEL in text for text in got.answer.texts.values())


def form(got: Got) -> str:
    """Streamed or plain."""
    return "streamed" if got.asked.stream else "plain"


def expect_whole(got: Got, text: str, where: str) -> None:
    """The answer holds `text`, whole and unchanged, and nobody stopped it."""
    expect(not got.answer.fault, f"{where}: the SDK cannot read it: {got.answer.fault}")
    expect(got.is_whole, f"{where}: a harmless answer was stopped or broken off ({got.status} {got.answer.error})")
    expect(text in "".join(got.answer.texts.values()), f"{where}: a harmless answer did not arrive as it was said")
    expect(bool(got.answer.ends), f"{where}: the answer has no end")


def expect_stopped(got: Got, where: str) -> None:
    """A forbidden word is nowhere in the answer, and nothing that the model said after it either."""
    expect(
        got.seen is not None,
        f"{where}: the upstream was not called ({got.status} {got.answer.error}{got.answer.fault})",
    )
    expect_no_leak(got, where)
    expect(not arrived(got), f"{where}: the answer went on behind the forbidden word")


def expect_no_leak(got: Got, where: str) -> None:
    """A forbidden word is nowhere in the answer."""
    found = leaks(got)
    expect(not found, f"{where}: leaked in {', '.join(found[:3])}")
