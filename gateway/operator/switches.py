# SPDX-License-Identifier: Apache-2.0
"""The kill switch as JSON: what is paused, pausing, going on again (Interim Measures article 14).

A pause holds for new requests when its answer is sent, and stops what runs in every process within a second. It is in
force even where its record has to wait for the log (`is_recorded` false); going on again is recorded first.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.operator.access import AnyRole, HouseOf, PauseOfficer
from gateway.operator.moments import format_moment, parse_moment
from gateway.operator.problems import invalid, not_found
from gateway.switches import MOST_REASON_CHARS, Pause, SwitchError, new_pause_id

router = APIRouter(prefix="/api/switches", tags=["switches"])

_TRAITS: Final = ("model", "tenant", "wire", "kind")


class PauseBody(BaseModel):
    """What is to be paused: everything, or what has all the traits that are named."""

    model_config = ConfigDict(extra="forbid")

    everything: bool = False
    model: Annotated[str, Field(max_length=129, description="a model's name; * at its end for all that begin so")] = ""
    tenant: Annotated[str, Field(max_length=128)] = ""
    wire: Annotated[str, Field(max_length=128, description="a wire's name, such as openai_chat")] = ""
    kind: Annotated[str, Field(max_length=40, description="generative, streams, tools, media, images and so on")] = ""
    reason: Annotated[str, Field(min_length=1, max_length=MOST_REASON_CHARS, description="for the file")]
    expires: Annotated[str, Field(max_length=40, description="RFC 3339; empty: until somebody lifts it")] = ""

    @model_validator(mode="after")
    def _says_what(self) -> "PauseBody":
        if self.everything == any(getattr(self, name) for name in _TRAITS):
            raise ValueError("expected everything, or a trait: model, tenant, wire or kind")
        return self


@router.get("", operation_id="listPauses", summary="What is paused now, oldest first")
async def list_pauses(reader: AnyRole, house: HouseOf) -> dict[str, Any]:
    """The pauses that this process follows; `is_current` false means that it cannot learn of others and refuses."""
    return {
        "switches": [as_json(pause) for pause in house.switches.in_force()],
        "is_current": not house.standing.is_away,
    }


@router.post(
    "", operation_id="pause", summary="Pause a model, a tenant, a kind of requests or everything", status_code=201
)
async def pause(officer: PauseOfficer, house: HouseOf, body: PauseBody) -> dict[str, Any]:
    """In force at once; answers that run and are covered are stopped."""
    now = house.clock()
    try:
        made = Pause(
            id=new_pause_id(house.entropy),
            actor=officer.id,
            reason=body.reason,
            placed_at=now,
            expires_at=parse_moment(body.expires, "expires") if body.expires else 0.0,
            **{name: getattr(body, name) for name in _TRAITS},
        )
    except SwitchError as error:
        field, _, reason = str(error).partition(": ")
        raise invalid(field, reason) from None
    # Shielded: once the pause holds, its record is made even where the client has gone.
    record = await asyncio.shield(asyncio.ensure_future(house.switches.pause(made, house.own_records)))
    return as_json(made) | {"record": record or None, "is_recorded": bool(record)}


@router.delete("/{pause_id}", operation_id="resume", summary="End a pause")
async def resume(officer: PauseOfficer, house: HouseOf, pause_id: str) -> dict[str, Any]:
    """Recorded, then lifted; refused with 503 where the log is away."""
    done = await asyncio.shield(
        asyncio.ensure_future(house.switches.resume(pause_id, officer.id, house.own_records))
    )  # fmt: skip
    if done is None:
        raise not_found("pause")
    lifted, record = done
    return as_json(lifted) | {"record": record}


def as_json(pause: Pause) -> dict[str, Any]:
    """A pause as the API and the command line show it."""
    times = {
        "placed_at": format_moment(pause.placed_at),
        "expires_at": format_moment(pause.expires_at) if pause.expires_at else None,
    }
    return asdict(pause) | times | {"covers": pause.covered}
