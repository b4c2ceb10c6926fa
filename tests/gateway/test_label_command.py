# SPDX-License-Identifier: Apache-2.0
"""The command line labels files whole or not at all, reads them back, and its exit status says which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from audit_log import open_reader, verify_home
from gateway.cli import app
from gateway.home import Home
from labeling.aigc import AigcLabel
from labeling.c2pa_manifest import read_manifest
from labeling.implicit import read, write
from labeling.sniff import FileFormat
from tests.labeling.conftest import encoded, picture
from tests.labeling.explicit.test_pdf import signed
from tests.labeling.watermark.pictures import scene

RUNNER = CliRunner()
RECORD = "0199a000-0000-7000-8000-000000000001"
CONFIG = '[service]\nprovider = "Example Ltd"\nprovider_code = "001191110000MA00000AAT10001"\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A data folder with a provider."""
    made = Home.create(tmp_path / "home")[0]
    (made.path / "dutybound.toml").write_text(CONFIG)
    return made


@pytest.fixture
def png(tmp_path: Path) -> Path:
    """A picture."""
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(picture(200, 160), "PNG"))
    return path


def run(home: Home | Path, *words: object, status: int = 0) -> str:
    """A command that ends with `status`; what it said."""
    path = home.path if isinstance(home, Home) else home
    done = RUNNER.invoke(app, [*(str(word) for word in words), "--home", str(path)])
    assert done.exit_code == status, done.output
    return done.output


def leaves(home: Home) -> list[dict[str, Any]]:
    """Every record but the writers' own."""
    reader, store = open_reader(home.audit)
    try:
        found = [json.loads(leaf) for leaf in store.leaves(0, reader.size())]
    finally:
        store.close()
    return [leaf for leaf in found if leaf["type"] not in ("boot", "shutdown")]


def outcomes(made: dict[str, Any]) -> dict[str, str]:
    """What became of each step."""
    return {step["step"]: step["outcome"] for step in made["steps"]}


def test_a_picture_gets_all_labels_and_inspects_as_met(home: Home, png: Path) -> None:
    """Visible, hidden and signed; trusted by the folder's own root; the record is the one that was named."""
    run(home, "keys", "new", "--c2pa")
    out = png.with_name("labelled.png")
    made = json.loads(run(home, "label", "add", png, "-o", out, "--record", RECORD, "--json"))
    done = {"read": "done", "explicit": "done", "watermark": "skipped", "implicit": "done", "manifest": "done"}
    assert outcomes(made) == done
    assert (made["record"], made["label"]["ProduceID"], made["sidecar"]) == (RECORD, RECORD, None)
    root = (home.path / "keys/c2pa.root.pem").read_text()
    assert read_manifest(out.read_bytes(), FileFormat.PNG, trust_anchors_pem=root).state == "trusted"
    found = json.loads(run(home, "label", "inspect", out, "--json"))
    assert (found["verdict"], found["manifest"]["state"]) == ("generated", "trusted")
    assert {rule["rule"]: rule["met"] for rule in found["rules"]}["manifest"] is True
    assert "trusted" in run(home, "label", "inspect", out)


def test_without_a_data_folder_a_file_is_labelled_too(tmp_path: Path, png: Path) -> None:
    """With the settings' defaults and without a manifest."""
    out = png.with_name("labelled.png")
    said = run(tmp_path / "nowhere", "label", "add", png, "-o", out)
    assert "implicit: done" in said
    assert read_manifest(out.read_bytes(), FileFormat.PNG).state == "none"
    assert len(read(out.read_bytes(), FileFormat.PNG)) == 1


def test_a_text_gets_its_words_and_a_manifest_beside_it(home: Home, tmp_path: Path) -> None:
    """Both are read again from the two files; changed, they break."""
    run(home, "keys", "new", "--c2pa")
    text, out = tmp_path / "a.txt", tmp_path / "b.txt"
    text.write_text("正文\n")
    made = json.loads(run(home, "label", "add", text, "-o", out, "--json"))
    assert made["sidecar"] == f"{out}.c2pa"
    assert out.read_text().endswith("正文\n")
    found = json.loads(run(home, "label", "inspect", out, "--json"))
    assert (found["verdict"], found["manifest"]["state"], found["findings"]) == ("generated", "trusted", [])
    out.write_text(out.read_text() + "more")
    run(home, "label", "inspect", out, status=1)
    assert json.loads(run(home, "label", "inspect", text, "--json", status=1))["verdict"] == "unlabelled"


def test_markdown_is_known_by_its_name(home: Home, tmp_path: Path) -> None:
    """Its bytes are those of any text."""
    note, out = tmp_path / "a.md", tmp_path / "b.md"
    note.write_text("# Title\n")
    assert json.loads(run(home, "label", "add", note, "-o", out, "--json"))["mime"] == "text/markdown"
    assert json.loads(run(home, "label", "inspect", out, "--json"))["format"] == "Markdown"


