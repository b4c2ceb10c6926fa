# SPDX-License-Identifier: Apache-2.0
"""The last door before a medium leaves."""

from __future__ import annotations

import pytest

from gateway.events import Channel, End, Lane, Media, TextDelta
from gateway.wires.interfaces import BadAnswer
from gateway.wires.media import UNLABELLED, require_labelled


def test_only_a_bare_medium_is_refused() -> None:
    """Everything else passes."""
    for event in (Media(0, "image/png", b"x", is_labelled=True), TextDelta(Lane(0, Channel.ANSWER), "x"), End()):
        require_labelled(event)
    with pytest.raises(BadAnswer) as caught:
        require_labelled(Media(0, "image/png", b"x"))
    assert caught.value.code == UNLABELLED
