# SPDX-License-Identifier: Apache-2.0
"""A desk whose clock stands still until moved and whose randomness is the same in every run."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from complaints import Authority, CaseStore, ChinaCalendar, ComplaintDesk, DeskPolicy

KEY = bytes(range(32))


@dataclass
class Clock:
    """Seconds since 1970, moved by hand."""

    moment: datetime = datetime(2026, 9, 18, 4, tzinfo=UTC)  # a Friday noon in Shanghai

    def __call__(self) -> float:
        return self.moment.timestamp()

    def move(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


@dataclass
class Randomness:
    """Bytes that look random and are the same in every run."""

    drawn: int = field(default=0)

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return hashlib.shake_128(self.drawn.to_bytes(8, "big")).digest(count)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def randomness() -> Randomness:
    return Randomness()


@pytest.fixture
def policy() -> DeskPolicy:
    return DeskPolicy(
        answer_working_days=15,
        triage_h=24,
        acknowledge_h=0,
        appeal_working_days=10,
        appeals_max=1,
        tz=ZoneInfo("Asia/Shanghai"),
        calendar=ChinaCalendar(),
        authorities=(Authority("违法和不良信息举报中心", "Reporting centre", "https://www.12377.cn", "12377"),),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cases.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[CaseStore]:
    opened = CaseStore.open(path)
    yield opened
    opened.close()


@pytest.fixture
def make_desk(
    store: CaseStore, clock: Clock, policy: DeskPolicy, randomness: Randomness
) -> Callable[[DeskPolicy | None], ComplaintDesk]:
    """Another desk on the same store, with the policy given or the usual one."""

    def make(other: DeskPolicy | None = None) -> ComplaintDesk:
        return ComplaintDesk(store, clock, other or policy, KEY, randomness)

    return make


@pytest.fixture
def desk(make_desk: Callable[[DeskPolicy | None], ComplaintDesk]) -> ComplaintDesk:
    return make_desk(None)
