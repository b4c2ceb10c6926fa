# SPDX-License-Identifier: Apache-2.0
"""Known pictures found again after what people do to them, and no others."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageEnhance

from content_filter import FilterError, Outcome, Role
from content_filter.picture_hashes import Hash, KnownPicture, KnownPictures, hashes, load_known, main


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture of made-up shapes."""
    chance = random.Random(seed)
    picture = Image.new("RGB", size, tuple(chance.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        box = (x, y, x + chance.randrange(20, size[0] // 2), y + chance.randrange(20, size[1] // 2))
        draw.ellipse(box, fill=tuple(chance.randrange(256) for _ in range(3)))
    return picture


def known(*seeds: int) -> list[KnownPicture]:
    """Entries of a list, by both hashes."""
    return [
        KnownPicture(kind, value, "A1f", f"scene-{seed}")
        for seed in seeds for kind, value in (hashes(scene(seed)) or {}).items()
    ]  # fmt: skip


def recoded(picture: Image.Image, quality: int) -> Image.Image:
    """The picture as a JPEG of this quality."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue()))


def test_a_known_picture_is_found_after_scaling_recompression_and_small_edits() -> None:
    """Most of it under each edit, all of it unedited."""
    seeds = range(40)
    pictures = KnownPictures(known(*seeds), 6)
    edits = {
        "as it is": lambda picture: picture,
        "a quarter of the size": lambda picture: picture.resize((80, 60)),
        "JPEG 30": lambda picture: recoded(picture, 30),
        "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
        "grey": lambda picture: picture.convert("L").convert("RGB"),
    }
    for name, edit in edits.items():
        found = [pictures.judge(edit(scene(seed)), Role.PROMPT) for seed in seeds]
        right = sum(verdict.rule == f"picture:scene-{seed}" for seed, verdict in zip(seeds, found, strict=True))
        assert right >= (40 if name == "as it is" else 36), name
        assert all(verdict.class_code == "A1f" for verdict in found if verdict.verdict is Outcome.BLOCK)


def test_other_pictures_are_not_found() -> None:
    """Within the usual radius."""
    pictures = KnownPictures(known(*range(100)), 6)
    wrong = [
        seed for seed in range(1_000, 1_300) if pictures.judge(scene(seed), Role.PROMPT).verdict is not Outcome.PASS
    ]
    assert wrong == []


def test_a_picture_of_one_colour_is_not_looked_up() -> None:
    """All of them would be one."""
    assert hashes(Image.new("RGB", (50, 50), "green")) is None
    assert KnownPictures(known(1), 16).judge(Image.new("RGB", (50, 50)), Role.PROMPT).verdict is Outcome.PASS


def test_the_score_falls_with_the_distance_and_the_nearest_entry_counts() -> None:
    """In basis points of 64 bits."""
    (value,) = [value for kind, value in (hashes(scene(5)) or {}).items() if kind is Hash.PHASH]
    near, far = KnownPicture(Hash.PHASH, value ^ 1, "A1a"), KnownPicture(Hash.PHASH, value ^ 7, "A1d", "far")
    verdict = KnownPictures([far, near], 6).judge(scene(5), Role.ANSWER)
    assert (verdict.class_code, verdict.score_bp, verdict.role) == ("A1a", 9_844, Role.ANSWER)
    assert verdict.rule.startswith("picture:") and f"{value ^ 1:016x}" not in verdict.rule
    assert KnownPictures([far], 2).judge(scene(5), Role.ANSWER).verdict is Outcome.PASS


def test_lists_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    """By file and line, without what stands there."""
    path = tmp_path / "list.txt"
    path.write_text("# a comment\n\ndhash:00ff00ff00ff00ff A1f case-7\nphash:0123456789abcdef\tA1a\n")
    assert load_known([path]) == [
        KnownPicture(Hash.DHASH, 0x00FF00FF00FF00FF, "A1f", "case-7"),
        KnownPicture(Hash.PHASH, 0x0123456789ABCDEF, "A1a"),
    ]
    right = "dhash:00ff00ff00ff00ff"
    wrong = ("nonsense", "dhash:00ff A1f", f"a{right} A1f", "dhash:00ff00ff00ff00fg A1f")
    for line in (*wrong, f"{right} Z9", f"{right} A1f a b", f"{right} A1f né"):
        path.write_text(f"# first\n{line}\n")
        with pytest.raises(FilterError, match="line 2"):
            load_known([path])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FilterError, match="UTF-8"):
        load_known([path])
    with pytest.raises(FilterError):
        load_known([tmp_path / "missing"])


def test_two_lists_that_judge_alike_have_one_digest() -> None:
    """Whatever their order; another radius judges otherwise."""
    entries = known(1, 2)
    assert KnownPictures(entries).digest == KnownPictures(reversed(entries)).digest
    assert KnownPictures(entries, 5).digest != KnownPictures(entries, 6).digest
    assert len(KnownPictures(entries)) == 4
    with pytest.raises(FilterError):
        KnownPictures(entries, 17)


def test_lines_for_a_list_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which a list takes as they are."""
    scene(3).save(tmp_path / "a.png")
    assert main([str(tmp_path / "a.png")]) == 0
    (tmp_path / "list.txt").write_text(capsys.readouterr().out)
    assert KnownPictures(load_known([tmp_path / "list.txt"]), 0).judge(scene(3), Role.PROMPT).verdict is Outcome.BLOCK
    (tmp_path / "b.png").write_bytes(b"none")
    assert main([str(tmp_path / "b.png")]) == 1
