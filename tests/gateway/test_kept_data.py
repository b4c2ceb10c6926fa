# SPDX-License-Identifier: Apache-2.0
"""Nothing is kept that the list does not name, and the list names nothing that is not kept."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from complaints import CaseStore
from content_filter import IncidentStore
from gateway.delivery import Outbox
from gateway.fingerprints import FingerprintStore
from gateway.home import Home
from gateway.kept_data import KEPT, Kept, table
from gateway.policies import load
from gateway.state import SqliteOrders, SqliteState

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[str, ...]]:
    """The columns of every table of a data folder in which every store was opened."""
    home, _ = Home.create(tmp_path_factory.mktemp("kept") / "home", "audit.example.com/kept")
    for made in (
        CaseStore.open(home.complaints),
        IncidentStore(home.incidents),
        Outbox(home.outbox),
        FingerprintStore(home.fingerprints),
    ):
        made.close()

    async def shared() -> None:
        await SqliteState(home.state, time.time, 1.0).close()
        await SqliteOrders(home.orders, time.time, 1.0).close()

    asyncio.run(shared())
    found = {}
    for path in home.path.rglob("*.db"):
        with closing(sqlite3.connect(path)) as db:
            names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            for (name,) in names.fetchall():
                columns = db.execute(f"SELECT name FROM pragma_table_info('{name}')").fetchall()
                found[path.name, name] = tuple(column for (column,) in columns)
    return found


def test_every_column_of_every_store_is_named(stores: dict[tuple[str, str], tuple[str, ...]]) -> None:
    """Whoever keeps more has to say what, why and how long."""
    listed = {(item.place, item.name): item.columns for item in KEPT if item.columns}
    assert listed == stores


def test_every_shelf_of_orders_is_named() -> None:
    """A shelf is a module's constant `SHELF` or `..._SHELF`, or what `measures` calls its strikes."""
    shelves = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and (node.targets[0].id in ("SHELF", "STRIKES") or node.targets[0].id.endswith("_SHELF"))
                and isinstance(node.value, ast.Constant)
            ):
                shelves.add(node.value.value)
    assert len(shelves) > 5
    assert {item.name for item in KEPT if not item.columns} == shelves


def test_each_says_why_and_how_long() -> None:
    """And what the policy's numbers are called is in the policy."""
    policy = load(["cn"])
    keys = {entry.key for entry in policy.entries()}
    for item in KEPT:
        assert item.what and item.why and item.how_long, item.name
        for word in item.how_long.split("`")[1::2]:
            assert word in keys or word.startswith(("audit.", "label.")), word


def test_the_table_has_a_line_for_each() -> None:
    """In the order of the list."""
    shown = table((Kept("a.db", "t", ("x",), "what", "why", "for ever", False),))
    assert shown.splitlines()[-1] == "| `a.db` | `t` | what | no | why | for ever |"
    assert len(table().splitlines()) == len(KEPT) + 2


def test_the_documentation_shows_the_list() -> None:
    """As it is."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"<!-- kept -->\n{table()}<!-- /kept -->" in page
