# SPDX-License-Identifier: Apache-2.0
"""What happens to each field of each wire, as data: the table in `docs/wires.md` is printed from the codecs themselves.

A codec names its fields in the class attribute `FIELDS`; whoever changes what a codec does changes them beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gateway.wires import Route

Treatment = Literal["looked_at", "labelled", "passed", "refused"]
"""`looked_at`: its text is checked. `labelled`: checked, and the label is written into it or beside it. `passed`: goes
through unread, because nobody reads it as text. `refused`: a request or an answer that has it is not served."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a wire. `path` is as the wire's own documents spell it; arrays are `[]`, answers begin with `<`."""

    path: str
    treatment: Treatment
    note: str = ""


def table(routes: Iterable[Route]) -> str:
    """The fields of all wires as one Markdown table a wire, in the order of `routes`."""
    places: dict[str, list[str]] = {}
    fields: dict[str, tuple[Field, ...]] = {}
    for route in routes:
        places.setdefault(route.wire.name, []).append(f"`{route.method} {route.path}`")
        fields.setdefault(route.wire.name, getattr(route.wire, "FIELDS", ()))
    parts = []
    for name, where in places.items():
        lines = [f"## {name}", "", ", ".join(where), "", "| field | treatment | note |", "|---|---|---|"]
        lines += [f"| `{_cell(field.path)}` | {field.treatment} | {_cell(field.note)} |" for field in fields[name]]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
