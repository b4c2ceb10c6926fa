# SPDX-License-Identifier: Apache-2.0
"""The command line: `dutybound init | serve | config | audit | keys | label | filter | token | version`.

Exit status 0: done, and everything holds. 1: it does not hold. 2: it could not be done, and standard error says why.
What only some commands need is imported where they need it: `dutybound filter check` must not wait for a server.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from content_filter.errors import FilterError
from gateway import __version__
from gateway.api_key_command import api_key_app
from gateway.audit_command import audit_app
from gateway.evidence_command import evidence_commands
from gateway.filter_command import filter_app
from gateway.home import Home, HomeError
from gateway.incident_command import incident_app
from gateway.measure_command import measure_app
from gateway.operator.tokens import Role, TokenError, TokenStore
from gateway.pause_command import pause, paused, resume
from gateway.policies import PolicyError
from gateway.settings import CONFIG_NAME, Settings, SettingsError, effective, load
from gateway.state import StateError


def refusals() -> tuple[type[Exception], ...]:
    """What an operator can mend; said in one line, without a stack trace."""
    from audit_log.errors import AuditError
    from complaints.errors import ComplaintError
    from labeling.errors import LabelError

    rooms = (FilterError, LabelError, AuditError, ComplaintError)
    return (SettingsError, HomeError, PolicyError, TokenError, StateError, OSError, *rooms)


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
config_app = typer.Typer(no_args_is_help=True, help="The settings: test, show, describe them.")
token_app = typer.Typer(no_args_is_help=True, help="Tokens for the operator listener.")
keys_app = typer.Typer(no_args_is_help=True, help="Keys of the data folder.")
label_app = typer.Typer(no_args_is_help=True, help="Labels on files: put them on, read them.")
app.add_typer(config_app, name="config")
app.add_typer(evidence_commands(audit_app), name="audit")
app.add_typer(token_app, name="token")
app.add_typer(keys_app, name="keys")
app.add_typer(label_app, name="label")
app.add_typer(filter_app, name="filter")
app.add_typer(incident_app, name="incident")
app.add_typer(measure_app, name="measure")
app.add_typer(api_key_app, name="apikey")
app.command()(pause)
app.command()(resume)
app.command()(paused)

_DEFAULT_HOME = "dutybound-home"

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DUTYBOUND_HOME", help="The data folder.", show_default=_DEFAULT_HOME)
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help=f"The configuration file; without it {CONFIG_NAME} in the data folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


P = ParamSpec("P")


def _refusing(command: Callable[P, None]) -> Callable[P, None]:
    """Say what an operator can mend in one line, with exit status 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except typer.Exit:
            raise
        except Exception as error:
            if not isinstance(error, refusals()):
                raise
            typer.echo(f"dutybound: {error}", err=True)
            raise typer.Exit(2) from None

    return run


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
@_refusing
def init(
    home: HomeOption = Path(_DEFAULT_HOME),
    origin: Annotated[str, typer.Option(help="The log's name, for ever; without it a made-up local one.")] = "",
    audit_url: Annotated[str, typer.Option(help="postgresql://...: the log lies on this server.")] = "",
) -> None:
    """Make a data folder: keys, an empty audit log, a configuration file."""
    made, vkey = Home.create(home, origin, audit_url)
    typer.echo(f"made {made.path}")
    typer.echo("the log's verifier key; give it to auditors:")
    typer.echo(vkey)


