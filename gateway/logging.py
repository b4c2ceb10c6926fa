# SPDX-License-Identifier: Apache-2.0
"""Operational logs: one line a fact, JSON for machines, plain lines on a terminal.

They tell operators how the process fares. They are not audit records and no record is derived from them. What a person
wrote, what a model answered and every credential stay out, in four ways:

* values under a name of the deny-list are replaced;
* bearer tokens, JWTs and keys are recognised inside any text and replaced;
* the message of an exception is kept only where its class is ours (our errors never hold user text); of every other
  exception the log shows the class and the frames, never local variables;
* the access log of the server shows paths without their query.

structlog, the standard library and uvicorn share one chain; start uvicorn with `log_config=None`.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog

from gateway.settings import Logging

REDACTED: Final = "[redacted]"

DENIED_KEYS: Final = frozenset(
    {
        "answer", "api_key", "apikey", "authorization", "body", "choices", "claims", "contact", "content", "cookie",
        "credential", "credentials", "data", "delta", "duty_secret", "duty_subject", "headers", "input", "jwt", "key",
        "message_text", "messages", "output", "password", "payload", "private_key", "prompt", "proxy_authorization",
        "query", "query_string", "request_body", "response_body", "secret", "set_cookie", "sub", "text", "token",
        "x_api_key",
    }
)  # fmt: skip
"""Names, lower case with underscores, whose values are never logged."""

_DENIED_ENDINGS: Final = ("_secret", "_token", "_password", "_api_key", "_body", "_text", "_cookie")

_CREDENTIAL: Final = re.compile(
    r"(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|\bdbt_[a-z2-7]{8,}"
    r"|\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"
    r"|\bsk-[A-Za-z0-9_-]{8,}"
    r"|(?<=://)[^/\s@]+(?=@)"
)

_OURS: Final = ("gateway.", "audit_log.", "content_filter.", "labeling.", "complaints.")
"""Packages whose exceptions promise to hold no user text."""

_QUIET: Final = ("httpx", "httpcore", "aiohttp", "sqlalchemy", "alembic", "watchfiles")
"""Libraries that log addresses or statements at info level."""

_DEPTH: Final = 6

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Event = MutableMapping[str, Any]


def configure(settings: Logging, stream: TextIO | None = None) -> None:
    """Set up logging for the process, on `stream` (standard error by default). Calling it again replaces the set-up."""
    out = stream if stream is not None else sys.stderr
    is_console = settings.format == "console" or (settings.format == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if is_console
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            tidy_foreign,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            describe_exception,
            redact,
            last,
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "is_dutybound", False):
            root.removeHandler(old)
    handler.is_dutybound = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    level = getattr(logging, settings.level.upper())
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
    access = logging.getLogger("uvicorn.access")
    if not any(isinstance(item, WithoutQuery) for item in access.filters):
        access.addFilter(WithoutQuery())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class WithoutQuery(logging.Filter):
    """Cuts the query off the path in uvicorn's access lines: a receipt's secret may stand there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every line, with a shorter path."""
        if isinstance(record.args, tuple) and len(record.args) >= 3 and isinstance(record.args[2], str):
            path = record.args[2].partition("?")[0]
            record.args = (*record.args[:2], path, *record.args[3:])
        return True


def tidy_foreign(logger: Any, method: str, event: Event) -> Event:
    """Cut from the standard library's records what repeats exceptions, or the message as another handler saw it."""
    if not event.get("_from_structlog"):
        event.pop("message", None)  # left on the record by any formatter that ran before ours
        event.pop("asctime", None)
        event.pop("color_message", None)  # uvicorn's own copy of its message
        text = event.get("event")
        if event.get("logger") == "asyncio" and isinstance(text, str):
            event["event"] = text.partition("\n")[0]  # the other lines show tasks and exceptions with their messages
    return event


def describe_exception(logger: Any, method: str, event: Event) -> Event:
    """Replace `exc_info` by the class, frames and, for our own errors, the message."""
    found = event.pop("exc_info", None)
    event.pop("stack_info", None)
    raised = _exception(found)
    if raised is not None:
        event["exception"] = describe(raised)
    return event


def describe(error: BaseException) -> str:
    """An exception and its causes as text without anything a person may have written."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{frames}{_title(current)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by:\n".join(parts)


def _title(error: BaseException) -> str:
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    if f"{kind.__module__}.".startswith(_OURS):
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}: [Errno {error.errno}] {error.strerror}"
    return name


def _exception(found: object) -> BaseException | None:
    if isinstance(found, BaseException):
        return found
    if isinstance(found, tuple) and len(found) == 3:
        return found[1] if isinstance(found[1], BaseException) else None
    return sys.exc_info()[1] if found else None


def redact(logger: Any, method: str, event: Event) -> Event:
    """Replace what must not be logged, at any depth."""
    for key, value in event.items():
        event[key] = REDACTED if _is_denied(key) else _clean(value, _DEPTH)
    return event


def _is_denied(key: object) -> bool:
    if not isinstance(key, str):
        return False
    name = key.lower().replace("-", "_")
    return name in DENIED_KEYS or name.endswith(_DENIED_ENDINGS)


def _clean(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _CREDENTIAL.sub(REDACTED, value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, BaseException):
        return _title(value)
    if depth == 0:
        return f"[{type(value).__name__}]"
    if isinstance(value, Mapping):
        return {str(key): REDACTED if _is_denied(key) else _clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth - 1) for item in value]
    return _CREDENTIAL.sub(REDACTED, str(value)) if type(value).__module__ in _PLAIN else f"[{type(value).__name__}]"


_PLAIN: Final = frozenset({"datetime", "pathlib", "uuid", "ipaddress", "decimal"})
"""Modules whose objects say nothing but their value when written out."""


def _to_json(event: Event, **_: object) -> str:
    return orjson.dumps(event, default=lambda value: f"[{type(value).__name__}]").decode()
