# SPDX-License-Identifier: Apache-2.0
"""One running target for all conformance tests of a run: its gateways live in a loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.suite import Judge, Result, judging
from tests.conformance.target import read_target

TARGET = read_target(Path(__file__).with_name("targets") / "dutybound.toml")


@pytest.fixture(scope="session")
def judge() -> Iterator[Callable[[str], list[Result]]]:
    """Judges one wire of Dutybound."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="conformance", daemon=True)
    thread.start()

    async def opened() -> Judge:
        return await context.__aenter__()

    context = judging(TARGET)
    running = asyncio.run_coroutine_threadsafe(opened(), loop).result(110)
    yield lambda wire: asyncio.run_coroutine_threadsafe(running.run(wire), loop).result(115)
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
