# SPDX-License-Identifier: Apache-2.0
"""Markdown: the label as mapping ``AIGC:`` in the YAML front matter (practice guide TC260-PG-20258A).

Only the label's own lines are read and written; no other line of the front matter or the text changes. Values are
double-quoted, which for the label's character set is the same in JSON and YAML.
"""

from __future__ import annotations

import json
import re

from labeling.aigc import AigcLabel
from labeling.errors import UnsupportedFormat
from labeling.implicit.field import AigcField

_FENCE = re.compile(r"---[ \t]*(\r?\n)")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.M)
# A top-level key with the indented and empty lines that belong to it.
_BLOCK = re.compile(
    r"""^(?P<key>["']?[\w.-]*AIGC[\w.-]*["']?)[ \t]*:(?P<rest>[^\r\n]*)(?:\r?\n|\Z)"""
    r"""(?P<lines>(?:[ \t]+[^\r\n]*(?:\r?\n|\Z))*)""",
    re.M | re.I,
)
_ENTRY = re.compile(r"""^[ \t]+["']?(\w+)["']?[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$""", re.M)


def _split(data: bytes) -> tuple[str, str, str, str]:
    """Byte order mark, opening fence, front matter and the rest with the closing fence."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise UnsupportedFormat("a Markdown file must be UTF-8 to be labelled; save it as UTF-8") from None
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text[len(mark) :]
    fence = _FENCE.match(text)
    closing = _CLOSING.search(text, fence.end()) if fence else None
    if fence is None or closing is None:
        return mark, "", "", text
    return mark, fence[0], text[fence.end() : closing.start()], text[closing.start() :]


def _scalar(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text


def read_fields(data: bytes) -> list[AigcField]:
    """Every label field of the file."""
    fields = []
    for match in _BLOCK.finditer(_split(data)[2]):
        name = match["key"].strip("\"'")
        rest = match["rest"].strip()
        entries = {key: _scalar(value) for key, value in _ENTRY.findall(match["lines"])}
        value: str | dict[str, str] = _scalar(rest) if rest and not entries else entries
        fields.append(AigcField(f"Markdown front matter {name[:64]}", value, name == "AIGC" and bool(entries)))
    return fields


def write_field(data: bytes, label: AigcLabel) -> bytes:
    """The file with exactly this label."""
    mark, fence, front, rest = _split(data)
    newline = "\r\n" if "\r\n" in (fence or rest[:4096]) else "\n"
    entries = "".join(f"  {key}: {json.dumps(value)}{newline}" for key, value in label.as_dict().items())
    own = f"AIGC:{newline}{entries}"
    front = _BLOCK.sub("", front)
    if fence:
        return f"{mark}{fence}{front}{own}{rest}".encode()
    return f"{mark}---{newline}{own}---{newline}{newline}{rest}".encode()
