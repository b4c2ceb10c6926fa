# SPDX-License-Identifier: Apache-2.0
"""The table of fields comes from the codecs themselves."""

from __future__ import annotations

from gateway.wires import ROUTES
from gateway.wires.fields import Field, table


def test_every_wire_says_what_becomes_of_its_fields() -> None:
    """A wire without a word about its fields would be missing from the documentation."""
    assert [route.wire.name for route in ROUTES if not getattr(route.wire, "FIELDS", ())] == []


def test_the_table_has_each_wire_once_with_all_its_places() -> None:
    """And a row for each field, whatever characters stand in it."""
    printed = table(ROUTES)
    for route in ROUTES:
        assert printed.count(f"## {route.wire.name}\n") == 1
        assert f"`{route.method} {route.path}`" in printed
        for field in route.wire.FIELDS:  # type: ignore[attr-defined]
            assert isinstance(field, Field)
            assert f"| {field.treatment} |" in printed
    rows = [line for line in printed.splitlines() if line.startswith("| `")]
    assert all(line.replace("\\|", "").count("|") == 4 for line in rows)
