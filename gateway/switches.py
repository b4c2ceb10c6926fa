# SPDX-License-Identifier: Apache-2.0
"""The kill switch: pauses that hold for new requests at once and end what is running (Interim Measures article 14).

A pause names a model, a tenant, a wire, a kind of request, several of these together, or nothing: then it covers
everything. It is a standing order (`gateway/standing.py`), so every worker and replica follows it, also after a
restart. What must hold: a request that a pause covers is refused before anything is spent on it; a running answer that
it covers is stopped, its call to the model cancelled first; where this process cannot learn which pauses there are,
nobody is let through (the failure rule of the stage). An answer that runs then is finished: its process is cut off from
the orders, not told to stop.

While nothing is paused an exchange pays for one comparison and one entry in a dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange
from gateway.kinds import KINDS
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.own_records import OwnRecords
from gateway.standing import Standing
from gateway.state.orders import Order

DUTY = "switches"
SHELF = "pause"
CODE = "paused"
MOST_REASON_CHARS = 500

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+@-]{0,127}\*?")
_RETRY_AFTER_S = 60
_LONGEST_RETRY_S = 3_600


class SwitchError(Exception):
    """A pause cannot be as asked; the message names the field and what was expected, never what was sent."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause: everything that has all the traits it names. Times are seconds since the epoch, 0 for never.

    `model` may end with `*`. `actor` is the id of the token, or `cli:` and the name of the account.
    """

    id: str
    actor: str
    reason: str
    placed_at: float
    expires_at: float = 0.0
    model: str = ""
    tenant: str = ""
    wire: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        for name in ("model", "tenant", "wire"):
            value = getattr(self, name)
            if value and _NAME.fullmatch(value) is None:
                raise SwitchError(f"{name}: expected 1 to 128 letters, digits and . _ : / + @ -")
        if "*" in self.tenant or "*" in self.wire:
            raise SwitchError("tenant, wire: expected one name; only a model may end with *")
        if self.kind and self.kind not in KINDS:
            raise SwitchError(f"kind: expected one of {', '.join(KINDS)}")
        if not self.reason.strip() or len(self.reason) > MOST_REASON_CHARS:
            raise SwitchError(f"reason: expected 1 to {MOST_REASON_CHARS} characters")
        if self.expires_at and self.expires_at <= self.placed_at:
            raise SwitchError("expires: expected a time in the future")

    @property
    def covered(self) -> str:
        """What it covers in one word of ours: `everything`, or the traits it names joined by `+`."""
        return "+".join(name for name in ("model", "tenant", "wire", "kind") if getattr(self, name)) or "everything"

    def covers(self, exchange: Exchange) -> bool:
        """Whether the exchange has all its traits."""
        model = self.model
        if model and not (exchange.model.startswith(model[:-1]) if model[-1] == "*" else exchange.model == model):
            return False
        if self.tenant and exchange.person.tenant != self.tenant:
            return False
        if self.wire and exchange.wire != self.wire:
            return False
        return not self.kind or KINDS[self.kind](exchange)

    def to_json(self) -> str:
        """As the order keeps it."""
        return orjson.dumps(asdict(self)).decode()

    def as_record(self, event: str, actor: str) -> dict[str, object]:
        """The record of a change: what is covered, and who did it; the reason goes into its sealed body."""
        traits = {name: getattr(self, name) or None for name in ("model", "tenant", "wire", "kind")}
        expires = {"expires_s": int(self.expires_at)} if self.expires_at else {}
        return {
            "type": "measure",
            "event": event,
            "pause": self.id,
            "covers": self.covered,
            "actor": actor,
            "scope": {name: value for name, value in traits.items() if value},
            **expires,
        }


def pause_of(order: Order) -> Pause:
    """The pause that an order keeps. A trait that only a later version knows is left out, and an order that cannot be
    read pauses everything: who cannot tell what is paused lets nobody through."""
    try:
        kept: Any = orjson.loads(order.value or "")
        return Pause(**{name: kept[name] for name in _FIELDS if name in kept})
    except (ValueError, TypeError, SwitchError):
        return Pause(order.key.rpartition("/")[2], "unknown", "an order that cannot be read", 0.0)


_FIELDS = tuple(field.name for field in fields(Pause))


def new_pause_id(entropy: Callable[[int], bytes]) -> str:
    """`pause_` and 40 random bits."""
    return f"pause_{entropy(5).hex()}"


class Switches:
    """The pauses in force, and the exchanges that run in this process. The stage `switches` of the pipeline."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._shelf = standing.shelf(SHELF)
        self._pauses: tuple[Pause, ...] = ()
        self._running: dict[str, tuple[Exchange, Callable[[Refusal], None]]] = {}
        standing.watch(SHELF, self._changed)
        self._changed()

    def enter(self, exchange: Exchange, halt: Callable[[Refusal], None]) -> None:
        """From here on a pause that covers the exchange calls `halt`, once for each such pause."""
        self._running[exchange.record_id] = (exchange, halt)

    def leave(self, exchange: Exchange) -> None:
        """The exchange has ended."""
        self._running.pop(exchange.record_id, None)

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` (503, `paused`), and `StateUnavailable` where nobody can tell what is paused."""
        if not self._standing.is_current:
            await self._standing.require_current()
        if self._pauses:
            pause = self.covering(exchange)
            if pause is not None:
                raise self.refusal(pause, exchange, Action.REFUSE)

    def covering(self, exchange: Exchange) -> Pause | None:
        """The first pause in force that covers the exchange."""
        now = self._standing.clock()
        return next(
            (item for item in self._pauses if not 0 < item.expires_at <= now and item.covers(exchange)), None
        )  # fmt: skip

    def in_force(self) -> tuple[Pause, ...]:
        """All pauses that hold now, oldest first."""
        now = self._standing.clock()
        return tuple(item for item in self._pauses if not 0 < item.expires_at <= now)

    async def place(self, pause: Pause) -> None:
        """Pause, here when this returns and everywhere soon after. Raises `StateUnavailable`."""
        await self._standing.place(SHELF, pause.id, pause.to_json(), pause.expires_at)

    async def find(self, pause_id: str) -> Pause | None:
        """The pause of this id, as the shared store has it now. Raises `StateUnavailable`."""
        await self._standing.refresh()
        order = self._shelf.get(pause_id)
        return pause_of(order) if order is not None and order.is_in_force(self._standing.clock()) else None

    async def lift(self, pause_id: str) -> bool:
        """End a pause; whether there was one. Raises `StateUnavailable`."""
        return await self._standing.withdraw(SHELF, pause_id)

    async def pause(self, pause: Pause, records: OwnRecords) -> str:
        """Place a pause and record it; gives the record's id, or nothing where it is owed. Raises
        `StateUnavailable`."""
        await self.place(pause)
        return await records.tell(pause.as_record("paused", pause.actor) | {"sealed": {"reason": pause.reason}})

    async def resume(self, pause_id: str, actor: str, records: OwnRecords) -> tuple[Pause, str] | None:
        """Record that a pause ends, then end it; gives it and the record's id, None where there is no such pause.

        Raises `AuditError`, with the pause in force, and `StateUnavailable`.
        """
        pause = await self.find(pause_id)
        if pause is None:
            return None
        record_id = await records.record(pause.as_record("resumed", actor))
        await self.lift(pause_id)
        return pause, record_id

    def refusal(self, pause: Pause, exchange: Exchange, action: Action) -> Refusal:
        """What a covered exchange is answered."""
        left_s = _RETRY_AFTER_S
        if pause.expires_at:
            left_s = max(1, min(_LONGEST_RETRY_S, int(pause.expires_at - self._standing.clock()) + 1))
        return Refusal(
            Decision(DUTY, Verdict.BLOCK, action, reason=pause.covered, rule=pause.id),
            status=503,
            code=CODE,
            message=MESSAGES["paused"][language_of_prompt(exchange)],
            headers=(("Retry-After", str(left_s)),),
        )

    def _changed(self) -> None:
        pauses = sorted(map(pause_of, self._shelf.values()), key=lambda pause: (pause.placed_at, pause.id))
        known = {pause.id for pause in self._pauses}
        self._pauses = tuple(pauses)
        now = self._standing.clock()
        for pause in pauses:
            if pause.id in known or 0 < pause.expires_at <= now:
                continue
            for exchange, halt in list(self._running.values()):
                if pause.covers(exchange):
                    halt(self.refusal(pause, exchange, Action.STOP))
