# SPDX-License-Identifier: Apache-2.0
"""What the commands about orders share: their options, how they refuse, and the rooms that they open.

They work beside a running gateway, on the same store of orders and the same log, and where none runs.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from gateway.home import Home, HomeError
from gateway.settings import CONFIG_NAME, Settings, SettingsError, load
from gateway.state import StateError, open_orders

DEFAULT_HOME = "dutybound-home"

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DUTYBOUND_HOME", help="The data folder.", show_default=DEFAULT_HOME)
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help=f"The configuration file; without it {CONFIG_NAME} in the data folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ByOption = Annotated[str, typer.Option("--by", help="Who does this; without it the name of the account.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the file.")]

P = ParamSpec("P")
T = TypeVar("T")


def refusing(command: Callable[P, None]) -> Callable[P, None]:
    """Say what an operator can mend in one line, with exit status 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from audit_log.errors import AuditError
        from content_filter.errors import FilterError
        from gateway.api_keys import ApiKeyError
        from gateway.delivery import DeliveryError
        from gateway.measures import MeasureError
        from gateway.policies import PolicyError
        from gateway.switches import SwitchError

        try:
            command(*args, **kwargs)
        except (
            ApiKeyError, AuditError, DeliveryError, FilterError, HomeError, MeasureError, OSError, PolicyError,
            SettingsError, StateError, SwitchError,
        ) as error:  # fmt: skip
            typer.echo(f"dutybound: {error}", err=True)
            raise typer.Exit(2) from None

    return run


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document for machines."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def account(by: str) -> str:
    """Who acts, as records name it: `cli:` and the account of this machine, or what was given."""
    return f"cli:{by.strip() or getpass.getuser()}"


class BackOffice:
    """The rooms of one data folder beside a gateway that may run: orders and records, opened when asked for."""

    def __init__(self, home: Path, config: Path | None) -> None:
        self.settings: Settings = load(config, home)
        self.home = Home.open(home, self.settings.audit)
        self.clock: Callable[[], float] = time.time
        self.entropy: Callable[[int], bytes] = os.urandom

    def with_orders(self, act: Callable[[Any, Any], Awaitable[T]]) -> T:
        """What `act(standing, own records)` gives. The log is opened for writing only when a record is made."""
        return asyncio.run(self._with_orders(act))

    async def _with_orders(self, act: Callable[[Any, Any], Awaitable[T]]) -> T:
        from gateway.own_records import OwnRecords
        from gateway.standing import Standing

        settings = self.settings
        url = settings.redis.url
        store = open_orders(url, None if url else self.home.orders, max(settings.redis.timeout_s, 5.0), self.clock)
        standing = Standing(store, self.clock, poll_s=60.0, stale_after_s=600.0)
        try:
            await standing.refresh()
            return await act(standing, OwnRecords(self.record, standing))
        finally:
            await standing.close()

    def policy(self) -> Any:
        """The policy in force. Raises `PolicyError`."""
        from gateway import policies

        return policies.load(self.settings.policy.use)

    def pseudonym(self, tenant: str, subject: str) -> str:
        """The name that records know a person by."""
        from gateway.identity import Identifier
        from gateway.settings import Identity

        return Identifier(Identity(), self.home.key("pseudonym"), self.clock).pseudonym(tenant, subject)

    async def record(self, fields: Mapping[str, object]) -> str:
        """Append a record of our own as a writer of its own; gives its id. Raises `AuditError`."""
        from gateway.own_records import entry_of

        record_id, entry = entry_of(fields)

        def append() -> None:
            with self.home.place().writing(self.clock, writer="desk") as log:
                log.append_blocking(entry)

        await asyncio.to_thread(append)
        return record_id
