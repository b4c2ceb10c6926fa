# SPDX-License-Identifier: Apache-2.0
"""An unfinished export: goes on where it was kept, and for nothing else than what it was begun for."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_log.draft import Draft, DraftRefused, DraftState

ITEMS = [(3, b"{}", b"proof of 3"), (5, b'{"a":1}', b""), (9, b'{"b":"\xe4\xb8\xad"}', b"x\n\ny")]


def begun(folder: Path, asked: str = "a") -> Draft:
    return Draft.begin(folder, DraftState(asked, "head\n", 1.5))


def resumed(folder: Path, asked: str = "a") -> Draft:
    draft = Draft.resume(folder, asked)
    assert draft is not None
    return draft


def test_what_was_kept_is_there_and_what_came_after_is_not(tmp_path: Path) -> None:
    """Also where half of a line was written when it was cut short."""
    draft = begun(tmp_path / "d")
    for item in ITEMS[:2]:
        draft.add(*item)
    draft.keep(6)
    draft.add(*ITEMS[2])
    draft.close()
    with (tmp_path / "d" / "records.jsonl").open("ab") as file:
        file.write(b'{"half')

    again = resumed(tmp_path / "d")
    assert (again.state.after, again.state.head, again.state.made_at) == (6, "head\n", 1.5)
    assert (again.state.records, again.state.first, again.state.last) == (2, 3, 5)
    again.add(*ITEMS[2])
    again.flush()
    assert [*again.items()] == ITEMS
    with again.records() as lines:
        assert lines.read() == b"".join(leaf + b"\n" for _, leaf, _ in ITEMS)
    again.discard()
    assert not (tmp_path / "d").exists()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """It holds records."""
    begun(tmp_path / "d").close()
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700


def test_nothing_is_begun_over_something(tmp_path: Path) -> None:
    """The message says how to go on."""
    begun(tmp_path / "d").close()
    with pytest.raises(DraftRefused, match="--resume"):
        begun(tmp_path / "d")


def test_there_may_be_nothing_to_go_on_from(tmp_path: Path) -> None:
    """Nothing was begun, or nothing kept yet."""
    assert Draft.resume(tmp_path / "d", "a") is None
    begun(tmp_path / "d").close()
    assert Draft.resume(tmp_path / "d", "a") is None
    assert not (tmp_path / "d").exists()


def test_another_request_or_a_damaged_draft_is_refused(tmp_path: Path) -> None:
    """And stays as it is."""
    draft = begun(tmp_path / "d")
    draft.add(*ITEMS[0])
    draft.keep(4)
    draft.close()
    with pytest.raises(DraftRefused, match="another"):
        Draft.resume(tmp_path / "d", "b")
    (tmp_path / "d" / "proofs").write_bytes(b"")
    with pytest.raises(DraftRefused, match="damaged"):
        Draft.resume(tmp_path / "d", "a")
    for text in ("", "[]", "{}", '{"schema":"dutybound-draft/1","asked":"a"}'):
        (tmp_path / "d" / "state.json").write_text(text)
        with pytest.raises(DraftRefused):
            Draft.resume(tmp_path / "d", "a")
    assert (tmp_path / "d").exists()


@given(st.lists(st.tuples(st.integers(0, 2**40), st.binary(max_size=40), st.booleans()), max_size=30))
def test_whatever_is_kept_comes_back(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[int, bytes, bool]]
) -> None:
    """Cut short after any record, with any proof."""
    folder = tmp_path_factory.mktemp("draft") / "d"
    draft = begun(folder)
    kept: list[tuple[int, bytes, bytes]] = []
    added: list[tuple[int, bytes, bytes]] = []
    draft.keep(0)
    for index, proof, is_kept in items:
        added.append((index, b"{}", proof))
        draft.add(*added[-1])
        if is_kept:
            draft.keep(index + 1)
            kept = [*added]
    draft.close()
    again = resumed(folder)
    assert [*again.items()] == kept
    again.discard()
