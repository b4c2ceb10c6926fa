# SPDX-License-Identifier: Apache-2.0
"""The watermark step of labelling a file."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from labeling import AigcLabel
from labeling.errors import LabelNotVerified, UnsupportedFormat
from labeling.explicit.image import ImageLabel
from labeling.file import LabeledFile, LabelPlan, label_file
from labeling.sniff import FileFormat
from labeling.watermark import Waves
from labeling.watermark.frames import Marking, MarkPlan
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene

LABEL = AigcLabel("1", "001191110000MA00000AAT10001", "0199f0c4-0000-7000-8000-000000000001")
MARK = MarkPlan(Waves(KEY), PAYLOAD)


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def labelled(data: bytes, mark: MarkPlan = MARK, **options: Any) -> LabeledFile:
    """The file with visible label and mark."""
    plan = LabelPlan(LABEL, ImageLabel("AI生成", 500), explicit=options.pop("explicit", "required"), mark=mark)
    return label_file(data, plan)


def outcome(made: LabeledFile) -> tuple[str, str]:
    """What the steps say of the watermark."""
    step = next(step for step in made.steps if step.name == "watermark")
    return step.outcome, step.detail


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 80}),
        ("WEBP", {"quality": 80}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {}),
        ("GIF", {}),
    ],
)
def test_every_format_that_is_drawn_on_holds_a_mark(kind: str, options: dict[str, Any]) -> None:
    """After the visible label, in the one encoding; read from the finished file."""
    made = labelled(written(scene(41), kind, **options))
    assert outcome(made) == ("done", "waves, read back")
    with Image.open(io.BytesIO(made.data)) as image:
        assert Waves(KEY).find(image) == PAYLOAD


def test_every_frame_of_an_animation_is_marked() -> None:
    """Whichever is cut out leads to the record."""
    frames = [scene(seed, (300, 280)) for seed in (42, 43)]
    made = labelled(written(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    with Image.open(io.BytesIO(made.data)) as image:
        for index in range(2):
            image.seek(index)
            assert Waves(KEY).find(image.convert("RGB")) == PAYLOAD


def test_a_small_picture_goes_on_without_a_mark_and_says_so() -> None:
    """It has its other labels; unless the plan demands a mark."""
    small = written(scene(44, (200, 200)), "PNG")
    made = labelled(small)
    assert outcome(made)[0] == "skipped" and "too small" in outcome(made)[1]
    with pytest.raises(UnsupportedFormat, match="too small"):
        labelled(small, MarkPlan(Waves(KEY), PAYLOAD, is_required=True))


def test_a_waived_visible_label_leaves_the_mark() -> None:
    """Only the explicit label may be waived (article 9); the file is drawn again for the mark alone."""
    data = written(scene(45), "PNG")
    made = labelled(data, explicit="waived")
    assert [step.outcome for step in made.steps if step.name == "explicit"] == ["waived"]
    assert outcome(made)[0] == "done"


def test_a_format_that_nobody_draws_on_says_so() -> None:
    """An SVG has no pixels; it is labelled otherwise."""
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="600"><rect width="9" height="9"/></svg>'
    assert outcome(labelled(drawing)) == ("skipped", "SVG cannot be drawn on here")


class Forgetful:
    """A method whose marks do not hold."""

    name = "forgetful"

    def why_not(self, image: Image.Image) -> str:
        return ""

    def mark(self, image: Image.Image, payload: bytes) -> Image.Image:
        return image

    def holds(self, image: Image.Image, payload: bytes) -> bool:
        return False

    def find(self, image: Image.Image) -> bytes | None:
        return None


def test_a_mark_that_is_not_read_back_is_not_called_done() -> None:
    """It is skipped, or where it is demanded the file does not go out."""
    data = written(scene(46), "PNG")
    assert outcome(labelled(data, MarkPlan(Forgetful(), PAYLOAD)))[0] == "skipped"
    with pytest.raises(LabelNotVerified, match="read back"):
        labelled(data, MarkPlan(Forgetful(), PAYLOAD, is_required=True))


def test_time_is_counted_apart_from_the_visible_label() -> None:
    """Each call adds what it took."""
    ticks = iter(range(100))
    marking = Marking(MARK, lambda: next(ticks) / 1000)
    marking(Image.new("L", (10, 10)))
    assert marking.ms == pytest.approx(1.0)
    assert marking.outcome(FileFormat.PNG)[0] == "skipped"
