# SPDX-License-Identifier: Apache-2.0
"""Sockets before processes, signals, and what is done from time to time."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from audit_log import AuditError, LogUnavailable
from content_filter import FilterError
from gateway import serving
from gateway.home import Home, HomeError
from gateway.house import House
from gateway.identity import IdentityError
from gateway.serving import Crashed, Sockets
from gateway.settings import Settings

ROOT = Path(__file__).parents[2]
FREE = {"port": 0, "operator_port": 0}


def settings(**server: Any) -> Settings:
    """Settings with free ports."""
    return Settings(server={**FREE, **server})  # type: ignore[arg-type]


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def close(sockets: Sockets) -> None:
    """Both of them."""
    sockets.public.close()
    sockets.operator.close()


def test_the_two_listeners_are_two_sockets() -> None:
    """Free ports where none is given; both can be reached before anything serves."""
    sockets = Sockets.bind(settings())
    public, operator = sockets.addresses()
    assert public.startswith("http://127.0.0.1:") and public != operator
    with (
        socket.create_connection(sockets.public.getsockname()),
        socket.create_connection(sockets.operator.getsockname()),
    ):
        pass
    close(sockets)


@pytest.mark.parametrize("which", ["port", "operator_port"])
def test_a_port_that_is_taken_is_an_error_at_once(which: str) -> None:
    """And the other port is given back."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as probe:
        other = probe.getsockname()[1]
        probe.close()
        ports = {"port": other, "operator_port": other, which: taken.getsockname()[1]}
        with pytest.raises(OSError):
            Sockets.bind(settings(**ports))
        socket.create_server(("127.0.0.1", other)).close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_stands_in_brackets() -> None:
    """RFC 3986."""
    try:
        sockets = Sockets.bind(settings(host="::1"))
    except OSError:
        pytest.skip("no IPv6 loopback here")
    assert sockets.addresses()[0].startswith("http://[::1]:")
    close(sockets)


class House_:
    """As much of a house as housekeeping needs."""

    def __init__(self, *, owed: Exception | None = None, keys: Exception | None = None) -> None:
        self.rounds = 0
        self.prepared = 0
        self.reloaded: Exception | None = None
        self._owed, self._keys = owed, keys
        self.identifier = SimpleNamespace(prepare=self._prepare, cautions=())
        self.own_records = SimpleNamespace(settle=self._done)
        self.media_store = SimpleNamespace(sweep=int)
        self.forget_old_copies = self._done

    async def _prepare(self) -> None:
        self.prepared += 1
        if self._keys is not None:
            raise self._keys

    async def _done(self) -> None:
        """What is done from time to time, and is not looked at here."""

    async def record_owed(self) -> int:
        """As `House.record_owed`."""
        self.rounds += 1
        if self._owed is not None:
            raise self._owed
        return 0

    async def reload_terms(self) -> None:
        """As `House.reload_terms`."""
        if self.reloaded is not None:
            raise self.reloaded


def kept(house: House_, monkeypatch: pytest.MonkeyPatch, rounds: int = 3) -> None:
    """Housekeeping until it has come round a few times."""

    async def scene() -> None:
        task = asyncio.ensure_future(serving._keep_house(cast(House, house)))
        while house.rounds < rounds and not task.done():
            await asyncio.sleep(0)
        assert not task.done(), task
        task.cancel()

    monkeypatch.setattr(serving, "_HOUSEKEEPING_S", 0)
    asyncio.run(scene())


