# SPDX-License-Identifier: Apache-2.0
"""Pictures decoded within bounds, and judged by any number of checks."""

from __future__ import annotations

import contextlib
import io
import random

import pytest
from PIL import Image

from content_filter import FilterError, Outcome, Role, Verdict
from content_filter.pictures import MOST_FRAMES, UnreadablePicture, frames, judge_picture, plugin

PIXELS = 1_000_000


def png(size: tuple[int, int] = (40, 30), colour: str = "red", mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, "PNG")
    return out.getvalue()


def gif(colours: list[str]) -> bytes:
    """An animation, a colour a frame."""
    out = io.BytesIO()
    first, *rest = [Image.new("RGB", (8, 8), colour) for colour in colours]
    first.save(out, "GIF", save_all=True, append_images=rest, duration=50)
    return out.getvalue()


class Reddish:
    """Blocks red, flags green."""

    name = "reddish"

    def judge(self, picture: Image.Image, role: Role) -> Verdict:
        red, green, blue = picture.getpixel((0, 0))  # type: ignore[misc]
        if red > 200 and green < 60:
            return Verdict(Outcome.BLOCK, role, "A1f", "reddish:red", 0, 0, 9_000)
        if green > 100 and red < 60 and blue < 60:
            return Verdict(Outcome.FLAG, role, "A1f", "reddish:green", 0, 0, 5_000)
        return Verdict(Outcome.PASS, role)


def test_the_strongest_verdict_of_all_frames_counts() -> None:
    """One frame of an animation is enough."""
    assert judge_picture(png(), [Reddish()], Role.PROMPT, PIXELS).verdict is Outcome.BLOCK
    assert judge_picture(png(colour="white"), [Reddish()], Role.ANSWER, PIXELS).verdict is Outcome.PASS
    colours = ["white", "green", "blue"]
    assert judge_picture(gif(colours), [Reddish()], Role.PROMPT, PIXELS).verdict is Outcome.FLAG
    assert judge_picture(gif([*colours, "red"]), [Reddish()], Role.PROMPT, PIXELS).verdict is Outcome.BLOCK


def test_only_some_frames_of_a_long_animation_are_looked_at_first_and_last_among_them() -> None:
    """A bound on work; the ends are where a frame would be hidden."""
    colours = [f"#{number * 10:02x}{number * 10:02x}00" for number in range(24)]
    seen = [frame.getpixel((0, 0)) for frame in frames(gif(colours), PIXELS)]
    assert len(seen) == MOST_FRAMES
    assert max(seen[0]) < 30 and max(seen[-1]) > 200  # type: ignore[arg-type]


def test_what_is_transparent_is_looked_at_as_people_see_it() -> None:
    """On white."""
    (frame,) = frames(png(colour="#00000000", mode="RGBA"), PIXELS)
    assert frame.mode == "RGB" and frame.getpixel((0, 0)) == (255, 255, 255)


def test_a_picture_beyond_the_bound_or_a_broken_one_is_never_a_pass() -> None:
    """Nor is it an error of another kind, whatever the bytes are."""
    for data, most in (
        (png((200, 200)), 39_999),
        (b"", PIXELS),
        (b"\x89PNG\r\n\x1a\n", PIXELS),
        (png((200, 200))[:60], PIXELS),
    ):
        with pytest.raises(UnreadablePicture):
            judge_picture(data, [Reddish()], Role.PROMPT, most)
    chance = random.Random(3)
    for made in (png(), gif(["red", "white"])):
        for _ in range(300):
            data = bytearray(made)
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            with contextlib.suppress(UnreadablePicture):
                judge_picture(bytes(data), [Reddish()], Role.PROMPT, PIXELS)


def test_a_plug_in_is_made_by_its_place() -> None:
    """What cannot be imported says so."""
    assert isinstance(plugin(f"{__name__}:Reddish"), Reddish)
    for place in ("nowhere:x", f"{__name__}:nothing", ":", "x"):
        with pytest.raises(FilterError):
            plugin(place)