@app.command()
@_refusing
def serve(
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
    upstream: Annotated[str | None, typer.Option(help='The model API, or "sample" for the built-in model.')] = None,
    host: Annotated[str | None, typer.Option(help="Address of the public listener.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the public listener; 0: any free one.")] = None,
    operator_host: Annotated[str | None, typer.Option(help="Address of the operator listener.")] = None,
    operator_port: Annotated[int | None, typer.Option(help="Port of the operator listener; 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
) -> None:
    """Serve until stopped. The data folder must have been made by `dutybound init`."""
    flags: dict[str, dict[str, Any]] = {"upstream": {"url": upstream}} if upstream is not None else {}
    server = {
        "host": host,
        "port": port,
        "operator_host": operator_host,
        "operator_port": operator_port,
        "workers": workers,
    }
    given = {key: value for key, value in server.items() if value is not None}
    if given:
        flags["server"] = given
    settings = load(config, home, flags)
    folder = Home.open(home, settings.audit)
    _stop_on_errors(settings)
    from gateway.serving import serve as serve_forever  # the server's libraries are not needed by other commands

    raise typer.Exit(serve_forever(settings, folder))


@config_app.command("check")
@_refusing
def config_check(
    config: ConfigOption = None, home: HomeOption = Path(_DEFAULT_HOME), as_json: JsonOption = False
) -> None:
    """Test the settings and print the effective tree, secrets masked. Exit status 1 where something must be mended."""
    from gateway.check import completeness, findings

    settings = load(config, home)
    found = sorted([*findings(settings), *completeness(settings)], key=lambda item: item.level)
    if as_json:
        problems = [{"level": item.level, "key": item.key, "text": item.text} for item in found]
        _print_json({"settings": effective(settings), "findings": problems})
    else:
        _print_json(effective(settings))
        for item in found:
            typer.echo(f"{item.level}: {item.key}: {item.text}", err=True)
    if any(item.level == "error" for item in found):
        raise typer.Exit(1)


@config_app.command("show")
@_refusing
def config_show(config: ConfigOption = None, home: HomeOption = Path(_DEFAULT_HOME)) -> None:
    """Print the effective settings as JSON, secrets masked."""
    _print_json(effective(load(config, home)))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file."""
    schema = Settings.model_json_schema()
    for internal in ("base_dir", "home"):
        schema["properties"].pop(internal, None)
    _print_json(schema)


@keys_app.command("show")
@_refusing
def keys_show(home: HomeOption = Path(_DEFAULT_HOME)) -> None:
    """Print the log's verifier key (vkey) as the last word."""
    typer.echo((Home.open(home).audit / "log.vkey").read_text().strip())


@keys_app.command("new")
@_refusing
def keys_new(
    c2pa: Annotated[bool, typer.Option("--c2pa", help="A chain of your own for Content Credentials.")] = False,
    watermark: Annotated[bool, typer.Option("--watermark", help="The key of invisible watermarks.")] = False,
    mldsa44: Annotated[
        bool, typer.Option("--mldsa44", help="A second key that signs the log, which quantum computers do not break.")
    ] = False,
    days: Annotated[int, typer.Option(help="Days until its certificate ends.")] = 3_650,
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
) -> None:
    """Make keys. Never replaces any; a running server uses them after its next start."""
    from gateway import label_command

    if [c2pa, watermark, mldsa44].count(True) != 1:
        raise SettingsError("name one kind of key: --c2pa, --watermark or --mldsa44")
    settings = load(config, home)
    folder = Home.open(home, settings.audit)
    if mldsa44:
        from audit_log.keys import create_mldsa44_key, read_vkeys

        typer.echo("checkpoints get a second signature from the next start on; its verifier key, for auditors:")
        typer.echo(create_mldsa44_key(folder.audit, read_vkeys(folder.audit)[-1].name))
        return
    if watermark:
        key = label_command.make_watermark_key(folder, time.time)
        typer.echo(f"made {key['key']}; keep a copy: marks made with it are read with it alone")
        return
    made = label_command.make_chain(folder, settings.service.provider, days, time.time)
    typer.echo(f"made {made['key']} and {made['chain']}; the certificate ends on {made['expires']}")
    typer.echo("the root, for those who check your files:")
    typer.echo(made["root"])


@label_app.command("add")
@_refusing
def label_add(
    file: Annotated[Path, typer.Argument(help="The file to label.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the labelled file goes; must not exist.")],
    record: Annotated[str, typer.Option(help="Id of the record that the labels name; without it a new id.")] = "",
    no_explicit: Annotated[
        bool, typer.Option("--no-explicit", help="Leave the visible label out, by --grant.")
    ] = False,
    grant: Annotated[str, typer.Option(help="Id of the grant, from `label grant`.")] = "",
    explicit_present: Annotated[
        bool, typer.Option("--explicit-present", help="The file shows its label already: hidden labels only.")
    ] = False,
    beside: Annotated[
        bool, typer.Option("--beside", help="Leave the file as it is (a signed one); label it in a manifest beside it.")
    ] = False,
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
    as_json: JsonOption = False,
) -> None:
    """Put all labels on a file: visible or audible, hidden, and signed where the data folder has a chain."""
    from gateway import label_command

    made = label_command.add(
        *(file, out, load(config, home), home),
        record=record,
        without_explicit=no_explicit,
        grant=grant,
        is_shown=explicit_present,
        beside=beside,
        clock=time.time,
    )
    if as_json:
        _print_json(made)
        return
    for step in made["steps"]:
        typer.echo(f"{step['step']}: {step['outcome']}, {step['detail']}")
    typer.echo(f"labelled {made['out']}, record {made['record']}")


@label_app.command("propagate")
@_refusing
def label_propagate(
    file: Annotated[Path, typer.Argument(help="The upload to check.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where it goes with its label; must not exist.")],
    number: Annotated[str, typer.Option("--id", help="Your number for the content; without it a new id.")] = "",
    declared: Annotated[bool, typer.Option("--declared", help="Its uploader says that it is generated.")] = False,
    suspected: Annotated[bool, typer.Option("--suspected", help="You found traces that it is.")] = False,
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
    as_json: JsonOption = False,
) -> None:
    """Check content of others before you pass it on: is, may be, or suspected to be generated; name yourself in it.

    Exit status 1, and no file, where nothing says that it is generated.
    """
    from gateway import label_command

    made = label_command.propagate(
        *(file, out, load(config, home), home), number=number, is_declared=declared, is_suspected=suspected
    )
    if as_json:
        _print_json(made)
    else:
        typer.echo(f"{made['origin']} ({', '.join(made['basis']) or 'nothing found'})")
        for text in (made["prompt"] or {}).values():
            typer.echo(text)
    if made["out"] is None:
        raise typer.Exit(1)


@label_app.command("inspect")
@_refusing
def label_inspect(
    file: Annotated[Path, typer.Argument(help="The file to read.")],
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
    as_json: JsonOption = False,
) -> None:
    """Say which labels a file carries. Exit status 0: labelled, all rules met. 1: not. 2: it could not be read."""
    from gateway import label_command

    found, status = label_command.inspect(file, load(config, home), home)
    if as_json:
        _print_json(found)
    else:
        for line in label_command.said(found):
            typer.echo(line)
    if status:
        raise typer.Exit(status)


@label_app.command("grant")
@_refusing
def label_grant(
    recipient: Annotated[str, typer.Option(help="Who asked for files without a visible label.")],
    agreement: Annotated[str, typer.Option(help="Version of the user agreement that fixes their own duty to label.")],
    reason: Annotated[str, typer.Option(help="What they asked it for.")],
    days: Annotated[int, typer.Option(help="Days until it ends.")] = 30,
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
) -> None:
    """Record a grant to leave the visible label out, and print its id as the last word. The hidden label stays."""
    from gateway.label_files import day_of
    from gateway.label_grants import new_grant

    folder = Home.open(home, load(config, home).audit)
    made = new_grant(folder, recipient=recipient, agreement=agreement, reason=reason, days=days, clock=time.time)
    typer.echo(f"recorded; it ends on {day_of(made.expires_at)}")
    typer.echo(made.id)


@token_app.command("new")
@_refusing
def token_new(
    role: Annotated[Role, typer.Option(help="What the token may do.")],
    home: HomeOption = Path(_DEFAULT_HOME),
    label: Annotated[str, typer.Option(help="Whose it is, for your own list.")] = "",
    days: Annotated[float, typer.Option(help="Days until it expires; 0: never.")] = 0,
) -> None:
    """Make a token and print it, once, as the last word. Running servers know it at once."""
    store = TokenStore(Home.open(home).tokens)
    typer.echo(f"{role.value} token, shown only now:")
    typer.echo(store.new(role.value, label, time.time() + days * 86_400 if days else None))


@token_app.command("list")
@_refusing
def token_list(home: HomeOption = Path(_DEFAULT_HOME), as_json: JsonOption = False) -> None:
    """List tokens; their texts are not kept."""
    rows = [
        {"id": token.id, "role": token.role.value, "label": token.label, "expires": token.expires_at}
        for token in TokenStore(Home.open(home).tokens).list()
    ]
    if as_json:
        _print_json({"tokens": rows})
        return
    for row in rows:
        typer.echo(f"{row['id']}  {row['role']:<9} {row['label']}")


@token_app.command("revoke")
@_refusing
def token_revoke(token_id: str, home: HomeOption = Path(_DEFAULT_HOME)) -> None:
    """Revoke a token by its id; running servers refuse it at once."""
    if not TokenStore(Home.open(home).tokens).revoke(token_id):
        raise TokenError("there is no token with this id; `dutybound token list` shows them")
    typer.echo(f"revoked {token_id}")


def _stop_on_errors(settings: Settings) -> None:
    from gateway.check import findings

    errors = [item for item in findings(settings) if item.level == "error"]
    if errors:
        lines = "\n  ".join(f"{item.key}: {item.text}" for item in errors)
        raise SettingsError(f"refused to start:\n  {lines}")


def _print_json(document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def main() -> None:
    """The console script. A reader that closes its end of a pipe early is no error of ours."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
