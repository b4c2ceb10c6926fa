# SPDX-License-Identifier: Apache-2.0
"""The command line: `dutybound init | serve | config | audit | keys | label | token | version`.

Exit status 0: done, and everything holds. 1: it does not hold. 2: it could not be done, and standard error says why.
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

from audit_log import AuditError, verify_home
from audit_log import commands as audit_commands
from audit_log.export import Selection
from complaints import ComplaintError
from content_filter import FilterError
from gateway import __version__, label_command
from gateway.check import findings
from gateway.home import Home, HomeError
from gateway.label_files import day_of
from gateway.label_grants import new_grant
from gateway.operator.moments import parse_moment
from gateway.operator.problems import ProblemError
from gateway.operator.tokens import Role, TokenError, TokenStore
from gateway.policies import PolicyError
from gateway.settings import CONFIG_NAME, Settings, SettingsError, effective, load
from gateway.state import StateError
from labeling import LabelError

REFUSALS = (
    SettingsError, HomeError, PolicyError, FilterError, LabelError, AuditError, ComplaintError, TokenError, StateError,
    OSError,
)  # fmt: skip
"""What an operator can mend; said in one line, without a stack trace."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
config_app = typer.Typer(no_args_is_help=True, help="The settings: test, show, describe them.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log.")
token_app = typer.Typer(no_args_is_help=True, help="Tokens for the operator listener.")
keys_app = typer.Typer(no_args_is_help=True, help="Keys of the data folder.")
label_app = typer.Typer(no_args_is_help=True, help="Labels on files: put them on, read them.")
app.add_typer(config_app, name="config")
app.add_typer(audit_app, name="audit")
app.add_typer(token_app, name="token")
app.add_typer(keys_app, name="keys")
app.add_typer(label_app, name="label")

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
        except REFUSALS as error:
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
) -> None:
    """Make a data folder: keys, an empty audit log, a configuration file."""
    made, vkey = Home.create(home, origin)
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
    folder = Home.open(home)
    settings = load(config, home, flags)
    _stop_on_errors(settings)
    from gateway.serving import serve as serve_forever  # the server's libraries are not needed by other commands

    raise typer.Exit(serve_forever(settings, folder))


@config_app.command("check")
@_refusing
def config_check(
    config: ConfigOption = None, home: HomeOption = Path(_DEFAULT_HOME), as_json: JsonOption = False
) -> None:
    """Test the settings and print the effective tree, secrets masked. Exit status 1 where something must be mended."""
    settings = load(config, home)
    found = findings(settings)
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


@audit_app.command("verify")
@_refusing
def audit_verify(home: HomeOption = Path(_DEFAULT_HOME), as_json: JsonOption = False) -> None:
    """Check the whole log without trusting this server. Exit status 0 only where everything holds."""
    folder = Home.open(home)
    report = verify_home(folder.audit)
    if as_json:
        typer.echo(report.to_json())
    else:
        for problem in report.problems:
            typer.echo(problem)
        typer.echo(
            f"{report.tree_size} records, {report.checkpoints} checkpoints: {'holds' if report.ok else 'BROKEN'}"
        )
    if not report.ok:
        raise typer.Exit(1)


@audit_app.command("prove")
@_refusing
def audit_prove(record_id: str, home: HomeOption = Path(_DEFAULT_HOME)) -> None:
    """Print one record with its proof (c2sp.org/tlog-proof@v1) as JSON."""
    _print_json(audit_commands.prove(Home.open(home).audit, record_id))


@audit_app.command("export")
@_refusing
def audit_export(
    out: Annotated[Path, typer.Option("-o", "--out", help="The bundle to write, a ZIP file.")],
    home: HomeOption = Path(_DEFAULT_HOME),
    since: Annotated[str, typer.Option(help="RFC 3339 with an offset, or seconds since the epoch.")] = "",
    until: Annotated[str, typer.Option(help="The same, excluded.")] = "",
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's records.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only records about this pseudonym.")] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Only records of this class.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a bundle for auditors: records, proofs, checkpoints, keys, and a verifier that runs offline."""
    selection = Selection(
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        tenant=tenant,
        subject=subject,
        class_=class_,
    )
    report = audit_commands.export(Home.open(home).audit, out, selection, generator=f"dutybound {__version__}")
    if as_json:
        _print_json(report)
    else:
        typer.echo(f"wrote {out}; unpack it and run `python verify.py` in it")


@audit_app.command("census")
@_refusing
def audit_census(home: HomeOption = Path(_DEFAULT_HOME)) -> None:
    """Tell, as JSON, what was lost before it reached the log: gaps in numbers, writers that ended without a word."""
    _print_json(audit_commands.census(Home.open(home).audit, census_every_s=None))


@keys_app.command("show")
@_refusing
def keys_show(home: HomeOption = Path(_DEFAULT_HOME)) -> None:
    """Print the log's verifier key (vkey) as the last word."""
    typer.echo((Home.open(home).audit / "log.vkey").read_text().strip())


@keys_app.command("new")
@_refusing
def keys_new(
    c2pa: Annotated[bool, typer.Option("--c2pa", help="A chain of your own for Content Credentials.")] = False,
    days: Annotated[int, typer.Option(help="Days until its certificate ends.")] = 3_650,
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
) -> None:
    """Make keys. Never replaces any; a running server uses them after its next start."""
    if not c2pa:
        raise SettingsError("name the kind of key: --c2pa")
    made = label_command.make_chain(Home.open(home), load(config, home).service.provider, days, time.time)
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
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
    as_json: JsonOption = False,
) -> None:
    """Put all labels on a file: visible or audible, hidden, and signed where the data folder has a chain."""
    made = label_command.add(
        *(file, out, load(config, home), home),
        record=record,
        without_explicit=no_explicit,
        grant=grant,
        is_shown=explicit_present,
        clock=time.time,
    )
    if as_json:
        _print_json(made)
        return
    for step in made["steps"]:
        typer.echo(f"{step['step']}: {step['outcome']}, {step['detail']}")
    typer.echo(f"labelled {made['out']}, record {made['record']}")


@label_app.command("inspect")
@_refusing
def label_inspect(
    file: Annotated[Path, typer.Argument(help="The file to read.")],
    config: ConfigOption = None,
    home: HomeOption = Path(_DEFAULT_HOME),
    as_json: JsonOption = False,
) -> None:
    """Say which labels a file carries. Exit status 0: labelled, all rules met. 1: not. 2: it could not be read."""
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
    home: HomeOption = Path(_DEFAULT_HOME),
) -> None:
    """Record a grant to leave the visible label out, and print its id as the last word. The hidden label stays."""
    made = new_grant(
        Home.open(home), recipient=recipient, agreement=agreement, reason=reason, days=days, clock=time.time
    )
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
    errors = [item for item in findings(settings) if item.level == "error"]
    if errors:
        lines = "\n  ".join(f"{item.key}: {item.text}" for item in errors)
        raise SettingsError(f"refused to start:\n  {lines}")


def _moment(text: str, option: str) -> float | None:
    try:
        return parse_moment(text, option) if text else None
    except ProblemError as error:
        raise SettingsError(error.problem.detail) from None


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
