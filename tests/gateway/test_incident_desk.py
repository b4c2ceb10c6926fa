# SPDX-License-Identifier: Apache-2.0
"""The incident desk: clocks of the policy, steps on record, reports that open in a word processor, people told."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import docx
import orjson
import pytest

from content_filter.errors import FilterConflict, FilterError, FilterInvalid, FilterNotFound
from content_filter.filter import Role
from content_filter.incident_workflow import ClockState
from content_filter.incidents import Incident, IncidentState, IncidentStore, new_incident_id
from gateway.delivery import Courier, DeliveryError, Outbox, Via
from gateway.incident_desk import FACTS, KINDS, IncidentDesk, as_json, clocks, delivery_as_json, step_as_json
from gateway.incident_notices import IncidentNotices
from gateway.own_records import OwnRecords
from gateway.policies import load
from gateway.settings import Settings
from gateway.standing import Standing
from gateway.state import MemoryOrders
from gateway.withheld import Withheld

NOW = 1_700_000_000.0
HOUR_S = 3_600
POLICY = load(["cn"])


class House:
    """A desk over real stores, with a clock that moves when told."""

    def __init__(self, folder: Path, ways: Any = None) -> None:
        self.now = NOW
        self.kept: list[dict[str, Any]] = []
        clock = lambda: self.now  # noqa: E731
        self.store = IncidentStore(folder / "incidents.db")
        self.outbox = Outbox(folder / "outbox.db")
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e9)
        records = OwnRecords(self.record, self.standing)
        settings = Settings(service={"provider": "示例科技", "name": "示例助手", "contact": "duty@example.com"})  # type: ignore[arg-type]
        self.desk = IncidentDesk(
            self.store,
            self.outbox,
            Courier(self.outbox, ways or {}, records, clock, 72.0),
            records,
            IncidentNotices(self.standing, records),
            Withheld(self.standing),
            POLICY,
            settings,
            clock,
            bytes,
        )

    async def record(self, fields: Any) -> str:
        """Keep a record."""
        self.kept.append(dict(fields))
        return f"rec{len(self.kept)}"

    def found(self, number: int = 1, **more: Any) -> str:
        """An incident that was opened now; gives its id."""
        fields: dict[str, Any] = {
            "id": f"inc_{number}", "opened_at_s": self.now, "class_code": "A1a", "rule": "term:7", "role": Role.ANSWER,
            "record_id": f"r{number}", "tenant": "default", "subject": "p1", "released_chars": 12, "start": 12,
            "end": 15, "filter_digest": "sha256:00", "model": "gpt-9", "body_record": f"c{number}",
            "released": '[{"choice":0,"chars":12}]', **more,
        }  # fmt: skip
        self.store.open(Incident(**fields))
        return str(fields["id"])


def run(folder: Path, scene: Callable[[House], Awaitable[Any]], ways: Any = None) -> Any:
    """A scene in a loop of its own."""

    async def whole() -> Any:
        house = House(folder, ways)
        try:
            return await scene(house)
        finally:
            await house.standing.close()
            house.outbox.close()
            house.store.close()

    return asyncio.run(whole())


def test_every_step_is_kept_recorded_and_on_the_clock(tmp_path: Path) -> None:
    """From found to closed: who, when, from where to where; the leaf names no reason."""

    async def scene(house: House) -> None:
        incident = house.found()
        for to, reason in [("confirmed", ""), ("contained", ""), ("reported", ""), ("closed", "closing report sent")]:
            house.now += HOUR_S
            taken, record = await house.desk.step(incident, to, "t1", reason, house.desk.get(incident).version)
            assert record and step_as_json(taken, str)["to"] == to
        assert [item["event"] for item in house.kept] == ["confirmed", "contained", "reported", "closed"]
        assert house.kept[3] == {
            "type": "incident", "event": "closed", "incident": incident, "exchange": "r1", "tenant": "default",
            "class": "A1a", "actor": "t1", "sealed": {"reason": "closing report sent"},
        }  # fmt: skip
        shown = house.desk.get(incident)
        assert {item.clock.name: item.state for item in shown.deadlines} == {
            "triage": ClockState.MET, "report": ClockState.MET, "closing_report": ClockState.MET,
        }  # fmt: skip
        assert not shown.is_overdue

    run(tmp_path, scene)


@pytest.mark.parametrize(("kind", "hours"), [("ordinary", 4), ("critical", 1), ("state_organ", 2)])
def test_the_clocks_are_those_of_the_law_for_this_operator(kind: str, hours: int) -> None:
    """With the article that names them; the triage is our own and names none."""
    triage, report, closing = clocks(POLICY, kind)
    assert (report.limit_s, closing.limit_s) == (hours * HOUR_S, 30 * 24 * HOUR_S)
    assert report.article and closing.article and not triage.article


@pytest.mark.parametrize(
    ("steps", "after_s", "clock"),
    [
        ((), 24 * HOUR_S, "triage"),
        (("confirmed",), 4 * HOUR_S, "report"),
        (("confirmed", "contained"), 4 * HOUR_S, "report"),
        (("confirmed", "contained", "reported"), 30 * 24 * HOUR_S, "closing_report"),
    ],
)
def test_a_clock_that_runs_out_puts_the_incident_first(
    tmp_path: Path, steps: tuple[str, ...], after_s: float, clock: str
) -> None:
    """Exactly at its limit it is in time, a moment later it is overdue, in the queue and in the numbers."""

    async def scene(house: House) -> None:
        incident = house.found()
        for to in steps:
            await house.desk.step(incident, to, "t1")
        house.now += after_s
        assert not house.desk.get(incident).is_overdue and house.desk.overdue() == []
        house.now += 0.001
        assert [item.incident.id for item in house.desk.overdue()] == [incident]
        assert house.desk.overdue_clocks()[clock] == 1
        shown = as_json(house.desk.get(incident), str)
        assert shown["is_overdue"] and {"clock": clock, "state": "missed"}.items() <= shown["deadlines"][0].items()
        if not steps:
            await house.desk.step(incident, "false_alarm", "t1", "quoted from a law")
            assert house.desk.overdue() == []

    run(tmp_path, scene)


def test_the_latest_comes_first(tmp_path: Path) -> None:
    """Whatever was opened first."""

    async def scene(house: House) -> None:
        house.found(1)
        house.now += HOUR_S
        second = house.found(2)
        await house.desk.step(second, "confirmed", "t1")
        house.now += 24 * HOUR_S
        assert [item.incident.id for item in house.desk.overdue()] == ["inc_2", "inc_1"]
        assert len(house.desk.list(state="open", limit=10)) == 1

    run(tmp_path, scene)


def test_nobody_overrides_what_they_did_not_see(tmp_path: Path) -> None:
    """Of two officers the second reads again; a step the workflow does not name is refused; neither is recorded."""

    async def scene(house: House) -> None:
        incident = house.found()
        seen = house.desk.get(incident).version
        await house.desk.step(incident, "confirmed", "t1", "", seen)
        with pytest.raises(FilterConflict, match="version 2, not 1"):
            await house.desk.step(incident, "false_alarm", "t2", "no", seen)
        with pytest.raises(FilterConflict, match="cannot become"):
            await house.desk.step(incident, "closed", "t2", "no")
        with pytest.raises(FilterInvalid, match="reason"):
            await house.desk.step(incident, "false_alarm", "t2")
        with pytest.raises(FilterInvalid, match="unknown state"):
            await house.desk.step(incident, "lost", "t2")
        with pytest.raises(FilterNotFound):
            await house.desk.step("inc_9", "confirmed", "t2")
        assert len(house.kept) == 1

    run(tmp_path, scene)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_draft_opens_in_a_word_processor(tmp_path: Path, kind: str, language: str) -> None:
    """An independent reader finds title, headings and tables; what is stated is filled in, the rest is named a gap."""

    async def scene(house: House) -> None:
        incident = house.found()
        await house.desk.step(incident, "confirmed", "t1")
        await house.desk.take_down(incident, "t1")
        house.desk.state_facts(incident, {"harm": "H & <b>", "persons_affected": 3, "measures": ["M1"]}, "t1")
        house.desk.state_facts(incident, {"cause": "C", "persons_affected": None}, "t1")
        made = house.desk.draft(incident, kind, language)
        document = docx.Document(io.BytesIO(made.as_docx()))
        title = document.paragraphs[0]
        assert (title.text, getattr(title.style, "name", "")) == (made.title, "Title")
        rows = [tuple(cell.text for cell in row.cells) for table in document.tables for row in table.rows]
        assert rows == [row for _, section in made.sections for row in section]
        values = dict(rows)
        assert "示例科技" in values.values() and "H & <b>" in values.values()
        assert any("M1\n" in value for value in values.values())
        assert made.gaps and all(any(gap == name for name, _ in rows) for gap in made.gaps)
        assert orjson.dumps(made.as_json())
        if kind != "notice":
            assert "gpt-9" in values.values()

    run(tmp_path, scene)


def test_facts_are_those_that_a_report_has(tmp_path: Path) -> None:
    """Unknown names and wrong types are refused and change nothing."""

    async def scene(house: House) -> None:
        incident = house.found()
        for wrong in (
            {"mood": "x"},
            {"harm": 3},
            {"persons_affected": -1},
            {"persons_affected": True},
            {"measures": "M"},
        ):
            with pytest.raises(FilterInvalid):
                house.desk.state_facts(incident, wrong, "t1")
        assert house.store.facts(incident) == {}
        with pytest.raises(FilterNotFound):
            house.desk.state_facts("inc_9", {"harm": "x"}, "t1")
        with pytest.raises(FilterInvalid, match="at most"):
            house.desk.state_facts(incident, {"harm": "x" * 50_000}, "t1")
        assert "harm" in FACTS
        with pytest.raises(FilterError):
            house.desk.draft(incident, "closing", "zh")

    run(tmp_path, scene)


def test_a_report_is_put_into_the_outbox_with_its_document(tmp_path: Path) -> None:
    """Only by a way that is configured."""

    async def scene(house: House) -> None:
        incident = house.found()
        with pytest.raises(DeliveryError, match="webhook"):
            await house.desk.deliver(incident, "first", "zh", "pigeon", "t1")
        with pytest.raises(DeliveryError, match=r"delivery\.mail_host"):
            await house.desk.deliver(incident, "first", "zh", "mail", "t1")
        with pytest.raises(FilterNotFound):
            await house.desk.deliver("inc_9", "first", "zh", "webhook", "t1")
        made = await house.desk.deliver(incident, "first", "zh", "webhook", "t1")
        (held,) = house.outbox.list()
        content = orjson.loads(held.payload)
        assert content["report"] == house.desk.draft(incident, "first", "zh").as_json()
        assert docx.Document(io.BytesIO(base64.b64decode(content["document"]["base64"]))).tables
        shown = delivery_as_json(made, str)
        assert (shown["state"], shown["via"], shown["incident"]) == ("waiting", "webhook", incident)

    run(tmp_path, scene, {Via.WEBHOOK: None})


def test_people_concerned_are_told_by_name(tmp_path: Path) -> None:
    """Those named or the incident's own; nobody where nobody is known."""

    async def scene(house: House) -> None:
        incident, nameless = house.found(1), house.found(2, subject="")
        assert (await house.desk.notify(incident, "一", "one", "t1"))[0] == ["p1"]
        assert (await house.desk.notify(nameless, "一", "one", "t1", ["p2", "p3", "p2"]))[0] == ["p2", "p3"]
        assert set(house.standing.shelf("notice")) == {"default/p1", "default/p2", "default/p3"}
        assert [(item["event"], item["persons"]) for item in house.kept] == [("notice_placed", 1), ("notice_placed", 2)]
        with pytest.raises(FilterInvalid, match="nobody"):
            await house.desk.notify(nameless, "一", "one", "t1")
        with pytest.raises(FilterInvalid, match="characters"):
            await house.desk.notify(incident, " ", "one", "t1")

    run(tmp_path, scene)


