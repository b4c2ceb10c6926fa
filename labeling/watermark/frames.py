# SPDX-License-Identifier: Apache-2.0
"""Marks the frames of one file while it is encoded, and reads the mark back from the finished file.

The mark must be in the pixels before they are encoded and after the visible label was drawn, so this object is handed
to whoever draws and encodes (:mod:`labeling.explicit.image`). A picture that cannot hold a mark (too small, too even)
goes on without one and the step says why, unless the plan demands it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from labeling.errors import LabelNotVerified, UnsupportedFormat
from labeling.sniff import FileFormat
from labeling.watermark import Watermark


@dataclass(frozen=True, slots=True)
class MarkPlan:
    """Which mark a picture gets. ``is_required``: one that cannot hold it is refused."""

    watermark: Watermark
    payload: bytes
    is_required: bool = False


class Marking:
    """The mark of one file: called with each frame, then asked whether the file holds it."""

    def __init__(self, plan: MarkPlan, clock: Callable[[], float]) -> None:
        """``clock`` measures, in seconds."""
        self._plan = plan
        self._clock = clock
        self.ms = 0.0
        """Time spent on marking and reading back."""
        self.frames = 0
        """Frames that were marked."""
        self.why_not = ""
        """Why a frame was not."""
        self._is_held = False

    def __call__(self, frame: Image.Image) -> Image.Image:
        """The frame with the mark, or as it is where it cannot hold one."""
        since = self._clock()
        try:
            self.why_not = self._plan.watermark.why_not(frame)
            if self.why_not:
                return frame
            marked = self._plan.watermark.mark(frame, self._plan.payload)
            self.frames += 1
            return marked
        finally:
            self.ms += (self._clock() - since) * 1000

    def see(self, result: Image.Image) -> None:
        """Look whether the finished file, decoded, holds the mark."""
        since = self._clock()
        self._is_held = self.frames > 0 and self._plan.watermark.holds(result, self._plan.payload)
        self.ms += (self._clock() - since) * 1000

    def outcome(self, file_format: FileFormat) -> tuple[str, str]:
        """``done`` or ``skipped`` and the detail, once the file is finished.

        Raises :class:`UnsupportedFormat` or :class:`LabelNotVerified` where the plan demands a mark that is not there.
        """
        if not self.frames:
            why_not = self.why_not or f"{file_format.value.name} cannot be drawn on here"
            if self._plan.is_required:
                raise UnsupportedFormat(f"the file cannot have the watermark that is asked for: {why_not}")
            return "skipped", why_not
        if not self._is_held:
            if self._plan.is_required:
                raise LabelNotVerified("the watermark cannot be read back; the picture is too even to hold it")
            return "skipped", "marked, but not read back: the picture is too even to hold a mark"
        return "done", f"{self._plan.watermark.name}, read back"
