# SPDX-License-Identifier: Apache-2.0
"""`dutybound incident`: the incident desk from the command line, beside a gateway that may run.

A report that is sent waits in the outbox for a gateway that serves this data folder.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.command_options import (
    DEFAULT_HOME,
    BackOffice,
    ByOption,
    ConfigOption,
    HomeOption,
    JsonOption,
    account,
    print_json,
    refusing,
)

if TYPE_CHECKING:
    from gateway.incident_desk import IncidentDesk
    from gateway.own_records import OwnRecords
    from gateway.standing import Standing

incident_app = typer.Typer(no_args_is_help=True, help="Incidents: what was found, what is done and said about it.")

T = TypeVar("T")
IdArgument = Annotated[str, typer.Argument(help="The incident's id, from `incident list`.")]
KindOption = Annotated[str, typer.Option(help="first, closing or notice.")]
LanguageOption = Annotated[str, typer.Option(help="zh or en.")]


@incident_app.command("list")
@refusing
def list_(
    state: Annotated[str, typer.Option(help="Only incidents in this state.")] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those of which a clock has run out.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List incidents, oldest first. With --overdue, exit status 1 where there are any."""
    from gateway.incident_desk import as_json as shown
    from gateway.operator.moments import format_moment

    async def act(desk: IncidentDesk) -> list[dict[str, Any]]:
        found = desk.overdue() if overdue else desk.list(state=state or None, limit=limit)
        return [shown(item, format_moment) for item in found if state in ("", item.incident.state)][:limit]

    found = _at_desk(BackOffice(home, config), act)
    if as_json:
        print_json({"incidents": found})
    else:
        for item in found:
            due = next((clock["due_at"] for clock in item["deadlines"] if clock["state"] in ("running", "missed")), "")
            late = "  OVERDUE" if item["is_overdue"] else ""
            typer.echo(f"{item['id']}  {item['opened_at']}  {item['state']:<11} {item['class']:<4} {due}{late}")
    if overdue and found:
        raise typer.Exit(1)


@incident_app.command("show")
@refusing
def show(incident_id: IdArgument, home: HomeOption = Path(DEFAULT_HOME), config: ConfigOption = None) -> None:
    """Print an incident with its history, notes, facts and deliveries as JSON."""
    from gateway.incident_desk import as_json, delivery_as_json, step_as_json
    from gateway.operator.moments import format_moment

    async def act(desk: IncidentDesk) -> dict[str, Any]:
        shown = desk.get(incident_id)
        notes = [
            {"at": format_moment(note.at_s), "actor": note.actor, "text": note.text}
            for note in desk.store.notes(incident_id)
        ]
        return as_json(shown, format_moment) | {
            "history": [step_as_json(step, format_moment) for step in shown.history],
            "notes": notes,
            "facts": desk.store.facts(incident_id),
            "deliveries": [delivery_as_json(item, format_moment) for item in desk.outbox.list(incident=incident_id)],
        }

    print_json(_at_desk(BackOffice(home, config), act))


