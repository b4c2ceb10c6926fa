# SPDX-License-Identifier: Apache-2.0
"""Wherever a log lies, what works on it as a whole is the same; and opening one never makes one."""

from pathlib import Path

import pytest

from audit_log import Entry, LogNotInitialised, LogRefused, LogUnavailable, Selection, VerificationError, new_record_id
from audit_log.bundle import verify_bundle
from audit_log.commands import (
    census,
    erase,
    export,
    hold_place,
    hold_step,
    holds,
    prove,
    prune,
    redeem,
    rotate,
    rotate_master,
)
from audit_log.holds import HoldScope
from audit_log.keys import read_vkeys
from audit_log.place import Place, place_of
from audit_log.record import TYPES
from audit_log.retention import Retention, RetentionRule

ORIGIN = "audit.example.com/place"
RULES = Retention((RetentionRule("all", TYPES, 0, None, "house-1"),))


@pytest.fixture(params=["folder", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new, empty log in a folder, and one on a server."""
    made = Place(tmp_path / "home")
    if request.param == "server":
        schema = request.getfixturevalue("schema")
        made = Place(tmp_path / "home", request.getfixturevalue("postgres_dsn"), schema)
    assert made.create(ORIGIN) == read_vkeys(made.home)[0].vkey
    return made


def test_every_command_works_at_each_place(place: Place, tmp_path: Path) -> None:
    """Written, held, erased, both keys changed, exported: the bundle verifies with the first key, on either store."""
    with pytest.raises(LogRefused):
        place.create(ORIGIN)
    ids = [new_record_id() for _ in range(4)]
    with place.writing(writer="gw") as log:
        for number, id_ in enumerate(ids):
            entry = Entry({"id": id_, "type": "exchange", "tenant": "t"}, f"p{number % 2}", b"text %d" % number)
            receipt = log.receipt(log.append_blocking(entry), id_)
        assert log.is_alive(log.writer)
    assert place.verify().ok
    assert prove(place, ids[0])["index"] == 1
    assert redeem(place, receipt)["index"] == 4
    hold = hold_place(place, HoldScope(subject="p1"), reason="case-1", by="anna", role="legal")
    hold_step(place, str(hold["id"]), "approve", by="bert", role="officer")
    assert [one["state"] for one in holds(place)["holds"]] == ["placed"]  # type: ignore[attr-defined]
    assert erase(place, "t", "p0", RULES, basis="PIPL-47", by="desk")["state"] == "done"
    assert erase(place, "t", "p1", RULES, basis="PIPL-47", by="desk")["standing"] == "hold"
    first = read_vkeys(place.home)[0].vkey
    rotate(place, by="ops")
    assert rotate_master(place, by="ops")["keys"] == 1
    with place.reader() as reader:
        assert reader.body(ids[1]) == b"text 1"
        assert reader.body(ids[0]) is None
    assert prune(place, RULES, by="ops", dry_run=True)["boundary"] == 0
    assert census(place)["ok"] is True

    export(place, tmp_path / "b.zip", Selection(), generator="t", bodies="opened", by="auditor")
    report = verify_bundle(tmp_path / "b.zip", vkeys=[first])
    assert (report.problems, report.bodies, report.erased) == ([], 2, 2)
    assert place.verify(vkeys=tuple(verifier.vkey for verifier in read_vkeys(place.home))).ok
    assert not place.verify(vkeys=(first,)).ok


def test_an_empty_log_hands_its_name_and_keys_on_to_a_server(tmp_path: Path, postgres_dsn: str, schema: str) -> None:
    """The data folder was made first, the server was chosen later; a log with records stays where it is."""
    folder, other = Place(tmp_path / "home"), Place(tmp_path / "used")
    vkey = folder.create(ORIGIN)
    other.create(ORIGIN)
    with other.writing():
        pass
    with pytest.raises(LogRefused, match="records of its own"):
        Place(other.home, postgres_dsn, schema).create("ignored")
    with pytest.raises(LogUnavailable):
        Place(folder.home, "postgresql://nobody@/x?host=/nowhere", schema).create("ignored")
    server = Place(folder.home, postgres_dsn, schema)
    assert server.create("ignored") == vkey
    with server.writing() as log:
        assert log.origin == ORIGIN
    with pytest.raises(LogNotInitialised):
        folder.verify()
    assert server.verify().tree_size == 2


def test_a_place_never_makes_a_log_by_opening_it(tmp_path: Path) -> None:
    """Neither does a server that is away."""
    with pytest.raises(LogNotInitialised):
        Place(tmp_path / "none").open_store()
    with pytest.raises(LogNotInitialised):
        Place(tmp_path / "none").open_log(writer="x")
    with pytest.raises(LogNotInitialised):
        Place(tmp_path, "postgresql://nobody@/x?host=/nowhere").verify()
    assert list(tmp_path.iterdir()) == []
    assert place_of(tmp_path) == Place(tmp_path)


def test_the_master_key_may_come_from_elsewhere(home: Path, tmp_path: Path) -> None:
    """Bodies sealed under it need it again; `body.key` is not asked."""
    elsewhere = Place(home, read_master_key=lambda: bytes(range(32)))
    id_ = new_record_id()
    with elsewhere.writing() as log:
        log.append_blocking(Entry({"id": id_, "type": "exchange"}, "p", b"words"))
    with elsewhere.reader() as reader:
        assert reader.body(id_) == b"words"
    with Place(home).reader() as reader, pytest.raises(VerificationError, match="cannot be opened"):
        reader.body(id_)
    (home / "body.key").unlink()
    export(elsewhere, tmp_path / "b.zip", generator="t", bodies="opened", by="x")
    assert elsewhere.verify().ok
