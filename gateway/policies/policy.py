# SPDX-License-Identifier: Apache-2.0
"""Reads the policy files and joins them.

A policy file is TOML. `[policy]` says which it is; every other table that has a `value` is one entry, and its place in
the file is its key (`[minors.daily_minutes_under_16]`). What must hold, or the file is refused as a whole:

- every entry says its unit, how sure we are (`confidence`), and what it is (`kind`);
- `law` and `guidance` name an article and a source and rest on confidence H or M;
- what is only remembered (MEM), weakly sourced (L) or our own choice (OWN) is a `setting` and names no article:
  a number that nobody confirmed is never shown as law;
- numbers and times of day say which direction is stricter, so that several policies join without anyone choosing.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import rfc8785

Value = bool | int | float | str | tuple[str, ...]


class PolicyError(ValueError):
    """A policy cannot be used; the message names the file, the key, what was expected and the next step."""


class Kind(StrEnum):
    """What an entry is: binding, recommended, or our own."""

    LAW = "law"
    """A binding act or mandatory standard says so."""
    GUIDANCE = "guidance"
    """A guide, a recommended standard or an expert draft says so; following it is a choice."""
    SETTING = "setting"
    """A default of ours, confirmed by no source."""


CONFIDENCES: Mapping[str, str] = {
    "H": "primary text, a verbatim quote of it, or two independent sources",
    "M": "one reasonable secondary source",
    "L": "weak or conflicting sources",
    "MEM": "remembered, confirmed by no source",
    "OWN": "a choice of this project; no source says so",
}
"""The marks of confidence and what they mean."""

_NUMBERS = frozenset(
    {"s", "min", "h", "day", "working day", "year", "count", "persons", "ratio", "characters", "characters/min"}
)
_WORDS = frozenset({"text", "pattern", "time of day"})
UNITS = _NUMBERS | _WORDS | {"texts", "flag"}
"""Every unit an entry may have; the unit decides the type of the value."""

_KEY_PART = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[0-9]+)?")
_FIELDS = {"value", "unit", "kind", "confidence", "title", "title_zh", "article", "source", "stricter", "note"}
_REQUIRED = ("value", "unit", "kind", "confidence", "title", "title_zh")
_HEAD = {"id", "version", "title", "title_zh"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One number, text or switch. `policy` is the id of the file it came from; `article` is empty for settings."""

    key: str
    value: Value
    unit: str
    kind: Kind
    confidence: str
    title: str
    title_zh: str
    article: str = ""
    source: str = ""
    stricter: str = ""
    note: str = ""
    policy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The entry as JSON values, for the digest and for the disclosure document."""
        return {
            "key": self.key,
            "value": list(self.value) if isinstance(self.value, tuple) else self.value,
            "unit": self.unit,
            "kind": self.kind.value,
            "confidence": self.confidence,
            "title": self.title,
            "title_zh": self.title_zh,
            "article": self.article,
            "source": self.source,
            "stricter": self.stricter,
            "note": self.note,
            "policy": self.policy,
        }


class Policy:
    """The entries in force. Immutable; `digest` names exactly these entries and is written into every record."""

    __slots__ = ("_entries", "digest", "id", "title", "title_zh", "version")

    def __init__(self, id_: str, version: str, title: str, title_zh: str, entries: Mapping[str, Entry]) -> None:
        self.id = id_
        self.version = version
        self.title = title
        self.title_zh = title_zh
        self._entries = dict(sorted(entries.items()))
        document: dict[str, Any] = {
            "id": id_,
            "version": version,
            "entries": [entry.as_dict() for entry in self._entries.values()],
        }
        self.digest = "sha256:" + hashlib.sha256(rfc8785.dumps(document)).hexdigest()

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def entries(self) -> tuple[Entry, ...]:
        """All entries in the order of their keys."""
        return tuple(self._entries.values())

    def entry(self, key: str) -> Entry:
        """One entry. Raises `PolicyError` where the policy has none of that key."""
        try:
            return self._entries[key]
        except KeyError:
            raise PolicyError(f"policy {self.id} has no entry {key}; add it to gateway/policies") from None

    def number(self, key: str) -> int | float:
        """The value of a number, in the unit that its entry names."""
        value = self.entry(key).value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._mismatch(key, "a number")
        return value

    def text(self, key: str) -> str:
        """The value of a text, a pattern or a time of day (`HH:MM`)."""
        value = self.entry(key).value
        if not isinstance(value, str):
            raise self._mismatch(key, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The value of a list of texts."""
        value = self.entry(key).value
        if not isinstance(value, tuple):
            raise self._mismatch(key, "a list of texts")
        return value

    def flag(self, key: str) -> bool:
        """The value of a switch."""
        value = self.entry(key).value
        if not isinstance(value, bool):
            raise self._mismatch(key, "a switch")
        return value

    def _mismatch(self, key: str, expected: str) -> PolicyError:
        return PolicyError(f"policy {self.id}, {key}: asked for {expected}, but its unit is {self.entry(key).unit}")


