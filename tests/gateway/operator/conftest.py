# SPDX-License-Identifier: Apache-2.0
"""A whole operator listener over real rooms: an audit log, a complaint desk, incidents and tokens in a fresh folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
from starlette.testclient import TestClient

from audit_log import AuditLog, Entry, LogUnavailable, new_record_id
from complaints import CaseStore, ChinaCalendar, ComplaintDesk, DeskPolicy, Filed
from content_filter.incidents import IncidentStore
from gateway.delivery import Courier, Delivery, Outbox, Via
from gateway.guardians import Guardians
from gateway.incident_desk import IncidentDesk
from gateway.incident_notices import IncidentNotices
from gateway.measures import Measures, measures_of
from gateway.metrics import Meters
from gateway.minor_mode import MinorModes
from gateway.operator import House
from gateway.operator.app import create_operator_app
from gateway.operator.tokens import Role, TokenStore
from gateway.own_records import OwnRecords, entry_of
from gateway.policies import Policy, load
from gateway.settings import Settings
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState
from gateway.switches import Switches
from gateway.withheld import Withheld

NOW = 1_800_000_000.0
ORIGIN = "audit.example.com/test"


class Receiver:
    """A way out that keeps what it was given."""

    def __init__(self) -> None:
        self.sent: list[Delivery] = []

    async def send(self, delivery: Delivery, now: float) -> str:
        """It arrives."""
        self.sent.append(delivery)
        return "status 200"


@dataclass
class Listener:
    """The app under test with everything behind it; `now` may be moved, `is_log_away` makes records fail."""

    log: AuditLog
    desk: ComplaintDesk
    incidents: IncidentStore
    tokens: TokenStore
    meters: Meters
    vkey: str
    standing: Standing
    switches: Switches
    outbox: Outbox
    now: float = NOW
    is_log_away: bool = False
    client: TestClient = field(init=False)
    webhook: Receiver = field(default_factory=lambda: Receiver())
    own_records: OwnRecords = field(init=False)
    measures: Measures = field(init=False)
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
            entropy=os.urandom,
            standing=self.standing,
            switches=self.switches,
            own_records=self.own_records,
            measures=self.measures,
            guardians=Guardians(self.standing, self.own_records, b"k" * 32, os.urandom, may_exempt=True),
            minor_modes=MinorModes(self.standing, self.own_records, 86_400.0),
            incident_desk=IncidentDesk(
                self.incidents,
                self.outbox,
                Courier(self.outbox, {Via.WEBHOOK: self.webhook}, self.own_records, lambda: self.now, 72.0),
                self.own_records,
                IncidentNotices(self.standing, self.own_records),
                Withheld(self.standing),
                load(["cn"]),
                Settings(),
                lambda: self.now,
                os.urandom,
            ),
        )

    async def record(self, fields: Mapping[str, object]) -> str:
        """Append a record as the gateway does."""
        if self.is_log_away:
            raise LogUnavailable("the disk is away")
        record_id, entry = entry_of(fields)
        await self.log.append(entry)
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

    def delete(self, path: str, role: Role | None = Role.OFFICER) -> httpx.Response:
        """DELETE with a token of this role."""
        return cast(httpx.Response, self.client.delete(path, headers=self.headers(role)))

    def put(self, path: str, json: object = None, role: Role | None = Role.OFFICER) -> httpx.Response:
        """PUT with a token of this role."""
        return cast(httpx.Response, self.client.put(path, json=json, headers=self.headers(role)))

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        """The leaves of one type, oldest first."""
        all_leaves = (orjson.loads(self.log.reader.leaf(index)) for index in range(self.log.reader.size()))
        return [leaf for leaf in all_leaves if leaf["type"] == kind]

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
    standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=3_600.0)
    made = Listener(
        log=log,
        desk=ComplaintDesk(cases, clock, policy, bytes(32)),
        incidents=incidents,
        tokens=TokenStore(tmp_path / "tokens.json", clock=clock),
        meters=Meters(version="0"),
        vkey=vkey,
        standing=standing,
        switches=Switches(standing),
        outbox=Outbox(tmp_path / "outbox.db"),
    )
    holder.append(made)
    made.own_records = OwnRecords(made.record, standing)
    made.measures = measures_of(Settings(), load(["cn"]), standing, MemoryState(clock), made.own_records, os.urandom)
    with TestClient(create_operator_app(made.house()), raise_server_exceptions=False) as client:
        made.client = client
        yield made
        assert client.portal is not None
        client.portal.call(standing.close)
    log.close()
    incidents.close()
    made.outbox.close()
    cases.close()
