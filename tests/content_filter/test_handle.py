# SPDX-License-Identifier: Apache-2.0
"""Filters are replaced whole, and what runs keeps its own."""

from pathlib import Path

import pytest

from content_filter.errors import FilterError
from content_filter.filter import ContentFilter
from content_filter.handle import Activation, FilterHandle
from content_filter.terms import TermSet


def test_a_running_stream_keeps_its_filter_and_a_new_one_gets_the_new() -> None:
    """A swap in the middle of a stream changes nothing for that stream."""
    old, new = ContentFilter(TermSet.of(("old", "A1a"))), ContentFilter(TermSet.of(("new", "A1a")))
    handle = FilterHandle(old)
    running = handle.current.guard()
    running.feed("ol")

    assert handle.swap(new) == Activation(old.digest, new.digest)
    assert handle.current is new
    assert running.feed("d").match is not None
    assert handle.current.guard().feed("old").match is None
    assert handle.current.guard().feed("new").match is not None


def test_reload_reads_files_and_keeps_the_classes(tmp_path: Path) -> None:
    """The new terms count, in the classes that the old filter looked for."""
    path = tmp_path / "terms.tsv"
    path.write_text("one\tA1a\ntwo\tA1b\n", encoding="utf-8")
    handle = FilterHandle(ContentFilter(TermSet.of(), ["A1a"]))
    activation = handle.reload([path])

    assert activation.is_change
    assert activation.after == handle.current.digest
    assert handle.current.check_text("one", "prompt").verdict == "block"
    assert handle.current.check_text("two", "prompt").verdict == "pass"
    assert not handle.reload([path]).is_change


def test_a_bad_file_leaves_the_old_filter_in_force(tmp_path: Path) -> None:
    """Fail closed: no half-loaded filter, no empty one."""
    path = tmp_path / "terms.tsv"
    path.write_text("one\tA1a\nbroken\n", encoding="utf-8")
    old = ContentFilter(TermSet.of(("old", "A1a")))
    handle = FilterHandle(old)

    with pytest.raises(FilterError):
        handle.reload([path])
    assert handle.current is old
