# SPDX-License-Identifier: Apache-2.0
"""Keeping fingerprints beside the answers' way out, and finding works again."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from gateway import copies as copies_module
from gateway.copies import DROPPED, KEPT, NOTHING, Copies, KeepText, copies_in, led_to, payload_in
from gateway.events import Channel, End, Lane, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.home import Home
from gateway.label_files import file_labels
from gateway.media_labels import MediaLabels
from gateway.policies import load
from gateway.settings import Label, Settings
from labeling import AigcLabel, LabelError
from labeling.explicit.image import ImageLabel
from labeling.file import LabeledFile, LabelPlan, label_file
from labeling.inspection import inspect_file
from labeling.sniff import FileFormat
from labeling.watermark import Waves, payload_of
from labeling.watermark.frames import MarkPlan
from tests.labeling.watermark.pictures import KEY, scene

RECORD = "0199f0c4-0000-7000-8000-000000000001"
WORDS = " ".join(f"word{number}" for number in range(300))


@pytest.fixture
def counted() -> Counter[tuple[str, str]]:
    """What was counted, by medium and outcome."""
    return Counter()


@pytest.fixture
def copies(tmp_path: Path, counted: Counter[tuple[str, str]]) -> Iterator[Copies]:
    """A keeper with an empty store."""
    made = Copies(tmp_path / "fingerprints.db", lambda: 1_000.0, lambda *what: counted.update([what]))
    yield made
    made.close()


def exchange(outcome: Outcome = Outcome.COMPLETED) -> Exchange:
    """An exchange that ended so."""
    return Exchange(RECORD, 1_000.0, "openai_chat", "/v1/chat/completions", outcome=outcome)


def said(text: str, channel: Channel = Channel.ANSWER, choice: int = 0) -> TextDelta:
    """A piece of text."""
    return TextDelta(Lane(choice, channel), text)


def test_a_text_is_found_again(copies: Copies, counted: Counter[tuple[str, str]]) -> None:
    """Also with a label before it; a stranger's text is not."""
    copies.keep_text(RECORD, WORDS)
    copies.settle()
    assert counted == {("text", KEPT): 1}
    assert copies.look_up({}, "（AI生成）\n" + WORDS)["fingerprint"] == {"state": "found", "record": RECORD}
    other = " ".join(f"other{number}" for number in range(300))
    assert copies.look_up({}, other)["fingerprint"] == {"state": "none", "record": None}
    assert copies.look_up({}, "short")["fingerprint"] == {"state": "not-read", "record": None}


def test_a_picture_is_found_by_its_mark_and_by_its_looks(copies: Copies) -> None:
    """After its labels are gone: in another size by both, cut by the mark alone."""
    out = io.BytesIO()
    scene(91, (700, 600)).save(out, "PNG")
    label = AigcLabel("1", "001191110000MA00000AAT10001", RECORD)
    mark = MarkPlan(Waves(KEY), payload_of(KEY, RECORD))
    plan = LabelPlan(label, ImageLabel("AI生成", 500), mark=mark)
    labelled = label_file(out.getvalue(), plan)
    copies.keep_file(RECORD, labelled.data, FileFormat.PNG, payload_in(labelled, plan))
    copies.settle()
    picture = Image.open(io.BytesIO(labelled.data)).convert("RGB")
    seen = {}
    for name, copy in (("smaller", picture.resize((420, 360))), ("cut", picture.crop((70, 30, 700, 560)))):
        stripped = io.BytesIO()
        copy.save(stripped, "JPEG", quality=80)
        found = inspect_file(stripped.getvalue(), watermark=Waves(KEY), with_prints=True).as_dict()
        assert found["verdict"] == "generated" and found["labels"] == ()
        seen[name] = led_to(copies, found)
        assert "prints" not in found and "watermark" not in found
    ours = {"state": "found", "record": RECORD}
    assert seen["smaller"] == {"watermark": ours, "fingerprint": ours}
    assert seen["cut"] == {"watermark": ours, "fingerprint": {"state": "none", "record": None}}


def test_a_mark_without_a_record_is_unknown(copies: Copies) -> None:
    """The key says that it is ours; the record was erased, or is kept elsewhere."""
    found = {"watermark": {"state": "found", "payload": "00" * 6}}
    assert copies.look_up(found)["watermark"] == {"state": "unknown", "record": None}
    assert led_to(None, dict(found))["watermark"] == {"state": "unknown", "record": None}


def test_answers_have_one_shape(copies: Copies) -> None:
    """Whether something is known or not, nobody learns it from the form."""
    copies.keep_text(RECORD, WORDS)
    copies.settle()
    shapes = {
        tuple((name, tuple(part)) for name, part in each.items())
        for each in (copies.look_up({}, WORDS), copies.look_up({}, "none"), led_to(None, {}), led_to(copies, {}))
    }
    assert shapes == {(("watermark", ("state", "record")), ("fingerprint", ("state", "record")))}


def test_an_erased_record_is_not_found_any_more(copies: Copies) -> None:
    """And what is old goes with time."""
    copies.keep_text(RECORD, WORDS)
    copies.settle()
    assert copies.forget([RECORD]) == 1
    assert copies.look_up({}, WORDS)["fingerprint"]["state"] == "none"
    copies.keep_text(RECORD, WORDS)
    copies.settle()
    assert copies.forget_before(999.0) == 0 and copies.forget_before(1_001.0) == 1


