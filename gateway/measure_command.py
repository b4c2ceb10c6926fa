# SPDX-License-Identifier: Apache-2.0
"""`dutybound measure`: measures against people from the command line, beside a gateway that may run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.command_options import (
    DEFAULT_HOME,
    BackOffice,
    ByOption,
    ConfigOption,
    HomeOption,
    JsonOption,
    ReasonOption,
    account,
    print_json,
    refusing,
)

if TYPE_CHECKING:
    from gateway.measures import Measures
    from gateway.own_records import OwnRecords
    from gateway.standing import Standing

measure_app = typer.Typer(no_args_is_help=True, help="Measures against people: warn, restrict, suspend, terminate.")

TenantOption = Annotated[str, typer.Option(help="The person's tenant.")]
SubjectOption = Annotated[str, typer.Option(help="The person, by the pseudonym that records have.")]


@measure_app.command("list")
@refusing
def list_(
    tenant: TenantOption = "",
    subject: SubjectOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the measures in force, oldest first."""
    from gateway.operator.measures import as_json as shown

    office = BackOffice(home, config)

    async def act(standing: Standing, records: OwnRecords) -> list[dict[str, Any]]:
        return [shown(item) for item in _measures(office, standing, records).in_force()]

    found = [
        item
        for item in office.with_orders(act)
        if tenant in ("", item["tenant"]) and subject in ("", item["subject"])
    ]  # fmt: skip
    if as_json:
        print_json({"measures": found})
        return
    for item in found:
        until = item["expires_at"] or "until lifted"
        typer.echo(f"{item['id']}  {item['step']:<9} {item['tenant']}/{item['subject']}  {until}  {item['actor']}")


@measure_app.command("place")
@refusing
def place(
    step: Annotated[str, typer.Argument(help="warn, restrict, suspend or terminate.")],
    reason: ReasonOption,
    subject: SubjectOption = "",
    sub: Annotated[str, typer.Option(help="Or the `sub` of the person's token.")] = "",
    tenant: TenantOption = "default",
    hours: Annotated[float, typer.Option(help="How long; 0: until somebody lifts it.", min=0)] = 0,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a measure against a person, in place of what is in force. Prints its id as the last word."""
    from gateway.measures import Measure, MeasureError, Step, new_measure_id
    from gateway.operator.measures import as_json as shown

    if bool(subject) == bool(sub):
        raise MeasureError("name the person: either --subject or --sub")
    if step not in set(Step):
        raise MeasureError(f"step: expected one of {', '.join(Step)}")
    office = BackOffice(home, config)
    now = office.clock()
    made = Measure(
        id=new_measure_id(office.entropy),
        tenant=tenant,
        subject=subject or office.pseudonym(tenant, sub),
        step=Step(step),
        reason=reason,
        actor=account(by),
        placed_at=now,
        expires_at=now + hours * 3_600 if hours else 0.0,
    )

    async def act(standing: Standing, records: OwnRecords) -> str:
        return await _measures(office, standing, records).place(made)

    record = office.with_orders(act)
    if as_json:
        print_json(shown(made) | {"record": record or None, "is_recorded": bool(record)})
        return
    typer.echo(f"{made.step.value} placed" if record else "placed; the log is away, the record is made later")
    typer.echo(made.id)


@measure_app.command("lift")
@refusing
def lift(
    measure_id: Annotated[str, typer.Argument(help="The measure's id, from `measure list`.")],
    reason: ReasonOption,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a measure before its time. Recorded first."""
    from gateway.measures import MeasureError
    from gateway.operator.measures import as_json as shown

    office = BackOffice(home, config)

    async def act(standing: Standing, records: OwnRecords) -> dict[str, Any]:
        measures = _measures(office, standing, records)
        found = measures.find(measure_id)
        if found is None:
            raise MeasureError("there is no such measure in force; `dutybound measure list` shows them")
        return shown(found) | {"record": await measures.lift(found, account(by), reason)}

    done = office.with_orders(act)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"lifted {done['id']}")


def _measures(office: BackOffice, standing: Standing, records: OwnRecords) -> Measures:
    from gateway.measures import measures_of

    # Nothing is counted here, so no state of people is opened.
    return measures_of(office.settings, office.policy(), standing, None, records, office.entropy)
