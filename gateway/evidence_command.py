# SPDX-License-Identifier: Apache-2.0
"""`dutybound audit timestamp | archive | feed | pack`: what leaves this house, so that others can vouch for the log.

Thin skins over `audit_log` and `gateway.siem`. What must hold: nothing is told to have left before it was taken; exit
status 0 only where everything was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway import __version__
from gateway.audit_command import Progress
from gateway.command_options import DEFAULT_HOME, ConfigOption, HomeOption, JsonOption, print_json, refusing
from gateway.home import Home
from gateway.settings import SettingsError, load

if TYPE_CHECKING:  # what only some commands need is loaded by them
    from audit_log.archive import ObjectStore
    from gateway.settings import Settings
    from gateway.siem import Sink

pack_app = typer.Typer(help="The pack for an audit: a sample that the auditor seeds, and the evidence with it.")
archive_app = typer.Typer(help="Copies of full segments in object storage with object lock.")


def evidence_commands(audit_app: typer.Typer) -> typer.Typer:
    """The group of commands about the log, with these added."""
    audit_app.command("timestamp")(audit_timestamp)
    audit_app.add_typer(archive_app, name="archive")
    audit_app.command("feed")(audit_feed)
    audit_app.add_typer(pack_app, name="pack")
    return audit_app


@refusing
def audit_timestamp(
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    url: Annotated[str, typer.Option(help="The authority's address; without it `timestamps.url`.")] = "",
    roots: Annotated[Path | None, typer.Option(help="Its root certificate (PEM); else `timestamps.roots`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Let an outside authority stamp the published checkpoint (RFC 3161); it goes into every bundle from then on."""
    from audit_log import commands
    from audit_log.timestamping import REQUEST_TYPE

    settings = load(config, home)
    chosen = url or settings.timestamps.url
    if not chosen:
        raise SettingsError("give --url, or set timestamps.url")
    named = settings.base_dir / settings.timestamps.roots if settings.timestamps.roots else None
    trusted = roots or named
    place = Home.open(home, settings.audit).place()
    pem = trusted.read_bytes() if trusted is not None else None
    told = commands.timestamp(place, chosen, poster(REQUEST_TYPE), roots=pem)
    if as_json:
        print_json(told)
    else:
        typer.echo(f"{told['size']} records stamped at {told['at']} by {told['by']}")
        if not told["is_trusted"]:
            typer.echo("nobody vouches for that certificate: give --roots")


