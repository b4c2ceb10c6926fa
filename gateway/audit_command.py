# SPDX-License-Identifier: Apache-2.0
"""`dutybound audit`: what operators and auditors ask of the log from the command line, on either store.

Every command is a thin skin over `audit_log.commands`. What must hold: what deletes or changes keys asks first, or is
told `--yes`; a dry run changes nothing; exit status 0 only where everything holds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway import __version__
from gateway.command_options import DEFAULT_HOME, ConfigOption, HomeOption, JsonOption, print_json, refusing
from gateway.home import Home
from gateway.settings import Settings, SettingsError, load

if TYPE_CHECKING:  # `dutybound filter check` must not wait for these
    from audit_log.log import Forgetting
    from audit_log.place import Place
    from audit_log.retention import Retention

audit_app = typer.Typer(no_args_is_help=True, help="The audit log.")
hold_app = typer.Typer(no_args_is_help=True, help="Legal holds: placed and lifted by two people in two roles.")
erase_app = typer.Typer(no_args_is_help=True, help="Requests to be forgotten.")
body_app = typer.Typer(no_args_is_help=True, help="Sealed bodies: ask to read one, agree, read it.")
audit_app.add_typer(hold_app, name="hold")
audit_app.add_typer(erase_app, name="erase")
audit_app.add_typer(body_app, name="body")

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ByOption = Annotated[str, typer.Option("--by", help="Who does this: an account, not a person's name.")]
RoleOption = Annotated[str, typer.Option("--role", help="The role in which they do it.")]
TenantOption = Annotated[str | None, typer.Option(help="Only this tenant's.")]


class Upto(StrEnum):
    """How far a prune goes."""

    DUE = "due"
    ALLOWED = "allowed"


class Handed(StrEnum):
    """Which bodies a bundle gets."""

    NONE = "none"
    SEALED = "sealed"
    OPENED = "opened"


@audit_app.command("init")
@refusing
def audit_init(
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    origin: Annotated[str, typer.Option(help="The log's name, for ever; without it a made-up local one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make an empty log where the settings say that it lies; prints its verifier key as the last word.

    A data folder whose own log is still empty hands its keys on to the server that `audit.url` names.
    """
    from gateway.home import default_origin

    settings = load(config, home)
    vkey = Home.open(home, settings.audit).place().create(origin or default_origin())
    if as_json:
        print_json({"vkey": vkey, "shared": bool(settings.audit.url)})
    else:
        typer.echo("made an empty log; its verifier key, to be given to auditors:")
        typer.echo(vkey)