@incident_app.command("move")
@refusing
def move(
    incident_id: IdArgument,
    to: Annotated[str, typer.Argument(help="confirmed, false_alarm, contained, reported, closed or open.")],
    reason: Annotated[str, typer.Option(help="Why; needed where a step ends or takes back something.")] = "",
    version: Annotated[int | None, typer.Option(help="The version you saw; another one is refused.", min=1)] = None,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a step in the life of an incident."""
    from gateway.incident_desk import step_as_json
    from gateway.operator.moments import format_moment

    async def act(desk: IncidentDesk) -> dict[str, Any]:
        taken, record = await desk.step(incident_id, to, account(by), reason, version)
        return step_as_json(taken, format_moment) | {"record": record or None}

    done = _at_desk(BackOffice(home, config), act)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{incident_id}: {done['from']} -> {done['to']}")


@incident_app.command("note")
@refusing
def note(
    incident_id: IdArgument,
    text: Annotated[str, typer.Argument(help="The note.")],
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Add a note for the file."""
    office = BackOffice(home, config)

    async def act(desk: IncidentDesk) -> int:
        return desk.store.add_note(incident_id, text, at_s=office.clock(), actor=account(by)).number

    typer.echo(f"note {_at_desk(office, act)} added")


@incident_app.command("facts")
@refusing
def facts(
    incident_id: IdArgument,
    stated: Annotated[str, typer.Argument(help='A JSON object, such as {"harm": "...", "persons_affected": 3}.')],
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """State facts for the reports, beside those stated before; null takes one back. Prints all."""
    from content_filter.errors import FilterInvalid

    try:
        given = json.loads(stated)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise FilterInvalid("facts are one JSON object")

    async def act(desk: IncidentDesk) -> dict[str, Any]:
        return desk.state_facts(incident_id, given, account(by))

    print_json(_at_desk(BackOffice(home, config), act))


@incident_app.command("report")
@refusing
def report(
    incident_id: IdArgument,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A .docx file; without it JSON is printed.")] = None,
    kind: KindOption = "first",
    language: LanguageOption = "zh",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Draft a report: for a word processor with -o, else as JSON. Names what must be completed."""

    async def act(desk: IncidentDesk) -> Any:
        return desk.draft(incident_id, kind, language)

    made = _at_desk(BackOffice(home, config), act)
    if out is None:
        print_json(made.as_json())
        return
    with out.open("xb") as file:
        file.write(made.as_docx())
    typer.echo(f"wrote {out}")
    if made.gaps:
        typer.echo(f"to be completed: {', '.join(made.gaps)}")


@incident_app.command("send")
@refusing
def send(
    incident_id: IdArgument,
    via: Annotated[str, typer.Option(help="webhook or mail, as the settings have it.")],
    kind: KindOption = "first",
    language: LanguageOption = "zh",
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Put a report into the outbox; a gateway on the data folder delivers it. Prints its id as the last word."""

    async def act(desk: IncidentDesk) -> str:
        return (await desk.deliver(incident_id, kind, language, via, account(by))).id

    typer.echo("waits in the outbox")
    typer.echo(_at_desk(BackOffice(home, config), act))


@incident_app.command("notify")
@refusing
def notify(
    incident_id: IdArgument,
    zh: Annotated[str, typer.Option(help="What people read in Chinese.")],
    en: Annotated[str, typer.Option(help="What people read in English.")],
    subject: Annotated[list[str] | None, typer.Option(help="A pseudonym; without any, the incident's own.")] = None,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Tell the people concerned with their next answer."""

    async def act(desk: IncidentDesk) -> int:
        people, _ = await desk.notify(incident_id, zh, en, account(by), subject or ())
        return len(people)

    typer.echo(f"{_at_desk(BackOffice(home, config), act)} will be told with their next answer")


@incident_app.command("takedown")
@refusing
def takedown(
    incident_id: IdArgument,
    end: Annotated[bool, typer.Option("--end", help="Give the output again.")] = False,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Withhold the stored output of an incident's exchange, at once and everywhere."""
    from content_filter.errors import FilterNotFound

    async def act(desk: IncidentDesk) -> str | None:
        return await (desk.release(incident_id, account(by)) if end else desk.take_down(incident_id, account(by)))

    if _at_desk(BackOffice(home, config), act) is None:
        raise FilterNotFound("nothing of this incident is withheld")
    typer.echo("given again" if end else "taken down")


@incident_app.command("rectification")
@refusing
def rectification(
    out: Annotated[Path, typer.Option("-o", "--out", help="The JSONL file to write; must not exist.")],
    role: Annotated[str, typer.Option("--role", help="The role in which you read.")] = "officer",
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Write the set to improve the model with: judged findings with the text of their answer.

    Sealed bodies are asked for and read as `dutybound audit body` does; where two people have to agree, run it again
    once the other one has.
    """
    from audit_log.holds import Approval
    from content_filter.rectification import rectification_rows
    from gateway.kept_texts import JudgedTexts

    office = BackOffice(home, config)

    async def act(desk: IncidentDesk) -> tuple[int, int, int]:
        audit = office.settings.audit
        with office.home.place().writing(office.clock, writer="desk") as log:
            texts = JudgedTexts(
                *(log, Approval(account(by), role), audit.reading_hours, audit.two_person_reading, office.clock)
            )
            rows = list(rectification_rows(desk.for_rectification(), texts.text_of, texts.language_of))
        with out.open("x", encoding="utf-8") as file:
            file.writelines(rows)
        return len(rows), texts.waiting, texts.missing

    rows, waiting, missing = _at_desk(office, act)
    typer.echo(f"wrote {rows} rows to {out}; {waiting} wait for a second person, of {missing} no body is kept")


def _at_desk(office: BackOffice, act: Callable[[IncidentDesk], Awaitable[T]]) -> T:
    from content_filter.incidents import IncidentStore
    from gateway.delivery import Courier, Outbox, channels_of
    from gateway.incident_desk import IncidentDesk
    from gateway.incident_notices import IncidentNotices
    from gateway.withheld import Withheld

    async def run(standing: Standing, records: OwnRecords) -> T:
        store, outbox = IncidentStore(office.home.incidents), Outbox(office.home.outbox)
        channels = channels_of(office.settings.delivery)
        courier = Courier(outbox, channels, records, office.clock, office.settings.delivery.give_up_after_h)
        desk = IncidentDesk(
            *(store, outbox, courier, records, IncidentNotices(standing, records), Withheld(standing)),
            *(office.policy(), office.settings, office.clock, office.entropy),
        )
        try:
            return await act(desk)
        finally:
            for channel in channels.values():
                await channel.close()
            outbox.close()
            store.close()

    return office.with_orders(run)
