# SPDX-License-Identifier: Apache-2.0
"""A whole operator listener over real rooms: an audit log, a complaint desk, incidents and tokens in a fresh folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
import pytest
from starlette.testclient import TestClient

from audit_log import AuditLog, Entry, LogUnavailable, new_record_id
from complaints import CaseStore, ChinaCalendar, ComplaintDesk, DeskPolicy, Filed
from content_filter.incidents import IncidentStore
from gateway.metrics import Meters
from gateway.operator import House
from gateway.operator.app import create_operator_app
from gateway.operator.tokens import Role, TokenStore
from gateway.policies import Policy
from gateway.settings import Settings

NOW = 1_800_000_000.0
ORIGIN = "audit.example.com/test"


@dataclass
class Listener:
    """The app under test with everything behind it; `now` may be moved, `is_log_away` makes records fail."""

    log: AuditLog
    desk: ComplaintDesk
    incidents: IncidentStore
    tokens: TokenStore
    meters: Meters
    vkey: str
    now: float = NOW
    is_log_away: bool = False
    client: TestClient = field(init=False)
    _texts: dict[Role, str] = field(default_factory=dict)

    def house(self) -> House:
        """The rooms as the app gets them."""
        return House(
            settings=Settings(),
            policy=cast(Policy, SimpleNamespace(id="cn", version="1", digest="sha256:00")),
            log=self.log,
            desk=self.desk,
            incidents=self.incidents,
            tokens=self.tokens,
            meters=self.meters,
            record=self.record,
            clock=lambda: self.now,
            pseudonym=lambda tenant, subject: f"p-{tenant}-{subject}",
        )

    async def record(self, fields: Mapping[str, object]) -> str:
        """Append a record as the gateway does."""
        if self.is_log_away:
            raise LogUnavailable("the disk is away")
        record_id = new_record_id()
        await self.log.append(Entry({**fields, "id": record_id}))
        return record_id

    def remember(self, *, subject: str | None = None, **fields: object) -> str:
        """Put a record into the log and give its id."""
        record_id = str(fields.pop("id", None) or new_record_id())
        self.log.append_blocking(Entry({"type": "exchange", **fields, "id": record_id}, subject=subject), 30)
        return record_id

    def file(self, text: str = "the answer shows my address", category: str = "privacy") -> Filed:
        """File a complaint."""
        return self.desk.file(category, text, contact="someone@example.com")

    def get(self, path: str, role: Role | None = Role.AUDITOR, **parameters: Any) -> httpx.Response:
        """GET with a token of this role."""
        return cast(httpx.Response, self.client.get(path, params=parameters, headers=self.headers(role)))

    def post(self, path: str, json: object = None, role: Role | None = Role.OFFICER) -> httpx.Response:
        """POST with a token of this role."""
        return cast(httpx.Response, self.client.post(path, json=json, headers=self.headers(role)))

    def headers(self, role: Role | None) -> dict[str, str]:
        """The header that carries a token of this role; none for None."""
        return {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}

    def token(self, role: Role) -> str:
        """A token of this role, made once."""
        if role not in self._texts:
            self._texts[role] = self.tokens.new(role.value, role.value)
        return self._texts[role]


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """The listener, running; its log signs checkpoints fifty times a second, so that no test has to wait for one."""
    monkeypatch.setattr("audit_log.log.CHECKPOINT_EVERY_S", 0.02)
    vkey = AuditLog.create(tmp_path / "audit", ORIGIN)
    log = AuditLog.open(tmp_path / "audit", writer="gw-test")
    cases = CaseStore.open(tmp_path / "complaints.db")
    policy = DeskPolicy(
        answer_working_days=15,
        triage_h=24,
        acknowledge_h=24,
        appeal_working_days=15,
        appeals_max=1,
        tz=ZoneInfo("Asia/Shanghai"),
        calendar=ChinaCalendar(),
    )
    holder: list[Listener] = []
    clock: Callable[[], float] = lambda: holder[0].now if holder else NOW  # noqa: E731
    incidents = IncidentStore(tmp_path / "incidents.db")
    made = Listener(
        log=log,
        desk=ComplaintDesk(cases, clock, policy, bytes(32)),
        incidents=incidents,
        tokens=TokenStore(tmp_path / "tokens.json", clock=clock),
        meters=Meters(version="0"),
        vkey=vkey,
    )
    holder.append(made)
    with TestClient(create_operator_app(made.house()), raise_server_exceptions=False) as client:
        made.client = client
        yield made
    log.close()
    incidents.close()
    cases.close()
