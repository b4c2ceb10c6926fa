# SPDX-License-Identifier: Apache-2.0
"""What a parser does in its child stays there."""

from __future__ import annotations

import pytest

from labeling.child import ask_child
from labeling.errors import LabelError

SPACE = 1 << 30


def test_a_child_that_dies_is_an_error_of_ours() -> None:
    """With the status it ended with, and nothing of what it was given."""
    with pytest.raises(LabelError, match="stopped with status") as caught:
        ask_child("labeling.inspection", b"canary, and no JSON\n", doing="inspected", timeout_s=20, memory_bytes=SPACE)
    assert "canary" not in str(caught.value)


def test_a_child_without_memory_is_an_error_of_ours() -> None:
    """The limit holds from before its first import."""
    with pytest.raises(LabelError, match="stopped with status"):
        ask_child("labeling.inspection", b"{}\n", doing="inspected", timeout_s=20, memory_bytes=1 << 24)


def test_a_child_that_takes_too_long_is_ended() -> None:
    """Whatever it is doing."""
    with pytest.raises(LabelError, match=r"could not be inspected within 0\.05 seconds"):
        ask_child("labeling.inspection", b"{}\n", doing="inspected", timeout_s=0.05, memory_bytes=SPACE)
