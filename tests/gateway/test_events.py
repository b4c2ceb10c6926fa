# SPDX-License-Identifier: Apache-2.0
"""The event model: lanes are equal by what they name, events are themselves only."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.events import Attached, Channel, End, Finish, Lane, Media, Opaque, TextDelta, Usage

LANE = Lane(0, Channel.ANSWER)
EVENTS = (
    TextDelta(LANE, "a"),
    Attached(LANE),
    Media(0, "image/png", b""),
    Finish(0, "stop"),
    Usage(1, 2),
    Opaque(),
    End(),
)


def test_lanes_name_places() -> None:
    """Two names of one place are one key."""
    assert Lane(0, Channel.ANSWER) == LANE and hash(Lane(0, Channel.ANSWER)) == hash(LANE)
    assert len({LANE, Lane(1, Channel.ANSWER), Lane(0, Channel.REASONING), Lane(0, Channel.ANSWER, 1)}) == 4


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_itself_only_and_never_changes(event: object) -> None:
    """Two that say the same are two; a duty that changes text makes a new one."""
    assert event != dataclasses.replace(event)  # type: ignore[type-var]
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.carrier = 1  # type: ignore[attr-defined]


def test_media_are_unlabelled_until_a_duty_says_otherwise() -> None:
    """No writer lets them out before."""
    assert Media(0, "image/png", b"").is_labelled is False


def test_channels_are_words_for_records() -> None:
    """They stand in leaves."""
    assert all(channel.value.isascii() and channel.value.islower() for channel in Channel)