def test_only_what_went_out_whole_is_kept(copies: Copies, counted: Counter[tuple[str, str]]) -> None:
    """The answer's own text, each choice for itself, not the reasoning; nothing of an answer that was stopped."""
    for outcome in (Outcome.STOPPED, Outcome.UPSTREAM_FAILED, Outcome.COMPLETED):
        duty = KeepText(exchange(outcome), copies)
        half = len(WORDS) // 2
        events = [said(WORDS[:half]), said("thinking " * 200, Channel.REASONING), said("short", choice=1)]
        assert duty.feed(events) is events
        assert duty.feed((said(WORDS[half:]), End()))[1:] != [] and duty.flush() == []
        assert duty.decision() is None
    copies.settle()
    assert counted == {("text", KEPT): 1}
    assert copies.look_up({}, WORDS)["fingerprint"]["record"] == RECORD
    assert copies.look_up({}, "thinking " * 200)["fingerprint"]["record"] is None


def test_a_very_long_answer_is_remembered_by_its_beginning(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded."""
    monkeypatch.setattr(copies_module, "MOST_TEXT_CHARS", 2_000)
    duty = KeepText(exchange(), copies)
    for _ in range(10):
        duty.feed([said(WORDS)])
    duty.decision()
    copies.settle()
    assert copies.look_up({}, WORDS)["fingerprint"]["record"] == RECORD
    assert duty._chars < 2_000 + len(WORDS)


def test_what_the_settings_leave_out_is_not_kept(tmp_path: Path) -> None:
    """Marks are kept where only fingerprints are off."""
    made = Copies(tmp_path / "some.db", time.time, lambda *what: None, of_media=False, of_texts=False)
    out = io.BytesIO()
    scene(92).save(out, "PNG")
    made.keep_file(RECORD, out.getvalue(), FileFormat.PNG, b"abcdef")
    made.settle()
    found = {
        "watermark": {"state": "found", "payload": b"abcdef".hex()},
        "prints": inspect_file(out.getvalue(), with_prints=True).as_dict()["prints"],
    }
    assert made.look_up(found) == {
        "watermark": {"state": "found", "record": RECORD},
        "fingerprint": {"state": "none", "record": None},
    }
    made.close()


def test_a_store_that_is_away_costs_fingerprints_and_is_counted(
    copies: Copies, counted: Counter[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread goes on: what comes later is kept."""

    def away(works: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(copies._store, "keep", away)
        copies.keep_text(RECORD, WORDS)
        copies.settle()
    copies.keep_text(RECORD, WORDS)
    copies.keep_text(RECORD, "too short for one")
    copies.settle()
    assert counted == {("text", DROPPED): 1, ("text", KEPT): 1, ("text", NOTHING): 1}


def test_a_keeper_that_is_behind_drops_and_counts(
    copies: Copies, counted: Counter[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it, and memory stays bounded."""
    monkeypatch.setattr(copies_module, "_MOST_WAITING_BYTES", 10)
    copies.keep_text(RECORD, WORDS)
    monkeypatch.undo()
    copies.keep_text(RECORD, WORDS)
    copies.settle()
    assert counted == {("text", DROPPED): 1, ("text", KEPT): 1}


def test_a_command_uses_the_store_of_its_data_folder(tmp_path: Path) -> None:
    """Where there is none, or nothing is kept, there is nothing to use; a broken one says so."""
    home, _ = Home.create(tmp_path / "home", "example.test/copies")
    with copies_in(home.path, Label(), time.time) as made:
        assert made is not None
        made.keep_text(RECORD, WORDS)
    with copies_in(home.path, Label(), time.time) as again:
        assert again is not None and again.look_up({}, WORDS)["fingerprint"]["record"] == RECORD
    with copies_in(tmp_path / "nowhere", Label(), time.time) as none:
        assert none is None
    with copies_in(home.path, Label(watermark="off", fingerprints="off"), time.time) as none:
        assert none is None
    for path in home.path.glob("fingerprints.db*"):
        path.unlink()
    home.fingerprints.write_bytes(b"this is no database" * 100)
    with pytest.raises(LabelError, match="cannot be used"), copies_in(home.path, Label(), time.time):
        pass


def test_a_labelled_picture_of_an_answer_is_kept(copies: Copies, tmp_path: Path) -> None:
    """Whoever labels media hands them on with the mark they got."""
    home = Home.create(tmp_path / "home", "example.test/media")[0]
    settings = Settings.model_validate({"base_dir": tmp_path})
    files = file_labels(settings, load(["cn"]), "001191110000MA00000AAT10001", home.path / "keys")
    media = MediaLabels(files, 1, 1 << 24, copies=copies)
    out = io.BytesIO()
    scene(93).save(out, "PNG")

    async def label() -> LabeledFile:
        try:
            return await media.label(out.getvalue(), "image/png", RECORD)
        finally:
            await media.close()

    labelled = asyncio.run(label())
    copies.settle()
    found = inspect_file(labelled.data, watermark=Waves(home.watermark_key()), with_prints=True).as_dict()
    ours = {"state": "found", "record": RECORD}
    assert led_to(copies, found) == {"watermark": ours, "fingerprint": ours}
