# SPDX-License-Identifier: Apache-2.0
"""`dutybound pause | resume | paused`: the kill switch from the command line.

Works where the operator listener does not answer: it writes into the store of orders that every process follows, so
running answers stop within a second, and a gateway that starts later begins paused.
"""

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
    from gateway.own_records import OwnRecords
    from gateway.standing import Standing


@refusing
def pause(
    reason: ReasonOption,
    everything: Annotated[bool, typer.Option("--everything", help="All requests of all wires.")] = False,
    model: Annotated[str, typer.Option(help="A model; * at its end for all that begin so.")] = "",
    tenant: Annotated[str, typer.Option(help="A tenant.")] = "",
    wire: Annotated[str, typer.Option(help="A wire, such as openai_chat.")] = "",
    kind: Annotated[str, typer.Option(help="A kind of requests: generative, streams, tools, media, images...")] = "",
    minutes: Annotated[float, typer.Option(help="How long; 0: until somebody resumes.", min=0)] = 0,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pause everything, or what has all the traits named; running answers stop. Prints its id as the last word."""
    from gateway.operator.switches import as_json as shown
    from gateway.switches import Pause, SwitchError, Switches, new_pause_id

    if everything == bool(model or tenant or wire or kind):
        raise SwitchError("name what to pause: --everything, or any of --model --tenant --wire --kind")
    office = BackOffice(home, config)
    now = office.clock()
    made = Pause(
        id=new_pause_id(office.entropy),
        actor=account(by),
        reason=reason,
        placed_at=now,
        expires_at=now + minutes * 60 if minutes else 0.0,
        model=model,
        tenant=tenant,
        wire=wire,
        kind=kind,
    )

    async def act(standing: Standing, records: OwnRecords) -> str:
        return await Switches(standing).pause(made, records)

    record = office.with_orders(act)
    if as_json:
        print_json(shown(made) | {"record": record or None, "is_recorded": bool(record)})
        return
    typer.echo("paused" if record else "paused; the log is away, the record is made later")
    typer.echo(made.id)


@refusing
def resume(
    pause_id: Annotated[str, typer.Argument(help="The pause's id, from `paused`; leave it out with --all.")] = "",
    every: Annotated[bool, typer.Option("--all", help="End all pauses.")] = False,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a pause, or all of them. Recorded first."""
    from gateway.operator.switches import as_json as shown
    from gateway.switches import SwitchError, Switches

    if every == bool(pause_id):
        raise SwitchError("name the pause to end, or --all; `dutybound paused` lists them")

    async def act(standing: Standing, records: OwnRecords) -> list[dict[str, Any]]:
        switches = Switches(standing)
        await standing.refresh()
        lifted = []
        for name in [item.id for item in switches.in_force()] if every else [pause_id]:
            done = await switches.resume(name, account(by), records)
            if done is not None:
                lifted.append(shown(done[0]) | {"record": done[1]})
        return lifted

    lifted = BackOffice(home, config).with_orders(act)
    if not lifted and not every:
        raise SwitchError("there is no such pause; `dutybound paused` lists them")
    if as_json:
        print_json({"resumed": lifted})
        return
    for item in lifted:
        typer.echo(f"resumed {item['id']}")


@refusing
def paused(
    home: HomeOption = Path(DEFAULT_HOME), config: ConfigOption = None, as_json: JsonOption = False
) -> None:  # fmt: skip
    """List what is paused. Exit status 0: nothing. 1: something."""
    from gateway.operator.switches import as_json as shown
    from gateway.switches import Switches

    async def act(standing: Standing, records: OwnRecords) -> list[dict[str, Any]]:
        return [shown(item) for item in Switches(standing).in_force()]

    found = BackOffice(home, config).with_orders(act)
    if as_json:
        print_json({"paused": found})
    else:
        for item in found:
            until = item["expires_at"] or "until resumed"
            traits = " ".join(f"{name}={item[name]}" for name in ("model", "tenant", "wire", "kind") if item[name])
            typer.echo(f"{item['id']}  {item['placed_at']}  {until}  {item['actor']}  {traits or 'everything'}")
    if found:
        raise typer.Exit(1)
