# SPDX-License-Identifier: Apache-2.0
"""Processes and sockets: one server process, or a supervisor with several workers that share its sockets.

Sockets are bound before anything is forked, so that a port that is taken is an error at once and no request is lost
while a worker restarts. A worker whose supervisor died ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp

from audit_log import AuditError
from complaints import ComplaintError
from gateway import logging as gateway_logging
from gateway.app import create_operator_app, create_public_app
from gateway.home import Home
from gateway.house import House
from gateway.identity import IdentityError
from gateway.recovery import close_abandoned, close_crashed
from gateway.sample import serve_sample
from gateway.settings import Settings
from gateway.state import StateError

log = structlog.get_logger("dutybound.serving")

_GRACE_S = 10
_PONG_S = 20.0
"""How long a peer of a WebSocket may leave a ping unanswered."""
_RESTART_AFTER_S = 1.0
_HOUSEKEEPING_S = 60.0
_GC_THRESHOLDS = (20_000, 20, 50)
"""Exchanges make few cycles; Python's own thresholds look for them several times a request."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """Which streams a worker closes when it starts: those before leaf `before`, or its predecessor's only."""

    before: int | None
    own_only: bool = False


@dataclass(frozen=True, slots=True)
class Sockets:
    """The two listeners, never mixed."""

    public: socket.socket
    operator: socket.socket

    @classmethod
    def bind(cls, settings: Settings) -> Sockets:
        """Raises `OSError` where an address cannot be had."""
        server = settings.server
        public = _bound(server.host, server.port)
        try:
            return cls(public, _bound(server.operator_host, server.operator_port))
        except OSError:
            public.close()
            raise

    def addresses(self) -> tuple[str, str]:
        """Both as URLs."""
        return _url(self.public), _url(self.operator)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2_048)
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Listener(uvicorn.Server):
    """uvicorn as one of two listeners in a process: signals belong to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def serve(settings: Settings, home: Home) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit status."""
    with home.locked():
        sockets = Sockets.bind(settings)
        public, operator = sockets.addresses()
        print(f"Dutybound answers on {public} (operator: {operator})", flush=True)
        if settings.server.workers == 1:
            return _work(settings, home, sockets, 0, Crashed(None))
        return _supervise(settings, home, sockets)


def _work(settings: Settings, home: Home, sockets: Sockets, worker: int, crashed: Crashed) -> int:
    gateway_logging.configure(settings.logging)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(settings, home, sockets, worker, crashed))
    except KeyboardInterrupt:
        return 0


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    import uvloop

    return uvloop.Loop


async def _serve(settings: Settings, home: Home, sockets: Sockets, worker: int, crashed: Crashed) -> int:
    async with contextlib.AsyncExitStack() as stack:
        upstream_url = ""
        if settings.upstream.url == "sample":
            _, port = await stack.enter_async_context(serve_sample())
            upstream_url = f"http://127.0.0.1:{port}"
        house = House(settings, home, worker=worker, upstream_url=upstream_url)
        stack.push_async_callback(house.close)
        for caution in house.identifier.cautions:
            log.warning("caution", text=caution)
        if settings.audit.url:
            await close_abandoned(house.log, home.path)
        else:
            await close_crashed(house.log, home.path, crashed.before, writer=f"gw-{worker}" if crashed.own_only else "")
        # The tables of terms and templates live as long as the process: without them each collection is short.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        with contextlib.suppress(StateError):  # requests are refused until the orders can be learned; `/readyz` says so
            await house.standing.refresh()
        house.courier.start()
        housekeeping = asyncio.create_task(_keep_house(house))
        stack.callback(housekeeping.cancel)
        log_keeping = asyncio.create_task(house.log_keeping.run())
        stack.callback(log_keeping.cancel)
        outside = asyncio.create_task(house.outside.run())
        stack.callback(outside.cancel)
        listeners = [
            _listener(create_public_app(house), settings, is_public=True),
            _listener(create_operator_app(house), settings, is_public=False),
        ]
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for listener in listeners:
                listener.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: _reload(house))
        if settings.server.workers > 1:
            house.reload_others = lambda: os.kill(os.getppid(), signal.SIGHUP)  # the supervisor tells all of them
            _end_with_supervisor(loop, stop)
        await asyncio.gather(
            listeners[0].serve(sockets=[sockets.public]), listeners[1].serve(sockets=[sockets.operator])
        )
    return 0


def _listener(app: ASGIApp, settings: Settings, *, is_public: bool) -> _Listener:
    """Only the public listener speaks WebSocket: without compression, so that a frame holds what it weighs."""
    limits = settings.limits
    return _Listener(
        uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="websockets-sansio" if is_public else "none",
            ws_max_size=limits.request_body_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=limits.keep_alive_s,
            ws_ping_timeout=_PONG_S,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75 if is_public else 15,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


async def _keep_house(house: House) -> None:
    """What is done from time to time, and at once after a start. A failure waits for the next round."""
    with contextlib.suppress(IdentityError):  # keys that cannot be had now are fetched by the first request
        await house.identifier.prepare()
    while True:
        try:
            await house.record_owed()
            await house.own_records.settle()
        except (AuditError, ComplaintError, StateError) as error:
            log.warning("facts_still_owed", reason=str(error))
        with contextlib.suppress(OSError):  # a disk that is away stops the answers that need it, and says so there
            await asyncio.to_thread(house.media_store.sweep)
        with contextlib.suppress(sqlite3.Error):  # counted where it is written
            await house.forget_old_copies()
        await asyncio.sleep(_HOUSEKEEPING_S)


_reloads: set[asyncio.Task[None]] = set()


def _reload(house: House) -> None:
    async def reload() -> None:
        try:
            await house.reload_terms()
        except Exception as error:  # the old terms stay in force; the operator reads why in the log
            log.error("terms_not_reloaded", error=type(error).__name__, reason=str(error))

    task = asyncio.ensure_future(reload())
    _reloads.add(task)
    task.add_done_callback(_reloads.discard)


# Several workers.


def _supervise(settings: Settings, home: Home, sockets: Sockets) -> int:
    gateway_logging.configure(settings.logging)
    fork = multiprocessing.get_context("fork")
    size = _tree_size(home)
    is_stopping = False

    def start(worker: int, crashed: Crashed) -> multiprocessing.process.BaseProcess:
        process = fork.Process(target=_child, args=(settings, home, sockets, worker, crashed))
        process.start()
        return process

    # One worker closes what the last server left; the others have nothing to close.
    workers = {number: start(number, Crashed(0 if number else size)) for number in range(settings.server.workers)}

    def stop(number: int, frame: object) -> None:
        nonlocal is_stopping
        is_stopping = True
        for process in workers.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    def reload(number: int, frame: object) -> None:
        for process in workers.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, reload)
    status = 0
    while workers:
        multiprocessing.connection.wait([process.sentinel for process in workers.values()], timeout=1.0)
        for number, process in list(workers.items()):
            if process.is_alive():
                continue
            process.join()
            del workers[number]
            if is_stopping:
                continue
            if process.exitcode == _REFUSED:
                # It said why on the way out; the others would say the same.
                status = _REFUSED
                stop(0, None)
                continue
            log.error("worker_died", worker=number, exit_code=process.exitcode)
            time.sleep(_RESTART_AFTER_S)
            workers[number] = start(number, Crashed(None, own_only=True))
    return status


_REFUSED = 2


def _child(settings: Settings, home: Home, sockets: Sockets, worker: int, crashed: Crashed) -> None:
    from gateway.cli import refusals

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        sys.exit(_work(settings, home, sockets, worker, crashed))
    except refusals() as error:
        print(f"dutybound: {error}", file=sys.stderr)
        sys.exit(_REFUSED)


def _end_with_supervisor(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    parent = os.getppid()

    def look() -> None:
        if os.getppid() != parent:
            stop()
        else:
            loop.call_later(1.0, look)

    loop.call_later(1.0, look)


def _tree_size(home: Home) -> int:
    with home.place().reading() as (store, _):
        return store.next_index()