@pytest.mark.parametrize("error", [None, LogUnavailable("away"), IdentityError("keys", "No keys.", 503)])
def test_housekeeping_goes_on_whatever_fails(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """A failure waits for the next round, and says so."""
    is_log = isinstance(error, AuditError)
    house = House_(owed=error if is_log else None, keys=None if is_log else error)
    kept(house, monkeypatch)
    assert house.prepared == 1
    assert bool(logged) == is_log


def test_a_reload_that_fails_keeps_serving_and_says_why(logged: list[Any]) -> None:
    """The old terms stay in force."""
    house = House_()
    house.reloaded = FilterError("terms.tsv:3: expected term, tab, class")

    async def scene() -> None:
        serving._reload(cast(House, house))
        await asyncio.gather(*serving._reloads)

    asyncio.run(scene())
    assert logged[0]["event"] == "terms_not_reloaded" and "terms.tsv:3" in logged[0]["reason"]


@pytest.fixture
def folder(tmp_path: Path) -> Home:
    """A data folder."""
    return Home.create(tmp_path / "home", "audit.example.com/serving")[0]


def test_one_worker_serves_in_the_process_itself(
    folder: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the folder's lock, with its addresses said first; everything that crashed is its to close."""
    seen: list[Any] = []

    def work(given: Settings, home: Home, sockets: Sockets, worker: int, crashed: Crashed) -> int:
        with pytest.raises(HomeError), home.locked():
            pass
        seen.append((worker, crashed, sockets.addresses()))
        close(sockets)
        return 5

    monkeypatch.setattr(serving, "_work", work)
    assert serving.serve(settings(), folder) == 5
    ((worker, crashed, (public, operator)),) = seen
    assert (worker, crashed) == (0, Crashed(None))
    assert capsys.readouterr().out == f"Dutybound answers on {public} (operator: {operator})\n"


SUPERVISE = """
import os, signal, sys
from pathlib import Path
from gateway import serving
from gateway.home import Home
from gateway.serving import Sockets
from gateway.settings import Settings, SettingsError

def work(given, home, sockets, worker, crashed):
    {work}
    signal.sigtimedwait({{signal.SIGTERM}}, 30)
    return 0

folder = Path(sys.argv[1])
serving._work = work
serving._RESTART_AFTER_S = 0.0
settings = Settings(server={{"port": 0, "operator_port": 0, "workers": 2}})
sys.exit(serving._supervise(settings, Home.open(folder), Sockets.bind(settings)))
"""
"""A supervisor whose two workers do what a test says. A process of its own: it forks and takes signals."""


def supervised(folder: Home, work: str) -> subprocess.CompletedProcess[str]:
    """How such a supervisor ends."""
    code = SUPERVISE.format(work=work.strip().replace("\n", "\n    "))
    command = (sys.executable, "-c", code, str(folder.path))
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_worker_that_refuses_ends_all_of_them(folder: Home) -> None:
    """What one cannot mend by starting again, none can; it said why."""
    ended = supervised(folder, "if worker == 1: raise SettingsError('label: no')")
    assert ended.returncode == 2 and "dutybound: label: no" in ended.stderr


def test_a_worker_that_dies_is_replaced_and_its_successor_closes_what_it_left(folder: Home) -> None:
    """At the start one worker closes what the last server left; later each only its predecessor's."""
    work = """
number = len(list(folder.glob(f"start-{worker}-*")))
(folder / f"start-{worker}-{number}").write_text(f"{crashed.before} {crashed.own_only}")
if worker == 1 and number == 0: os._exit(9)
if worker == 1:
    while not (folder / "start-0-0").exists(): pass
    os.kill(os.getppid(), signal.SIGTERM)
"""
    ended = supervised(folder, work)
    assert ended.returncode == 0, ended.stderr
    said = {path.name: path.read_text() for path in folder.path.glob("start-*")}
    assert said["start-0-0"].endswith(" False") and said["start-0-0"].split()[0].isdigit()
    assert said["start-1-0"] == "0 False" and said["start-1-1"] == "None True"


def test_a_worker_whose_supervisor_died_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold the sockets for ever."""
    parents = iter([7, 7, 1])
    monkeypatch.setattr(serving.os, "getppid", lambda: next(parents))
    stopped: list[bool] = []
    waiting: list[Callable[[], None]] = []
    loop = cast(asyncio.AbstractEventLoop, SimpleNamespace(call_later=lambda delay_s, act: waiting.append(act)))
    serving._end_with_supervisor(loop, lambda: stopped.append(True))
    waiting.pop()()
    assert stopped == [] and len(waiting) == 1
    waiting.pop()()
    assert stopped == [True] and waiting == []
