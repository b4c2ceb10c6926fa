# SPDX-License-Identifier: Apache-2.0
"""`dutybound audit timestamp`, `archive`, `feed` and `pack` as people and programs use them."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from audit_log import AuditLog, Entry, new_record_id, verify_bundle
from gateway.cli import app
from gateway.home import Home
from tests.audit_log.authority import make_authority

runner = CliRunner()
AUTHORITY = make_authority()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder whose log has three exchanges."""
    made, _ = Home.create(tmp_path / "home", "audit.example.com/test")
    log = AuditLog.open(made.audit, writer="gw-0")
    for number in range(3):
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, f"p{number}"))
    log.close()
    return made.path


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """An address that stamps what is posted to `/tsa`, takes what is posted elsewhere, and what it was sent."""
    seen: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((dict(self.headers.items()), body))
            answer = AUTHORITY.answer(body) if self.path == "/tsa" else b""
            self.send_response(503 if self.path == "/away" else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", seen
    listening.shutdown()
    listening.server_close()
    thread.join()


def run(home: Path, *arguments: str, status: int = 0) -> Result:
    result = runner.invoke(app, ["audit", *arguments, "--home", str(home)])
    assert result.exit_code == status, result.output
    return result


def said(home: Path, *arguments: str, status: int = 0) -> Any:
    return json.loads(run(home, *arguments, "--json", status=status).stdout)


def test_a_checkpoint_is_stamped_and_the_bundle_shows_it(home: Path, server: Any, tmp_path: Path) -> None:
    """With the authority from the option or from the settings."""
    url, seen = server
    (tmp_path / "root.pem").write_bytes(AUTHORITY.root_pem)
    told = said(home, "timestamp", "--url", f"{url}/tsa", "--roots", str(tmp_path / "root.pem"))
    assert (told["is_trusted"], told["by"]) == (True, "CN=Stamps")
    assert seen[0][0]["Content-Type"] == "application/timestamp-query"
    config = home / "dutybound.toml"
    config.write_text(f'[timestamps]\nurl = "{url}/tsa"\nroots = "../root.pem"\n')
    assert "stamped at 2027-01-15" in run(home, "timestamp").stdout
    run(home, "export", "-o", str(tmp_path / "b.zip"))
    assert len(verify_bundle(tmp_path / "b.zip", tsa_roots=AUTHORITY.root_pem).timestamps) == 1


def test_a_stamp_that_is_not_to_be_had_is_refused_in_one_line(home: Path, server: Any) -> None:
    """No address, an authority that is away; without roots it says that nobody vouches."""
    url, _ = server
    assert "timestamps.url" in run(home, "timestamp", status=2).output
    assert "503" in run(home, "timestamp", "--url", f"{url}/away", status=2).output
    assert "reached" in run(home, "timestamp", "--url", "http://127.0.0.1:9/", status=2).output
    assert "nobody vouches" in run(home, "timestamp", "--url", f"{url}/tsa").stdout


def test_segments_go_to_object_storage_and_are_checked_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log without a full segment has nothing to copy, which is said; without a bucket the setting is named."""
    assert "archive.bucket" in run(home, "archive", status=2).output
    boto3, moto_server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="audit-bucket", ObjectLockEnabledForBucket=True)
        (home / "dutybound.toml").write_text(
            f'[archive]\nbucket = "audit-bucket"\nendpoint = "{endpoint}"\nregion = "us-east-1"\n'
        )
        assert said(home, "archive", "--dry-run") == {
            "dry_run": True,
            "copied": [],
            "there": [],
            "held": [],
            "tree_size": 5,
        }
        assert "copied 0 segments" in run(home, "archive").stdout
        assert said(home, "archive", "verify")["ok"] is True
        assert "hold" in run(home, "archive", "verify").stdout
        refused = run(home, "archive", "restore", "0", "-o", str(home / "x"), status=2)
        assert "not copied to its end" in refused.output
    finally:
        server.stop()


def test_events_go_to_a_file_and_to_an_address(home: Path, server: Any, tmp_path: Path) -> None:
    """Each sink from where it stopped; one that is away is named, and the other gets its own all the same."""
    url, seen = server
    events = tmp_path / "events.jsonl"
    (home / "dutybound.toml").write_text(f'[siem]\nfile = "{events}"\nurl = "{url}/away"\ntoken_env = "SIEM_TOKEN"\n')
    assert "SIEM_TOKEN" in run(home, "feed", status=2).output
    runner.env = {"SIEM_TOKEN": "secret"}
    try:
        told = said(home, "feed", status=1)
        assert [fed["events"] for fed in told["fed"].values()] == [5]
        assert "503" in next(iter(told["failed"].values()))
        assert "0" in run(home, "feed", "--file", str(events)).stdout
        assert said(home, "feed", "--url", f"{url}/siem")["failed"] == {}
    finally:
        runner.env = {}
    assert seen[-1][0]["Authorization"] == "Bearer secret"
    assert seen[-1][1] == events.read_bytes()
    (home / "dutybound.toml").unlink()
    assert "siem.file" in run(home, "feed", status=2).output


def test_a_pack_for_an_audit_is_written_and_checked(home: Path, tmp_path: Path) -> None:
    """With the auditor's seed; a changed one fails with exit status 1."""
    vkey = (home / "audit" / "log.vkey").read_text().strip()
    assert "--seed" in run(home, "pack", status=2).output
    (tmp_path / "card.txt").write_text("a model card")
    pack = tmp_path / "p.zip"
    seeded = ("--seed", "dice 4 2", "--count", "3", "--document", str(tmp_path / "card.txt"))
    told = said(home, "pack", "-o", str(pack), *seeded)
    assert (told["records"], "documents/card.txt" in told["files"]) == (3, True)
    checked = runner.invoke(app, ["audit", "pack", "verify", str(pack), "--vkey", vkey])
    assert (checked.exit_code, "holds" in checked.stdout) == (0, True), checked.output
    with zipfile.ZipFile(pack, "a") as file:
        file.writestr("more.txt", "x")
    checked = runner.invoke(app, ["audit", "pack", "verify", str(pack), "--vkey", vkey, "--json"])
    assert (checked.exit_code, json.loads(checked.stdout)["ok"]) == (1, False)


def test_a_second_signature_is_there_from_the_next_start_and_can_be_asked_for(home: Path, tmp_path: Path) -> None:
    """An auditor's own policy asks for it; a bundle from before it was there does not meet that."""
    log_key = (home / "audit" / "log.vkey").read_text().strip()
    run(home, "export", "-o", str(tmp_path / "before.zip"))
    made = runner.invoke(app, ["keys", "new", "--mldsa44", "--home", str(home)])
    assert made.exit_code == 0, made.output
    second = made.stdout.split()[-1]
    log = AuditLog.open(home / "audit", writer="gw-0")
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    log.close()
    run(home, "export", "-o", str(tmp_path / "after.zip"))
    policy = f"log {log_key}\nwitness second {second}\nquorum second\n".encode()
    report = verify_bundle(tmp_path / "after.zip", vkeys=[log_key], policy=policy)
    assert (report.problems, report.witnesses) == ([], ["second"])
    assert not verify_bundle(tmp_path / "before.zip", vkeys=[log_key], policy=policy).ok
    again = runner.invoke(app, ["keys", "new", "--mldsa44", "--home", str(home)])
    assert again.exit_code == 2
