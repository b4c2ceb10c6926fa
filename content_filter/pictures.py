# SPDX-License-Identifier: Apache-2.0
"""Checks of pictures behind one interface: known pictures, a model's opinion, words inside, and an operator's own.

A check reads one decoded picture and gives a verdict like any other; what is then done is for whoever asked. It may
take its time, and is called from threads.

What must hold: nothing is decoded beyond a bound on pixels; of an animation the frames are looked at, up to a bound;
what cannot be decoded is `UnreadablePicture`, never a pass; neither an error nor a rule holds anything of a picture.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from PIL import Image, ImageSequence

from content_filter.errors import FilterError
from content_filter.filter import Outcome, Verdict
from content_filter.roles import Role

MOST_FRAMES = 8
"""Frames of an animation that are looked at, spread over all of it."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_STRENGTH = {Outcome.PASS: 0, Outcome.FLAG: 1, Outcome.MASK: 2, Outcome.BLOCK: 3}


class UnreadablePicture(FilterError):
    """The bytes are no picture that can be looked at: another format, damaged, or too large."""


class PictureCheck(Protocol):
    """Judges one picture. Safe between threads."""

    name: str

    def judge(self, picture: Image.Image, role: Role) -> Verdict:
        """The verdict on a picture in RGB; its `rule` names the check. Whatever it raises means that it is broken."""
        ...


def frames(data: bytes, most_pixels: int, most_frames: int = MOST_FRAMES) -> Iterator[Image.Image]:
    """The picture in `data` in RGB, or frames of an animation. Raises `UnreadablePicture`.

    `most_pixels` bounds the pixels of all frames that are looked at.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            count = getattr(picture, "n_frames", 1)
            shown = min(count, most_frames)
            if picture.width * picture.height * shown > most_pixels:
                raise UnreadablePicture("the picture has more pixels than are looked at")
            if count == 1:
                yield _upright(picture)
                return
            wanted = {round(place * (count - 1) / max(1, shown - 1)) for place in range(shown)}
            for place, frame in enumerate(ImageSequence.Iterator(picture)):
                if place in wanted:
                    yield _upright(frame)
    except UnreadablePicture:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, EOFError, KeyError, IndexError):
        raise UnreadablePicture("the bytes are no picture of a known format, or a damaged one") from None


def _upright(picture: Image.Image) -> Image.Image:
    """In RGB, on white where it is transparent: what stands there is what people see."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return picture.convert("RGB")


def judge_picture(data: bytes, checks: Iterable[PictureCheck], role: Role, most_pixels: int) -> Verdict:
    """The strongest verdict of all checks over all frames. Raises `UnreadablePicture`, and what a check raises."""
    strongest = Verdict(Outcome.PASS, role)
    used = tuple(checks)
    for frame in frames(data, most_pixels):
        for check in used:
            said = check.judge(frame, role)
            if (_STRENGTH[said.verdict], said.score_bp) > (_STRENGTH[strongest.verdict], strongest.score_bp):
                strongest = said
            if strongest.verdict is Outcome.BLOCK:
                return strongest
    return strongest


def plugin(place: str) -> Any:
    """What stands at `package.module:name`, made by calling it without arguments. Raises `FilterError`.

    It is code of the operator's own, with the rights of this process.
    """
    module, _, name = place.partition(":")
    try:
        make: Callable[[], Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise FilterError("a plug-in cannot be imported; expected package.module:name of something installed") from None
    return make()