@audit_app.command("verify")
@refusing
def audit_verify(
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    vkey: Annotated[list[str] | None, typer.Option(help="The log's key as you know it; may be repeated.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A file that keeps how far it came: an interrupted check goes on from there.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the whole log without trusting this server. Exit status 0 only where everything holds."""
    place, _ = _place(home, config)
    show = None if quiet else Progress("checked")
    try:
        report = place.verify(vkeys=tuple(vkey or ()), progress=show, resume=resume)
    finally:
        if show is not None:
            show.end()
    if as_json:
        typer.echo(report.to_json())
    else:
        for problem in report.problems:
            typer.echo(problem)
        typer.echo(
            f"{report.tree_size} records, {report.checkpoints} checkpoints: {'holds' if report.ok else 'BROKEN'}"
        )
        if report.first_bad_index is not None:
            typer.echo(f"first bad index {report.first_bad_index}")
    if not report.ok:
        raise typer.Exit(1)


@audit_app.command("prove")
@refusing
def audit_prove(
    record_id: Annotated[str, typer.Argument(help="The record's id, or with --receipt a client's receipt.")],
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    receipt: Annotated[bool, typer.Option("--receipt", help="What is given is a receipt.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one record with its proof (c2sp.org/tlog-proof@v1) as JSON."""
    from audit_log import commands

    place, _ = _place(home, config)
    print_json(commands.redeem(place, record_id) if receipt else commands.prove(place, record_id))


@audit_app.command("export")
@refusing
def audit_export(
    out: Annotated[Path, typer.Option("-o", "--out", help="The bundle to write, a ZIP file.")],
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    since: Annotated[str, typer.Option(help="RFC 3339 with an offset, or seconds since the epoch.")] = "",
    until: Annotated[str, typer.Option(help="The same, excluded.")] = "",
    tenant: TenantOption = None,
    subject: Annotated[str | None, typer.Option(help="Only records about this pseudonym.")] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Only records of this class.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only records of this type.")] = None,
    incident: Annotated[str | None, typer.Option(help="Only records that name this incident.")] = None,
    case: Annotated[str | None, typer.Option(help="Only what tells of this complaint or request.")] = None,
    first: Annotated[int | None, typer.Option("--from", help="From this index on; keeps the bundle complete.")] = None,
    last: Annotated[int | None, typer.Option("--to", help="Up to this index, excluded.")] = None,
    bodies: Annotated[Handed, typer.Option(help="Sealed bodies: none, sealed, or opened; a record says so.")] = (
        Handed.NONE
    ),
    by: ByOption = "",
    policy: Annotated[Path | None, typer.Option(help="A trust policy (c2sp.org/tlog-policy) to hand out.")] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that the auditor kept; may be repeated.")
    ] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="With a view for data tools; needs pyarrow.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what was done when interrupted, and go on from there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a bundle for auditors: records, proofs, checkpoints, keys, and a verifier that runs offline."""
    from audit_log import commands
    from audit_log.export import Selection

    selection = Selection(
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        tenant=tenant,
        subject=subject,
        class_=class_,
        type=type_,
        from_index=first,
        to_index=last,
        incident=incident,
        case=case,
    )
    show = Progress("exported")
    try:
        report = commands.export(
            _place(home, config)[0],
            out,
            selection,
            generator=f"dutybound {__version__}",
            by=by,
            bodies=bodies.value,
            policy=policy,
            older=checkpoint or (),
            parquet=parquet,
            resume=resume,
            progress=show,
        )
    finally:
        show.end()
    if as_json:
        print_json(report)
    else:
        typer.echo(f"wrote {out}; unpack it and run `python verify.py` in it")


@audit_app.command("prune")
@refusing
def audit_prune(
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    by: ByOption = "",
    upto: Annotated[Upto, typer.Option(help="due: past its maximum; allowed: everything past its minimum.")] = Upto.DUE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go, and change nothing.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop the beginning of the log as far as the retention rules say; what was hidden long enough is deleted."""
    from audit_log import commands

    place, settings = _place(home, config)
    rules = _retention(settings)
    plan = commands.prune(place, rules, by=by, upto=upto.value, dry_run=True)
    if not dry_run:
        _confirm(yes, f"Drop records {plan['minimum']} to {plan['boundary']} (excluded) for ever?")
        grace_s = settings.audit.delete_after_days * 86_400.0
        plan = commands.prune(place, rules, by=_named(by), upto=upto.value, grace_s=grace_s)
    if as_json:
        print_json(plan)
        return
    verb = "would drop" if dry_run else "dropped"
    typer.echo(f"{verb} records {plan['minimum']} to {plan['boundary']} (excluded)")
    for blocker in _list(plan["blockers"])[:5]:
        typer.echo(f"  stays from {blocker['index']} on: {blocker['reason']}, until {blocker['until'] or 'not known'}")
    for late in _list(plan["overdue"]):
        typer.echo(f"  overdue by {late['days_over']} days: rule {late['rule']} from {late['index']} on")


@hold_app.command("place")
@refusing
def hold_place(
    reason: Annotated[str, typer.Option(help="A reference: a case number, an article; no words about a person.")],
    by: ByOption,
    role: RoleOption,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    tenant: TenantOption = None,
    subject: Annotated[str | None, typer.Option(help="Only records about this pseudonym.")] = None,
    exchange: Annotated[str | None, typer.Option(help="Only this exchange.")] = None,
    since: Annotated[str, typer.Option(help="RFC 3339 with an offset, or seconds since the epoch.")] = "",
    until: Annotated[str, typer.Option(help="The same, excluded.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Place a hold; it protects at once, and waits for a second person in another role. Without a limit: all."""
    from audit_log import commands
    from audit_log.holds import HoldScope

    scope = HoldScope(tenant, subject, exchange, _us(since, "--since"), _us(until, "--until"))
    _say_hold(commands.hold_place(_place(home, config)[0], scope, reason=reason, by=by, role=role), as_json)


def _hold_step(event: str, about: str) -> None:
    @hold_app.command(event, help=about)
    @refusing
    def step(
        hold_id: str,
        by: ByOption,
        role: RoleOption,
        home: HomeOption = Path(DEFAULT_HOME),
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        from audit_log import commands

        _say_hold(commands.hold_step(_place(home, config)[0], hold_id, event, by=by, role=role), as_json)


_hold_step("approve", "Agree, as the second person, to placing or to lifting.")
_hold_step("lift", "Ask to lift a hold; it protects until a second person agrees.")
_hold_step("keep", "Decline, as the second person, to lift a hold.")


@hold_app.command("list")
@refusing
def hold_list(home: HomeOption = Path(DEFAULT_HOME), config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """All holds, lifted ones too."""
    from audit_log import commands

    found = commands.holds(_place(home, config)[0])
    if as_json:
        print_json(found)
        return
    for hold in _list(found["holds"]):
        typer.echo(f"{hold['id']}  {hold['state']:<13} {hold['reason']}  since {hold['since']}")


@erase_app.command("request")
@refusing
def erase_request(
    subject: Annotated[str, typer.Argument(help="The pseudonym, as records have it.")],
    by: ByOption,
    basis: Annotated[str, typer.Option(help="The legal basis, as a reference.")] = "PIPL-47",
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    tenant: TenantOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take a request to erase a subject, and do what may be done now; what stands against it is named."""
    from audit_log import commands

    place, settings = _place(home, config)
    _confirm(yes, "Destroy the keys of everything kept about this subject for ever, as far as the law allows now?")
    with _forgetting(home) as forget:
        done = commands.erase(place, tenant, subject, _retention(settings), basis=basis, by=by, forgetting=forget)
    _say_erasure(done, as_json)


@erase_app.command("run")
@refusing
def erase_run(
    by: ByOption,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look at all open requests again, and do what may be done now."""
    from audit_log import commands

    place, settings = _place(home, config)
    _confirm(yes, "Destroy, for ever, what open requests ask for and nothing stands against any more?")
    with _forgetting(home) as forget:
        found = commands.erase_queue(place, _retention(settings), by=by, forgetting=forget)
    if as_json:
        print_json(found)
        return
    for one in _list(found["requests"]):
        _say_erasure(one, False)


@erase_app.command("list")
@refusing
def erase_list(home: HomeOption = Path(DEFAULT_HOME), config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What was asked to be erased, and what came of it."""
    from audit_log import commands
    from gateway import policies
    from gateway.retention import erasure_deadline_days

    place, settings = _place(home, config)
    deadline_days = erasure_deadline_days(policies.load(settings.policy.use))
    found = commands.erasures(place, deadline_days=deadline_days)
    if as_json:
        print_json(found)
        return
    for one in _list(found["requests"]):
        typer.echo(f"{one['request']}  {one['state']:<8} {one['days']} days{', LATE' if one['late'] else ''}")


@body_app.command("ask")
@refusing
def body_ask(
    record_id: str,
    reason: Annotated[str, typer.Option(help="A reference: a case number, an article; no words about a person.")],
    by: ByOption,
    role: RoleOption,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask to read the sealed body of a record; prints the id of the request as the last word."""
    from audit_log.access import request_access
    from audit_log.holds import Approval

    with _place(home, config)[0].writing() as log:
        access = request_access(log, record_id, reason, Approval(by, role))
    if as_json:
        print_json(access.as_json())
    else:
        typer.echo(access.id)


@body_app.command("approve")
@refusing
def body_approve(
    access_id: str,
    by: ByOption,
    role: RoleOption,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Agree, as the second person, that a body is read."""
    from audit_log.access import approve_access
    from audit_log.holds import Approval

    with _place(home, config)[0].writing() as log:
        access = approve_access(log, access_id, Approval(by, role))
    if as_json:
        print_json(access.as_json())
    else:
        typer.echo(f"{access.asked.by} may read it now")


@body_app.command("read")
@refusing
def body_read(
    access_id: str,
    by: ByOption,
    role: RoleOption,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
) -> None:
    """Print a body, after a record that says who read it and why."""
    from audit_log.access import read_body
    from audit_log.holds import Approval

    place, settings = _place(home, config)
    with place.writing() as log:
        body = read_body(
            log,
            access_id,
            Approval(by, role),
            now=time.time(),
            valid_s=settings.audit.reading_hours * 3_600.0,
            needs_second=settings.audit.two_person_reading,
        )
    sys.stdout.buffer.write(body + b"\n")


@audit_app.command("census")
@refusing
def audit_census(
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell, as JSON, what was lost before it reached the log: gaps in numbers, writers that ended without a word.

    Exit status 1 where something was.
    """
    from audit_log import commands

    place, settings = _place(home, config)
    found = commands.census(place, census_every_s=settings.audit.census_every_s)
    print_json(found)
    if not found["ok"]:
        raise typer.Exit(1)


@audit_app.command("reconcile")
@refusing
def audit_reconcile(
    bill: Annotated[Path, typer.Argument(help="The upstream's bill, a CSV file: time, model, request id, tokens.")],
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    since: Annotated[str, typer.Option(help="RFC 3339 with an offset, or seconds since the epoch.")] = "",
    until: Annotated[str, typer.Option(help="The same, excluded.")] = "",
    tolerance: Annotated[float, typer.Option(help="Seconds by which both clocks may differ.")] = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Compare the log with what the model's provider billed. Exit status 1 where they do not agree."""
    from audit_log import commands

    found = commands.reconciliation(
        _place(home, config)[0],
        bill,
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        tolerance_s=tolerance,
    )
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{found['calls']} calls on the bill, {found['records']} in the log, {found['matched']} agree")
        for call in _list(found["only_bill"]):
            typer.echo(f"  line {call['line']} ({call['t']}): no record of it")
        for record in _list(found["only_log"]):
            typer.echo(f"  record {record['record']} ({record['t']}): not on the bill")
        if found["unreadable_count"]:
            typer.echo(f"  {found['unreadable_count']} lines could not be read")
    if not found["ok"]:
        raise typer.Exit(1)


@audit_app.command("witness")
@refusing
def audit_witness(
    url: Annotated[list[str], typer.Option("--url", help="A witness's submission prefix; one --key each.")],
    key: Annotated[list[str], typer.Option("--key", help="Its verifier key (vkey); several joined by commas.")],
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask witnesses to cosign the published checkpoint (c2sp.org/tlog-witness). Exit status 1 where one did not."""
    from audit_log import commands
    from audit_log.cosignature import CosignatureVerifier, parse_vkey
    from audit_log.witness import WitnessAddress

    if len(url) != len(key):
        raise SettingsError("give one --key for each --url")
    addresses = []
    for one, keys in zip(url, key, strict=True):
        known = tuple(parse_vkey(text) for text in keys.split(","))
        if not all(isinstance(each, CosignatureVerifier) for each in known):
            raise SettingsError("a witness's key has type 0x04 or 0x06; this one is a log's")
        addresses.append(WitnessAddress(one, known))  # type: ignore[arg-type]  # tested above
    found = commands.witness(_place(home, config)[0], addresses, _post)
    failed = found["failed"] if isinstance(found["failed"], dict) else {}
    if as_json:
        print_json(found)
    else:
        for one, reason in failed.items():
            typer.echo(f"{one}: {reason}")
        typer.echo(f"a checkpoint of {found['size']} records, cosigned by {len(addresses) - len(failed)}")
    if failed:
        raise typer.Exit(1)


@audit_app.command("rotate")
@refusing
def audit_rotate(
    by: ByOption,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    master: Annotated[bool, typer.Option("--master", help="The master key of sealed bodies instead.")] = False,
    new_master: Annotated[
        str, typer.Option(help="Where its new form is: env:NAME or hook:MODULE:FUNCTION; without it a new file.")
    ] = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a new key sign the log, or wrap the keys of sealed bodies. The gateway must be stopped."""
    from audit_log import commands
    from gateway.master_key import key_source

    place, _ = _place(home, config)
    if new_master and not new_master.startswith(("env:", "hook:")):
        raise SettingsError("--new-master: expected env:NAME or hook:MODULE:FUNCTION")
    _confirm(yes, f"Change the {'master' if master else 'signing'} key of this log?")
    if master:
        wrapped = commands.rotate_master(place, by=by, read_new=key_source(new_master))
        if as_json:
            print_json(wrapped)
        else:
            typer.echo(f"wrapped {wrapped['keys']} keys anew")
        return
    changed = commands.rotate(place, by=by)
    if as_json:
        print_json(changed)
    else:
        typer.echo("a new key signs; give its verifier key to auditors:")
        typer.echo(changed["new"])


class Progress:
    """A line on standard error that counts, on a terminal alone, at most ten times a second."""

    def __init__(self, verb: str, noun: str = "records") -> None:
        self._verb = verb
        self._noun = noun
        self._shown_at = 0.0
        self._is_open = False
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._is_terminal or now - self._shown_at < 0.1:
            return
        self._shown_at = now
        self._is_open = True
        share = 100 * done // total if total else 100
        print(f"\r{self._verb} {done:,} of {total:,} {self._noun}, {share} %", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._is_open:
            print(file=sys.stderr)


def _place(home: Path, config: Path | None) -> tuple[Place, Settings]:
    settings = load(config, home)
    return Home.open(home, settings.audit).place(), settings


def _retention(settings: Settings) -> Retention:
    from gateway import policies
    from gateway.retention import retention_of

    return retention_of(policies.load(settings.policy.use), settings.audit)


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    import httpx

    try:
        answer = httpx.post(url, content=body, timeout=10.0, headers={"Content-Type": "text/plain"})
    except httpx.HTTPError as error:
        raise OSError(type(error).__name__) from error
    return answer.status_code, answer.content


def _confirm(yes: bool, question: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("this cannot be undone and nobody can be asked here; give --yes")
    typer.confirm(question, abort=True)


@contextmanager
def _forgetting(home: Path) -> Iterator[Forgetting | None]:
    """Deletes fingerprints of erased records, where the data folder keeps any. A running server sees it at once."""
    from gateway.copies import forget_in
    from gateway.fingerprints import FingerprintStore

    path = Home.open(home).fingerprints
    if not path.is_file():
        yield None
        return
    store = FingerprintStore(path)
    try:
        yield lambda record_ids: forget_in(store, record_ids)
    finally:
        store.close()


def _named(by: str) -> str:
    return by or f"uid-{os.getuid()}"


def _say_hold(hold: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print_json(hold)
    else:
        typer.echo(f"hold {hold['id']}: {hold['state']}")


def _say_erasure(done: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    because = ", ".join(map(str, _list(done["because"])))
    waits = f", {done['kept']} bodies wait: {done['standing']} ({because})" if done["state"] == "waiting" else ""
    typer.echo(f"request {done['request']}: {done['state']}, {done['bodies']} bodies erased{waits}")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _us(text: str, option: str) -> int | None:
    moment = _moment(text, option)
    return None if moment is None else round(moment * 1_000_000)


def _moment(text: str, option: str) -> float | None:
    from gateway.operator.moments import parse_moment
    from gateway.operator.problems import ProblemError

    try:
        return parse_moment(text, option) if text else None
    except ProblemError as error:
        raise SettingsError(error.problem.detail) from None
