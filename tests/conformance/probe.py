# SPDX-License-Identifier: Apache-2.0
"""Asks the gateway under test, with the model's answer arranged, and keeps everything that came back."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import httpx

from tests.conformance.model import Answer, Asked, Can, Got, Said, Told, Wire
from tests.conformance.target import Running, Target
from tests.conformance.upstream import TicketUpstream
from tests.upstreams.scripted import Script

_AT_ONCE = 12
"""Exchanges at a time."""
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How the model's answer is written to the network.

    `cuts` are positions of the body where one write ends and the next begins; `pace_s` waits between writes, which are
    the answer's frames where there are no cuts; `breaks_at` closes the connection after so many bytes; `status` with
    the body in place of an answer.
    """

    cuts: tuple[int, ...] = ()
    pace_s: float = 0.0
    breaks_at: int = -1
    status: int = 200


Wanted = tuple[Said, Asked | None, Manner | None]
"""What the model says, what is asked, and how it is written."""


class Probe:
    """One wire of one running gateway."""

    def __init__(
        self, target: Target, running: Running, wire: Wire, upstream: TicketUpstream, client: httpx.AsyncClient
    ) -> None:
        self.target = target
        self.running = running
        self.wire = wire
        self.upstream = upstream
        self.exchanges = 0
        self.kept: dict[str, list[Got]] = {}
        """Answers that more than one check looks at, by what was said."""
        self._client = client
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def can(self, *needs: Can) -> bool:
        """Whether the wire can express all of these."""
        return self.wire.can.issuperset(needs)

    def told(self, said: Said, *, stream: bool = True) -> Told:
        """The bytes in which the model would say it, to find places in them."""
        return self.wire.tell(Asked(stream=stream), said)

    async def ask(
        self,
        said: Said | Told,
        asked: Asked | None = None,
        manner: Manner | None = None,
        *,
        leave_after: Callable[[bytes], bool] | None = None,
    ) -> Got:
        """One exchange. `leave_after` hangs up as soon as it is true of what was received so far."""
        asked, manner = asked or Asked(), manner or Manner()
        ticket = f"ticket-{secrets.token_hex(6)}"
        told = said if isinstance(said, Told) else self.wire.tell(asked, said)
        self.upstream.tickets[ticket] = _script(told, asked.stream, manner)
        request = self.wire.request(replace(asked, prompt=f"{ticket} {asked.prompt}"))
        base = self.target.paths.get(self.wire.name, "")
        async with self._slots:
            self.exchanges += 1
            got = Got(asked, 0, {}, [], time.monotonic(), False, Answer(), None)
            try:
                async with self._client.stream(
                    "POST",
                    f"{self.running.base_url}{base}{request.path}",
                    json=request.body,
                    headers={**request.headers, **self.target.headers},
                ) as response:
                    got.status = response.status_code
                    got.headers = dict(response.headers)
                    async for data in response.aiter_bytes():
                        got.reads.append((time.monotonic(), data))
                        if leave_after is not None and leave_after(got.body):
                            got.broke_off = True
                            break
            except httpx.TransportError:
                got.broke_off = True
        got.seen = self.upstream.by_ticket.get(ticket)
        if got.status:
            got.answer = self.wire.read(asked, got.status, got.headers, got.body)
        return got

    async def ask_all(self, wanted: Sequence[Wanted]) -> list[Got]:
        """Several exchanges, some at a time, answers in order."""
        return await asyncio.gather(*(self.ask(said, asked, manner) for said, asked, manner in wanted))


def _script(told: Told, is_stream: bool, manner: Manner) -> Script:
    frames: list[int] = []
    for frame in told.frames[:-1]:
        frames.append((frames[-1] if frames else 0) + len(frame))
    return Script(
        raw_base64=base64.b64encode(told.body).decode() or "IA==",
        answers_as="stream" if is_stream and manner.status == 200 else "plain",
        content_type=told.content_type,
        status=manner.status,
        writes=manner.cuts or tuple(frames),
        write_delay_s=manner.pace_s,
        break_at=manner.breaks_at,
    )


def new_client() -> httpx.AsyncClient:
    """The client of all probes; it follows nothing and trusts no environment."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
    return httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits, trust_env=False)