def test_stored_output_is_taken_down_and_given_again(tmp_path: Path) -> None:
    """The incident shows it; the record of the exchange is named."""

    async def scene(house: House) -> None:
        incident = house.found()
        assert await house.desk.release(incident, "t1") is None
        await house.desk.take_down(incident, "t1")
        assert house.desk.get(incident).is_withheld and house.desk.withheld.is_withheld("r1")
        assert await house.desk.release(incident, "t1")
        assert not house.desk.get(incident).is_withheld
        assert [(item["event"], item["exchange"]) for item in house.kept] == [("taken_down", "r1"), ("released", "r1")]

    run(tmp_path, scene)


def test_the_set_for_rectification_is_of_what_was_judged(tmp_path: Path) -> None:
    """Open findings are nobody's lesson yet."""

    async def scene(house: House) -> None:
        house.found(1)
        await house.desk.step(house.found(2), "confirmed", "t1")
        await house.desk.step(house.found(3), "false_alarm", "t1", "a quotation")
        states = {item.id: item.state for item in house.desk.for_rectification()}
        assert states == {"inc_2": IncidentState.CONFIRMED, "inc_3": IncidentState.FALSE_ALARM}

    run(tmp_path, scene)


def test_ids_sort_by_time() -> None:
    """So that a list of files is in order."""
    assert new_incident_id(lambda: 1.0, bytes) < new_incident_id(lambda: 2.0, bytes)
