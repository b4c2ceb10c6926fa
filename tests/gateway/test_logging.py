# SPDX-License-Identifier: Apache-2.0
"""Operational logs: one chain for everybody, and canaries that must never come out."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.logging import DENIED_KEYS, REDACTED, configure, describe, redact
from gateway.settings import Logging, SettingsError

CANARY = "canary-7f3a-请勿记录"
NAMES = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore", "aiohttp", "sqlalchemy", "alembic",
         "watchfiles")  # fmt: skip


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """JSON logging into a buffer; everything is put back afterwards."""
    before = {name: (logging.getLogger(name).level, list(logging.getLogger(name).filters)) for name in NAMES}
    handlers = list(logging.getLogger().handlers)
    stream = io.StringIO()
    configure(Logging(level="info", format="json"), stream)
    yield stream
    logging.getLogger().handlers[:] = handlers
    for name, (level, filters) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).filters[:] = filters
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines written so far, each of which must be JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_structlog_and_the_standard_library_write_the_same_form(out: io.StringIO) -> None:
    """One reader can read every line: event, level, logger, timestamp."""
    structlog.get_logger("gateway.app").info("started", port=8080)
    logging.getLogger("uvicorn.error").warning("Started server process [%d]", 7, extra={"color_message": "again"})

    first, second = lines(out)
    assert (first["event"], first["level"], first["logger"], first["port"]) == ("started", "info", "gateway.app", 8080)
    assert second.keys() == {"event", "level", "logger", "timestamp"}
    assert (second["event"], second["level"]) == ("Started server process [7]", "warning")
    assert first["timestamp"].endswith("Z") and second["timestamp"].endswith("Z")


def test_the_level_is_kept(out: io.StringIO) -> None:
    """Below the level nothing is written, by either road."""
    structlog.get_logger("a").debug("no")
    logging.getLogger("a").debug("no")
    logging.getLogger("httpx").info("HTTP Request: GET https://keys.example/jwks?token=x")

    assert out.getvalue() == ""


@pytest.mark.parametrize("key", [*sorted(DENIED_KEYS), "Authorization", "Duty-Subject", "webhook_secret", "raw_body"])
def test_values_under_denied_names_never_come_out(out: io.StringIO, key: str) -> None:
    """Whatever the depth, the way of writing the name and the way of logging."""
    structlog.get_logger("a").info("e", **{key: CANARY})
    structlog.get_logger("a").info("e", outer=[{"inner": {key: CANARY}}])
    if key not in ("message_text",):
        logging.getLogger("a").info("e", extra={key: CANARY})

    assert CANARY not in out.getvalue()
    assert lines(out)[0][key] == REDACTED
    assert {"inner": {key: REDACTED}} == lines(out)[1]["outer"][0]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer sk-live-0123456789abcdef",
        "authorization: basic dXNlcjpwYXNzd29yZA==",
        "token dbt_abcdefghijklmnop234567 refused",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl",
        "redis://user:hunter2hunter2@redis:6379/0",
        "key sk-abcdefgh12345678",
    ],
)
def test_credentials_are_recognised_inside_any_text(out: io.StringIO, text: str) -> None:
    """A credential in a message or in an argument is replaced."""
    structlog.get_logger("a").info(text, note=text)
    logging.getLogger("a").warning("seen: %s", text)

    for secret in ("0123456789abcdef", "dXNlcjpw", "dbt_", "eyJ", "hunter2", "abcdefgh12345678"):
        assert secret not in out.getvalue()


def test_an_exception_of_others_shows_its_class_and_frames_but_not_its_message(out: io.StringIO) -> None:
    """Libraries repeat input in their messages: a parser's error would be the user's text."""
    try:
        try:
            int(CANARY)
        except ValueError as error:
            raise RuntimeError(CANARY) from error
    except RuntimeError:
        structlog.get_logger("a").exception("failed")
        logging.getLogger("a").exception("failed")

    assert CANARY not in out.getvalue()
    for line in lines(out):
        assert "ValueError" in line["exception"] and "RuntimeError" in line["exception"]
        assert "test_logging.py" in line["exception"]


def test_an_exception_of_ours_keeps_its_message() -> None:
    """Our errors name the next step and hold no user text: an operator needs them."""
    assert "SettingsError: redis.url: unknown key" in describe(SettingsError("redis.url: unknown key"))
    assert "[Errno 28] No space left" in describe(OSError(28, "No space left", CANARY))
    assert CANARY not in describe(OSError(28, "No space left", CANARY))


def test_an_exception_that_is_its_own_cause_ends() -> None:
    """A ring of causes is described once."""
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first

    assert describe(first) == "ValueError\ncaused by:\nTypeError"


def test_the_access_log_shows_no_query(out: io.StringIO) -> None:
    """A complainant's secret may stand in the query."""
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/duty/complaints/R1?secret={CANARY}", "1.1", 200
    )

    assert lines(out)[0]["event"] == '127.0.0.1:1 - "GET /duty/complaints/R1 HTTP/1.1" 200'


def test_a_task_that_failed_unseen_does_not_repeat_its_error(out: io.StringIO) -> None:
    """asyncio prints the exception of a forgotten task into its own message."""

    async def fail() -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": ValueError(CANARY), "task": CANARY}
        )

    asyncio.run(fail())

    assert CANARY not in out.getvalue()
    assert lines(out)[0]["event"] == "Task exception was never retrieved"


def test_objects_and_bytes_are_named_not_shown(out: io.StringIO) -> None:
    """Nothing is written by way of an object's own representation."""

    class Holder:
        def __repr__(self) -> str:
            return CANARY

    structlog.get_logger("a").info("e", holder=Holder(), raw=CANARY.encode(), error=ValueError(CANARY))

    line = lines(out)[0]
    assert CANARY not in out.getvalue()
    assert ("[Holder]", f"[{len(CANARY.encode())} bytes]", "ValueError") == (line["holder"], line["raw"], line["error"])


def test_a_terminal_gets_plain_lines_and_configuring_again_doubles_nothing(out: io.StringIO) -> None:
    """The console form redacts as well; only the last set-up writes."""
    console = io.StringIO()
    configure(Logging(format="console"), console)

    structlog.get_logger("a").info("hello", prompt=CANARY)

    assert out.getvalue() == ""
    assert console.getvalue().count("hello") == 1
    assert CANARY not in console.getvalue() and REDACTED in console.getvalue()


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), nested, max_size=5))
def test_redaction_takes_anything(event: dict[str, Any]) -> None:
    """A log call never fails because of what it was given."""
    redact(None, "info", dict(event))
