# SPDX-License-Identifier: Apache-2.0
"""`dutybound apikey new | list | revoke`: the gateway's own API keys from the command line.

Works beside running gateways: a key is a standing order, so it holds, or ends, in all of them within a second.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

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
    from gateway.api_keys import ApiKey, ApiKeys
    from gateway.own_records import OwnRecords
    from gateway.standing import Standing

api_key_app = typer.Typer(no_args_is_help=True, help="API keys for tenants, with quotas.")


@api_key_app.command("new")
@refusing
def new(
    tenant: Annotated[str, typer.Option(help="The tenant that asks with this key.")],
    rpm: Annotated[int, typer.Option(help="Requests a minute; 0: no limit.")] = 0,
    tokens_per_day: Annotated[int, typer.Option(help="Tokens a day, prompt and answer; 0: no limit.")] = 0,
    label: Annotated[str, typer.Option(help="Whose it is, for your own list.")] = "",
    days: Annotated[float, typer.Option(help="Days until it ends; 0: never.", min=0)] = 0,
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once, as the last word. Recorded first."""
    office = BackOffice(home, config)

    async def act(standing: Standing, records: OwnRecords) -> tuple[ApiKey, str]:
        keys = _keys(office, standing)
        key, text = keys.draw(
            tenant,
            label=label,
            requests_per_minute=rpm,
            tokens_per_day=tokens_per_day,
            expires_at=office.clock() + days * 86_400 if days else 0.0,
        )
        await keys.place(key, account(by), records)
        return key, text

    key, text = office.with_orders(act)
    if as_json:
        print_json(_shown(key) | {"key": text})
        return
    typer.echo(f"{key.id} for tenant {key.tenant}, shown only now:")
    typer.echo(text)


@api_key_app.command("list")
@refusing
def list_keys(
    home: HomeOption = Path(DEFAULT_HOME), config: ConfigOption = None, as_json: JsonOption = False
) -> None:  # fmt: skip
    """List the keys in force; their texts are not kept."""
    office = BackOffice(home, config)

    async def act(standing: Standing, records: OwnRecords) -> list[ApiKey]:
        return _keys(office, standing).list()

    found = [_shown(key) for key in office.with_orders(act)]
    if as_json:
        print_json({"api_keys": found})
        return
    for item in found:
        limits = f"{item['rpm'] or '-'} a minute, {item['tokens_per_day'] or '-'} tokens a day"
        typer.echo(f"{item['id']}  {item['tenant']}  {limits}  {item['expires_at'] or 'for ever'}  {item['label']}")


@api_key_app.command("revoke")
@refusing
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, from `apikey list`.")],
    by: ByOption = "",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """End a key. It is refused at once, everywhere."""
    from gateway.api_keys import ApiKeyError

    office = BackOffice(home, config)

    async def act(standing: Standing, records: OwnRecords) -> tuple[ApiKey, str] | None:
        return await _keys(office, standing).revoke(key_id, account(by), records)

    ended = office.with_orders(act)
    if ended is None:
        raise ApiKeyError("there is no key with this id; `dutybound apikey list` shows them")
    typer.echo(f"revoked {key_id}" if ended[1] else f"revoked {key_id}; the log is away, the record is made later")


def _keys(office: BackOffice, standing: Standing) -> ApiKeys:
    from gateway.api_keys import ApiKeys

    zone = ZoneInfo(office.settings.identity.default_tz)
    return ApiKeys(standing, None, office.home.key("pseudonym"), zone, office.entropy)


def _shown(key: ApiKey) -> dict[str, Any]:
    ends = datetime.fromtimestamp(key.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if key.expires_at else None
    return {
        "id": key.id,
        "tenant": key.tenant,
        "label": key.label,
        "rpm": key.requests_per_minute,
        "tokens_per_day": key.tokens_per_day,
        "expires_at": ends,
    }