def test_inspecting_says_broken_and_unread_apart(home: Home, png: Path) -> None:
    """1: read and not conforming. 2: not read."""
    assert "BROKEN GB 45438-2025 6.1:" in run(home, "label", "inspect", png, status=1)
    foreign = AigcLabel("1", "someone", "x").as_json().replace("someone", "some one")
    png.write_bytes(encoded(picture(), "PNG", pnginfo=text_chunk(foreign)))
    said = run(home, "label", "inspect", png, status=1)
    assert "breaks rules" in said and "ContentProducer some one" in said
    png.write_bytes(b"\x80\x81\x82\x83")
    run(home, "label", "inspect", png, status=2)
    run(home, "label", "inspect", png.with_name("missing"), status=2)


def text_chunk(value: str) -> object:
    """A text chunk named AIGC."""
    made = PngInfo()
    made.add_text("AIGC", value)
    return made


def test_nothing_is_written_over_another_file(home: Home, png: Path) -> None:
    """Not the input, not an output, not a manifest that lies there."""
    before = png.read_bytes()
    out = png.with_name("b.png")
    run(home, "label", "add", png, "-o", png, status=2)
    png.with_name("b.png.c2pa").write_bytes(b"of another file")
    run(home, "label", "add", png, "-o", out, status=2)
    assert png.read_bytes() == before
    assert not out.exists()


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"\x00\x01\x02\x03\x04", b""])
def test_what_cannot_be_labelled_is_not_written(home: Home, tmp_path: Path, data: bytes) -> None:
    """Exit status 2, one line, no file."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    said = run(home, "label", "add", source, "-o", out, status=2)
    assert said.startswith("dutybound: ") and said.count("\n") == 1
    assert not out.exists()


def test_a_format_without_a_visible_label_needs_a_word_that_it_shows_one(home: Home, tmp_path: Path) -> None:
    """The steps say that nobody checked it."""
    source, out = tmp_path / "a.mp3", tmp_path / "b.mp3"
    source.write_bytes((b"\xff\xfb\x90\x00" + bytes(413)) * 20)
    run(home, "label", "add", source, "-o", out, status=2)
    made = json.loads(run(home, "label", "add", source, "-o", out, "--explicit-present", "--json"))
    [step] = [step for step in made["steps"] if step["step"] == "explicit"]
    assert step["outcome"] == "kept" and "nobody checked" in step["detail"]
    run(home, "label", "inspect", out)


def test_a_signed_document_gets_its_label_beside_it(home: Home, tmp_path: Path) -> None:
    """Refused without a word, and left byte for byte with one."""
    source, out = tmp_path / "a.pdf", tmp_path / "b.pdf"
    source.write_bytes(signed())
    run(home, "label", "add", source, "-o", out, status=2)
    run(home, "label", "add", source, "-o", out, "--beside", status=2)  # there is no chain yet
    run(home, "keys", "new", "--c2pa")
    made = json.loads(run(home, "label", "add", source, "-o", out, "--beside", "--json"))
    assert outcomes(made) == {"explicit": "not-possible", "implicit": "not-possible", "manifest": "done"}
    assert out.read_bytes() == source.read_bytes() and Path(made["sidecar"]).stat().st_size > 1_000


def test_an_upload_of_others_is_passed_on_with_our_name(home: Home, png: Path) -> None:
    """Or not written at all, where nothing says that it is generated."""
    out = png.with_name("b.png")
    run(home, "label", "propagate", png, "-o", out, status=1)
    assert not out.exists()
    said = run(home, "label", "propagate", png, "-o", out, "--declared", "--id", "post-7")
    assert said.startswith("may be generated (declared)") and "可能" in said
    run(home, "label", "propagate", png, "-o", out, "--declared", status=2)
    told = json.loads(run(home, "label", "propagate", out, "-o", png.with_name("c.png"), "--suspected", "--json"))
    assert (told["origin"], told["basis"], told["label"]["PropagateID"]) == ("may be generated", ["label"], "post-7")


def test_an_interface_that_labels_sounds_lets_packed_sounds_through(home: Home, tmp_path: Path) -> None:
    """MP3 cannot carry the rhythm; by default it is refused."""
    source, out = tmp_path / "a.mp3", tmp_path / "b.mp3"
    source.write_bytes((b"\xff\xfb\x90\x00" + bytes(413)) * 20)
    run(home, "label", "add", source, "-o", out, status=2)
    (home.path / "dutybound.toml").write_text(CONFIG + '[label]\nsound = "interface"\n')
    assert outcomes(json.loads(run(home, "label", "add", source, "-o", out, "--json")))["explicit"] == "not-possible"


def test_a_label_of_another_service_is_kept(home: Home, png: Path) -> None:
    """Its producer stays, we are the propagator (article 6)."""
    theirs = AigcLabel("1", "001191440300708461136T1XGW3", "theirs-1")
    png.write_bytes(write(png.read_bytes(), FileFormat.PNG, theirs))
    made = json.loads(run(home, "label", "add", png, "-o", png.with_name("b.png"), "--record", RECORD, "--json"))
    assert (made["label"]["ContentProducer"], made["label"]["ProduceID"]) == (theirs.content_producer, "theirs-1")
    assert made["label"]["PropagateID"] == RECORD


def test_the_visible_label_stays_without_a_grant(home: Home, png: Path) -> None:
    """Article 9; an id of something else, a grant without use, and a wrong record id are refused."""
    out = png.with_name("b.png")
    cases: Sequence[tuple[Sequence[str], str]] = (
        (["--no-explicit"], "article"),
        (["--no-explicit", "--grant", RECORD], "no such grant"),
        (["--grant", RECORD], "--no-explicit"),
        (["--record", "mine"], "--record"),
    )
    for words, reason in cases:
        assert reason in run(home, "label", "add", png, "-o", out, *words, status=2)
    assert not out.exists()


def test_a_granted_file_is_recorded_before_it_is_written(home: Home, png: Path) -> None:
    """Without the visible label, with the hidden one, whose number is the record of its use."""
    asked = ("--recipient", "anna", "--agreement", "v1", "--reason", "a film")
    grant = run(home, "label", "grant", *asked).split()[-1]
    out = png.with_name("b.png")
    made = json.loads(run(home, "label", "add", png, "-o", out, "--no-explicit", "--grant", grant, "--json"))
    assert outcomes(made)["explicit"] == "waived"
    [granted, used] = leaves(home)
    assert (granted["id"], granted["event"]) == (grant, "label_grant")
    assert (used["event"], used["grant"]) == ("label_waived", grant)
    assert used["id"] == made["record"] == made["label"]["ProduceID"]
    second = png.with_name("c.png")
    run(home, "label", "add", png, "-o", second, "--no-explicit", "--grant", grant, "--record", RECORD)
    assert leaves(home)[-1]["exchange"] == RECORD
    assert verify_home(home.audit).ok


def test_new_keys_are_recorded_and_never_replace_old_ones(home: Home) -> None:
    """The provider stands in the certificate; the kind must be named."""
    assert "--c2pa" in run(home, "keys", "new", status=2)
    said = run(home, "keys", "new", "--c2pa", "--days", "30")
    assert said.split()[-1] == str(home.path / "keys/c2pa.root.pem")
    [record] = leaves(home)
    assert (record["type"], record["event"]) == ("key", "c2pa_chain")
    key = (home.path / "keys/c2pa.key.pem").read_bytes()
    assert "already" in run(home, "keys", "new", "--c2pa", status=2)
    assert (home.path / "keys/c2pa.key.pem").read_bytes() == key
    run(home.path.with_name("nowhere"), "keys", "new", "--c2pa", status=2)


def test_a_watermark_key_is_made_for_a_folder_without_one(home: Home, png: Path) -> None:
    """Until then files with a mark are refused, with the command; the key is recorded, and never replaced."""
    assert "there already" in run(home, "keys", "new", "--watermark", status=2)
    assert "one kind" in run(home, "keys", "new", "--watermark", "--c2pa", status=2)
    (home.path / "keys/watermark.key").unlink()
    out = png.with_name("b.png")
    assert "keys new --watermark" in run(home, "label", "add", png, "-o", out, status=2)
    assert not out.exists()
    assert "watermark.key" in run(home, "keys", "new", "--watermark")
    assert leaves(home)[-1]["event"] == "watermark_key"
    run(home, "label", "add", png, "-o", out)


def test_a_stripped_copy_leads_back_to_its_record(home: Home, tmp_path: Path) -> None:
    """By its mark and its looks where it was squeezed, by its mark alone where it was cut; a stranger leads nowhere."""
    file, out = tmp_path / "large.png", tmp_path / "labelled.png"
    scene(7, (700, 600)).save(file)
    made = json.loads(run(home, "label", "add", file, "-o", out, "--json"))
    assert outcomes(made)["watermark"] == "done"
    picture = Image.open(out).convert("RGB")
    picture.save(tmp_path / "squeezed.jpg", quality=60)
    picture.rotate(1.5).crop((40, 40, 690, 590)).save(tmp_path / "cut.jpg")
    ours = {"state": "found", "record": made["record"]}
    found = json.loads(run(home, "label", "inspect", tmp_path / "squeezed.jpg", "--json", status=1))
    assert (found["watermark"], found["fingerprint"], found["verdict"]) == (ours, ours, "generated")
    said = run(home, "label", "inspect", tmp_path / "cut.jpg", status=1)
    assert f"watermark of this data folder's key, record {made['record']}" in said
    assert "fingerprint hit" not in said
    strange = json.loads(run(home, "label", "inspect", file.rename(tmp_path / "strange.png"), "--json", status=1))
    assert strange["watermark"] == {"state": "none", "record": None}
    assert strange["fingerprint"] == ours  # it is the picture that was labelled
    scene(8, (700, 600)).save(file)
    assert json.loads(run(home, "label", "inspect", file, "--json", status=1))["fingerprint"]["state"] == "none"
    nowhere = json.loads(run(tmp_path / "nowhere", "label", "inspect", out, "--json"))
    assert nowhere["watermark"] == nowhere["fingerprint"] == {"state": "not-asked", "record": None}