def available() -> tuple[str, ...]:
    """The ids of the policies that come with the gateway."""
    names = (item.name for item in resources.files("gateway.policies").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load(names: Sequence[str], folder: Traversable | None = None) -> Policy:
    """The policies `names`, joined; `folder` is where the files lie (default: those that come with the gateway).

    Where several have the same entry, the stricter number or time of day holds; of texts, lists and switches the first
    named policy's holds. Raises `PolicyError`.
    """
    if not names:
        raise PolicyError('no policy named; set use = ["cn"] in the table [policy] of the settings')
    if len(set(names)) != len(names):
        raise PolicyError("policy named twice; name each once in the table [policy] of the settings")
    where = folder if folder is not None else resources.files("gateway.policies")
    policies = [_read(where, name) for name in names]
    if len(policies) == 1:
        return policies[0]
    entries: dict[str, Entry] = {}
    for policy in policies:
        for entry in policy.entries():
            held = entries.get(entry.key)
            entries[entry.key] = entry if held is None else _stricter(held, entry)
    return Policy(
        "+".join(policy.id for policy in policies),
        "+".join(policy.version for policy in policies),
        "; ".join(policy.title for policy in policies),
        "；".join(policy.title_zh for policy in policies),
        entries,
    )


def _stricter(held: Entry, other: Entry) -> Entry:
    """The entry that binds more. `held` is of the policy that was named earlier."""
    if (held.unit, held.stricter) != (other.unit, other.stricter):
        raise PolicyError(
            f"{held.key}: policies {held.policy} and {other.policy} disagree about its unit or about which direction "
            f"is stricter; they cannot be used together until the files agree"
        )
    first: Any = held.value
    second: Any = other.value  # the same unit, so the same type
    if (held.stricter == "lower" and second < first) or (held.stricter == "higher" and second > first):
        return other
    return held


def _read(folder: Traversable, name: str) -> Policy:
    if not _KEY_PART.fullmatch(name):
        raise PolicyError(f"a policy's name is lower-case letters, digits and _; known: {', '.join(available())}")
    file = folder.joinpath(f"{name}.toml")
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise PolicyError(f"no policy {name}; known: {', '.join(available())}") from None
    except OSError as error:
        raise PolicyError(f"{name}.toml cannot be read: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise PolicyError(f"{name}.toml is not valid TOML: {error}") from None
    head = document.pop("policy", None)
    if not isinstance(head, dict) or set(head) != _HEAD or not all(isinstance(text, str) for text in head.values()):
        raise PolicyError(f"{name}.toml, [policy]: expected exactly the texts {', '.join(sorted(_HEAD))}")
    if head["id"] != name:
        raise PolicyError(f"{name}.toml, policy.id: expected {name}, the name of the file")
    if not _VERSION.fullmatch(head["version"]):
        raise PolicyError(f"{name}.toml, policy.version: expected a date such as 2026-11-21, or 2026-11-21.2")
    entries = {entry.key: entry for entry in _walk(document, (), name)}
    if not entries:
        raise PolicyError(f"{name}.toml has no entries")
    return Policy(head["id"], head["version"], head["title"], head["title_zh"], entries)


def _walk(table: Mapping[str, Any], path: tuple[str, ...], name: str) -> Iterator[Entry]:
    for part, value in table.items():
        key = ".".join((*path, part))
        if not _KEY_PART.fullmatch(part):
            raise PolicyError(f"{name}.toml, {key}: expected lower-case words joined by _")
        if not isinstance(value, dict):
            raise PolicyError(f"{name}.toml, {key}: expected a table; an entry is a table with a value")
        if "value" in value or not any(isinstance(inner, dict) for inner in value.values()):
            yield _entry(key, value, name)
        else:
            yield from _walk(value, (*path, part), name)


def _entry(key: str, table: Mapping[str, Any], name: str) -> Entry:
    def refuse(reason: str) -> PolicyError:
        return PolicyError(f"{name}.toml, {key}: {reason}")

    for field in table:
        if field not in _FIELDS:
            raise refuse(f"unknown field {field}; known: {', '.join(sorted(_FIELDS))}")
    for field in _REQUIRED:
        if field not in table:
            raise refuse(f"{field} is missing")
    for field in _FIELDS - {"value"}:
        if not isinstance(table.get(field, ""), str):
            raise refuse(f"{field} must be a text")
        if field in table and not table[field].strip():
            raise refuse(f"{field} is empty; leave it out or fill it in")
    unit, confidence, stricter = table["unit"], table["confidence"], table.get("stricter", "")
    article, source = table.get("article", ""), table.get("source", "")
    if unit not in UNITS:
        raise refuse(f"unknown unit; known: {', '.join(sorted(UNITS))}")
    if confidence not in CONFIDENCES:
        raise refuse(f"unknown confidence; known: {', '.join(CONFIDENCES)}")
    try:
        kind = Kind(table["kind"])
    except ValueError:
        raise refuse(f"unknown kind; known: {', '.join(Kind)}") from None
    if kind is Kind.SETTING:
        if article:
            raise refuse("a setting names no article; make it law or guidance with a source, or drop the article")
    elif confidence not in ("H", "M"):
        raise refuse(f"confidence {confidence} cannot be shown as {kind}; make it a setting without an article")
    elif not article or not source:
        raise refuse(f"{kind} must name its article and its source")
    ordered = unit in _NUMBERS or unit == "time of day"
    if ordered and stricter not in ("lower", "higher"):
        raise refuse("stricter must be lower or higher, so that several policies can be joined")
    if stricter and not ordered:
        raise refuse(f"stricter has no meaning for a {unit}; leave it out")
    return Entry(
        key=key,
        value=_value(table["value"], unit, refuse),
        unit=unit,
        kind=kind,
        confidence=confidence,
        title=table["title"],
        title_zh=table["title_zh"],
        article=article,
        source=source,
        stricter=stricter,
        note=table.get("note", ""),
        policy=name,
    )


def _value(value: object, unit: str, refuse: Callable[[str], PolicyError]) -> Value:
    if unit == "flag":
        if not isinstance(value, bool):
            raise refuse("the value of a flag is true or false")
        return value
    if unit in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
            raise refuse("the value must be a number, not negative")
        return value
    if unit == "texts":
        if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
            raise refuse("the value must be a list of texts, not empty")
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise refuse("the value must be a text, not empty")
    if unit == "time of day" and not _TIME_OF_DAY.fullmatch(value):
        raise refuse('the value must be a time of day such as "22:00"')
    if unit == "pattern":
        try:
            re.compile(value)
        except re.error:
            raise refuse("the value must be a regular expression") from None
    return value


def duty_table(policy: Policy) -> str:
    """The entries as a Markdown page for people; `docs/policy-<id>.md` is this text, and a test compares the two."""
    lines = [
        f"# Policy `{policy.id}`: {policy.title} · {policy.title_zh}",
        "",
        f"Version {policy.version}, digest `{policy.digest}`.",
        "This page is made from the policy file; change that file, not this page. It is no legal advice.",
        "本页由策略文件生成，请修改策略文件而不是本页。本页不构成法律意见。",
        "",
        "`law`: binding text. `guidance`: a guide, a recommended standard or an expert draft. "
        "`setting`: our own default, confirmed by no source.",
        "",
    ]
    lines += [f"- **{mark}**: {meaning}" for mark, meaning in CONFIDENCES.items()]
    group = ""
    for entry in policy.entries():
        if entry.key.split(".")[0] != group:
            group = entry.key.split(".")[0]
            lines += ["", f"## {group}", "", "| key | value | what · 说明 | article | kind | conf. |"]
            lines += ["|---|---|---|---|---|---|"]
        what = f"{entry.title} · {entry.title_zh}" + (f" ({entry.note})" if entry.note else "")
        cells = (f"`{entry.key}`", _shown(entry), what, entry.article or "", entry.kind.value, entry.confidence)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    sources = sorted({entry.source for entry in policy.entries() if entry.source})
    lines += ["", "## Sources", "", *(f"- {source}" for source in sources), ""]
    return "\n".join(lines)


def _shown(entry: Entry) -> str:
    value = entry.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, str):
        return f"`{value}`" if entry.unit == "pattern" else value
    return f"{value} {entry.unit}"