@archive_app.callback(invoke_without_command=True)
@refusing
def audit_archive(
    context: typer.Context,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be copied, and copy nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the log's full segments to object storage, locked; what is there already is not copied again."""
    if context.invoked_subcommand is not None:
        return
    from audit_log.archive import archive_segments
    from audit_log.commands import export_source

    settings = load(config, home)
    place = Home.open(home, settings.audit).place()
    show = Progress("copied", "segments")
    try:
        with export_source(place) as source:
            found = archive_segments(
                source,
                bucket_of(settings),
                prefix=settings.archive.prefix,
                lock_days=lock_days(settings),
                clock=time.time,
                parquet=settings.archive.parquet,
                dry_run=dry_run,
                progress=show,
            )
    finally:
        show.end()
    if as_json:
        print_json(found)
    else:
        copied, there, held = (len(found[name]) for name in ("copied", "there", "held"))  # type: ignore[arg-type]
        verb = "would copy" if dry_run else "copied"
        typer.echo(f"{verb} {copied} segments; {there} are there already; {held} are under a legal hold")


@pack_app.callback(invoke_without_command=True)
@refusing
def audit_pack(
    context: typer.Context,
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The pack to write, a ZIP file.")] = None,
    seed: Annotated[str, typer.Option(help="The auditor's seed: one line, given after they saw a checkpoint.")] = "",
    count: Annotated[int, typer.Option(help="How many records to draw.", min=1, max=100_000)] = 400,
    first: Annotated[int | None, typer.Option("--from", help="From this index on; else from the first kept.")] = None,
    last: Annotated[int | None, typer.Option("--to", help="Up to this index, excluded; else up to the last.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="That which the auditor saw; else the latest.")] = None,
    document: Annotated[list[Path] | None, typer.Option(help="A document to hand in; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the pack for an audit (Model AI Law article 46); its records are those that the seed draws."""
    if context.invoked_subcommand is not None:
        return
    from audit_log.audit_pack import write_pack
    from audit_log.checkpoint import open_checkpoint
    from audit_log.commands import export_source
    from audit_log.sample import Sample
    from gateway.audit_statements import statements

    if out is None or not seed:
        raise SettingsError("give --out and --seed")
    settings = load(config, home)
    place = Home.open(home, settings.audit).place()
    show = Progress("drawn", "records")
    try:
        with export_source(place) as source:
            note = source.store.head() if checkpoint is None else checkpoint.read_bytes()
            size = open_checkpoint(note, source.signer.name, source.verifiers).size
            begin = source.store.minimum() if first is None else first
            sample = Sample(seed, count, begin, size if last is None else last)
            found = write_pack(
                source,
                out,
                sample,
                statements=statements(settings, place, time.time()),
                documents=document or (),
                generator=f"dutybound {__version__}",
                clock=time.time,
                checkpoint=note,
                progress=show,
            )
    finally:
        show.end()
    if as_json:
        print_json(found)
    else:
        typer.echo(f"wrote {out} with {found['records']} records; check it with dutybound audit pack verify")


@pack_app.command("verify")
@refusing
def pack_verify(
    pack: Annotated[Path, typer.Argument(help="The pack.")],
    vkey: Annotated[list[str], typer.Option(help="The log's key as you know it; may be repeated.")],
    as_json: JsonOption = False,
) -> None:
    """Check a pack and the sample in it. Exit status 0 only where everything holds."""
    from audit_log.audit_pack import verify_pack

    report, problems = verify_pack(pack, vkey)
    is_good = report.ok and not problems
    if as_json:
        print_json({"ok": is_good, "pack": problems, "sample": report.as_json()})
    else:
        for problem in (*problems, *report.problems):
            typer.echo(problem)
        typer.echo(f"{report.records} records of {report.tree_size}: {'holds' if is_good else 'BROKEN'}")
    if not is_good:
        raise typer.Exit(1)


@refusing
def audit_feed(
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    file: Annotated[Path | None, typer.Option(help="A file of JSON lines; without it `siem.file`.")] = None,
    url: Annotated[str, typer.Option(help="An address; without it `siem.url`.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Hand new records on to a SIEM in OCSF, each sink from where it stopped. Exit status 1 where one took none."""
    from audit_log.commands import export_source
    from gateway.siem import Feed, FeedError

    settings = load(config, home)
    room = Home.open(home, settings.audit)
    sinks = siem_sinks(settings, file, url)
    if not sinks:
        raise SettingsError("give --file or --url, or set siem.file or siem.url")
    told: dict[str, object] = {}
    failed: dict[str, str] = {}
    with export_source(room.place()) as source:
        for sink in sinks:
            feed = Feed(room.path / "siem", sink, provider=settings.service.provider, batch=settings.siem.batch)
            try:
                fed = feed.run(source.store, source.store.head(), source.signer.name, source.verifiers)
            except FeedError as error:
                failed[sink.name] = str(error)
                continue
            told[sink.name] = {"events": fed.events, "next": fed.next_index, "missed": fed.missed}
    if as_json:
        print_json({"fed": told, "failed": failed})
    else:
        for name, counts in told.items():
            typer.echo(f"{name}: {counts}")
        for name, reason in failed.items():
            typer.echo(f"{name}: {reason}")
    if failed:
        raise typer.Exit(1)


def siem_sinks(settings: Settings, file: Path | None = None, url: str = "") -> list[Sink]:
    """Where events go: what is given, else what is set."""
    from gateway.siem import FileSink, HttpSink

    chosen = settings.siem
    if file is None and not url:
        file = settings.base_dir / chosen.file if chosen.file else None
        url = chosen.url
    token = os.environ.get(chosen.token_env, "") if chosen.token_env else ""
    if chosen.token_env and not token:
        raise SettingsError(f"siem.token_env: there is no environment variable {chosen.token_env}")
    sinks: list[Sink] = [] if file is None else [FileSink(file)]
    if url:
        sinks.append(HttpSink(url, poster("application/x-ndjson", chosen.timeout_s, token)))
    return sinks


@archive_app.command("verify")
@refusing
def archive_verify(
    home: HomeOption = Path(DEFAULT_HOME), config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Read every copy back and check it with the log's keys. Exit status 0 only where all hold, none is missing."""
    from audit_log.archive import verify_archive
    from audit_log.checkpoint import open_checkpoint
    from audit_log.commands import export_source
    from audit_log.tiles import SEGMENT

    settings = load(config, home)
    show = Progress("checked", "segments")
    try:
        with export_source(Home.open(home, settings.audit).place()) as source:
            size = open_checkpoint(source.store.head(), source.signer.name, source.verifiers).size
            report = verify_archive(
                bucket_of(settings),
                prefix=settings.archive.prefix,
                origin=source.signer.name,
                verifiers=source.verifiers,
                expected=range(source.store.minimum() // SEGMENT, size // SEGMENT),
                progress=show,
            )
    finally:
        show.end()
    if as_json:
        print_json(report.as_json())
    else:
        for problem in report.problems:
            typer.echo(problem)
        if report.missing:
            typer.echo(f"not copied yet: segments {', '.join(map(str, report.missing))}")
        typer.echo(f"{report.segments} segments, {report.records} records: {'hold' if report.ok else 'BROKEN'}")
    if not report.ok:
        raise typer.Exit(1)


@archive_app.command("restore")
@refusing
def archive_restore(
    number: Annotated[int, typer.Argument(min=0, help="Of the segment: the index of a record divided by 65,536.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write, one record a line.")],
    home: HomeOption = Path(DEFAULT_HOME),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a segment's records back, checked, as a file."""
    from audit_log.archive import restore_segment
    from audit_log.commands import export_source

    settings = load(config, home)
    with export_source(Home.open(home, settings.audit).place()) as source:
        first = restore_segment(
            bucket_of(settings),
            prefix=settings.archive.prefix,
            origin=source.signer.name,
            verifiers=source.verifiers,
            number=number,
            out=out,
        )
    if as_json:
        print_json({"first": first, "file": str(out)})
    else:
        typer.echo(f"wrote {out}; its first record has index {first}")


def lock_days(settings: Settings) -> int:
    """For how long copies are locked: as set, or the policy's longest minimum."""
    from gateway import policies
    from gateway.retention import retention_of

    if settings.archive.lock_days:
        return settings.archive.lock_days
    rules = retention_of(policies.load(settings.policy.use), settings.audit).rules
    return max(rule.minimum_days for rule in rules)


def bucket_of(settings: Settings) -> ObjectStore:
    """The bucket that is set. Raises `SettingsError` without one."""
    from audit_log.object_store import S3Bucket

    chosen = settings.archive
    if not chosen.bucket:
        raise SettingsError("set archive.bucket to a bucket with object lock")
    return S3Bucket(chosen.bucket, endpoint=chosen.endpoint, region=chosen.region, lock=chosen.lock)


def poster(media_type: str, timeout_s: float = 10.0, token: str = "") -> Callable[[str, bytes], tuple[int, bytes]]:
    """A function that posts a body and gives status and answer; raises OSError where nobody answers."""
    import httpx

    headers = {"Content-Type": media_type, **({"Authorization": f"Bearer {token}"} if token else {})}

    def post(url: str, body: bytes) -> tuple[int, bytes]:
        try:
            answer = httpx.post(url, content=body, timeout=timeout_s, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(type(error).__name__) from error
        return answer.status_code, answer.content

    return post
