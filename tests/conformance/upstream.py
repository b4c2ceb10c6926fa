# SPDX-License-Identifier: Apache-2.0
"""The model behind the gateway under test: says what each request's ticket was arranged to get.

Tickets travel in the prompt's text, because that is the one thing every gateway passes on. The server is
`tests/upstreams/scripted.py`; alone it starts with `python -m tests.conformance.upstream --port 9999` and is then told
what to say with `POST /_ticket {"ticket", "script"}`. `POST /judge` is a slow check for targets that hold text back
while something else judges it: it answers `{"verdict": "pass"}` after `JUDGE_S`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

from tests.upstreams.scripted import Script, ScriptedUpstream, Seen

JUDGE_S = 0.6
_TICKET = re.compile(rb"ticket-[0-9a-f]{12}")


class TicketUpstream(ScriptedUpstream):
    """A scripted upstream whose scripts are found by ticket."""

    def __init__(self) -> None:
        super().__init__(Script(text="There was no ticket in the request."))
        self.tickets: dict[str, Script] = {}
        self.by_ticket: dict[str, Seen] = {}

    def forget(self) -> None:
        """Forget what was seen."""
        self.seen.clear()
        self.tickets.clear()
        self.by_ticket.clear()

    def _script_for(self, seen: Seen) -> Script:
        if seen.path == "/judge":
            return Script(body={"verdict": "pass"}, delay_s=JUDGE_S)
        found = _TICKET.search(seen.body)
        if found is None:
            return super()._script_for(seen)
        ticket = found[0].decode()
        self.by_ticket[ticket] = seen
        return self.tickets.get(ticket, self.default)

    def _control(self, seen: Seen) -> tuple[int, Any]:
        if seen.path != "/_ticket":
            return super()._control(seen)
        try:
            asked = seen.json
            self.tickets[asked["ticket"]] = Script.of(asked["script"])
        except (ValueError, KeyError, TypeError) as error:
            return 400, {"error": str(error)}
        return 200, {}


@contextlib.asynccontextmanager
async def serve_tickets(port: int = 0) -> AsyncIterator[TicketUpstream]:
    """The upstream in this loop while the context lasts."""
    upstream = TicketUpstream()
    await upstream.start(port)
    try:
        yield upstream
    finally:
        await upstream.stop()


async def _main(port: int) -> None:
    async with serve_tickets(port) as upstream:
        print(upstream.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="The conformance suite's model API, alone.")
    arguments.add_argument("--port", type=int, default=0, help="0: a free port, printed on the first line")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(arguments.parse_args().port))
