# SPDX-License-Identifier: Apache-2.0
"""A house with a real desk and a real state, whose audit log is a list that can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from audit_log import LogUnavailable
from complaints import CaseStore, ComplaintDesk
from gateway.disclosure import Disclosure
from gateway.policies import load
from gateway.public import House, desk_policy, public_routes
from gateway.settings import Settings
from gateway.state import MemoryState

SERVICE = {
    "name": "示例智能助手",
    "provider": "示例科技有限公司",
    "purpose": "日常问答",
    "purpose_en": "Everyday questions",
    "audience": "公众",
    "occasions": "学习与办公",
    "mechanism": "大语言模型逐字生成回答",
    "model": "example-1",
    "filing_number": "Example-2026-1",
}


class Site:
    """One service under test. `records` is its audit log; `is_log_broken` makes appending fail."""

    def __init__(self, settings: Settings, store: CaseStore) -> None:
        self.now = 1_790_000_000.0
        self.records: list[dict[str, object]] = []
        self.is_log_broken = False
        self.known: dict[str, float] = {}
        """Records of content that went out, by id, and when they were made."""
        self.checks = {"settings": True, "audit_log": True}
        policy = load(["cn"])
        self.state = MemoryState(self.clock)
        self.house = House(
            settings=settings,
            policy=policy,
            disclosure=Disclosure(settings, policy, self.state, self.clock, b"k" * 32),
            desk=ComplaintDesk(store, self.clock, desk_policy(policy, "Asia/Shanghai"), b"d" * 32),
            record=self.record,
            clock=self.clock,
            checks=lambda: self.checks,
            find_record=self.find_record,
        )
        self.client = TestClient(Starlette(routes=list(public_routes(self.house))))

    def clock(self) -> float:
        return self.now

    async def find_record(self, record_id: str) -> float | None:
        return self.known.get(record_id)

    async def record(self, fields: dict[str, object]) -> str:
        if self.is_log_broken:
            raise LogUnavailable("the disk is full")
        self.records.append(fields)
        return f"0198b1c2-0000-7000-8000-{len(self.records):012d}"


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Builds a site: `mode` of disclosure, `service` texts, `public_url`."""
    stores: list[CaseStore] = []

    def make(mode: str = "announce", service: dict[str, Any] | None = None, public_url: str = "") -> Site:
        settings = Settings.model_validate(
            {
                "service": SERVICE if service is None else service,
                "disclosure": {"mode": mode},
                "server": {"public_url": public_url},
            }
        )
        stores.append(CaseStore.open(tmp_path / f"cases-{len(stores)}.sqlite"))
        return Site(settings, stores[-1])

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A site as most tests need it."""
    return make_site()
