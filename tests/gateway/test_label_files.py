# SPDX-License-Identifier: Apache-2.0
"""The plan of a file's labels follows the policy and the settings, and a chain is never replaced or half used."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.check import findings
from gateway.home import Home
from gateway.label_files import (
    ChainFiles,
    FileLabels,
    SigningKey,
    day_of,
    file_labels,
    manifest_signer,
    text_signer,
    write_chain,
)
from gateway.policies import load
from gateway.settings import Settings, SettingsError
from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_manifest import read_manifest
from labeling.errors import LabelError
from labeling.explicit.audio import AudioLabel
from labeling.file import label_file
from labeling.sniff import FileFormat
from labeling.watermark import Waves, payload_of
from tests.labeling.conftest import encoded, picture

RECORD = "0199a000-0000-7000-8000-000000000001"
CODE = "001191110000MA00000AAT10001"
NOW = 1_790_000_000.0


def made(base: Path, keys: Path | None = None, **label: Any) -> FileLabels:
    """The labels of a service with these settings."""
    settings = Settings.model_validate({"label": label, "base_dir": base})
    return file_labels(settings, load(["cn"]), CODE, keys)


def test_the_height_comes_from_the_policy_and_the_rest_from_the_settings(tmp_path: Path) -> None:
    """5 % of the shorter side (GB 45438-2025 clause 5.2), the operator's words and corner."""
    labels = made(tmp_path, image_words="人工智能合成", image_corner="top-left")
    assert (labels.image.height_bp, labels.image.words, labels.image.corner) == (500, "人工智能合成", "top-left")
    assert labels.words == load(["cn"]).text("label.text.zh")
    plan = labels.plan(RECORD)
    assert (plan.label.content_producer, plan.label.produce_id, plan.explicit) == (CODE, RECORD, "required")


@pytest.mark.parametrize("words", ["AI", "生成", "made by a machine", "SAID生成"])
def test_words_without_both_elements_are_refused(tmp_path: Path, words: str) -> None:
    """A label that is none would be worse than an error."""
    with pytest.raises(SettingsError, match="image_words"):
        made(tmp_path, image_words=words)


def test_a_font_or_clip_that_is_away_or_no_clip_is_refused(tmp_path: Path) -> None:
    """At start, not at the first picture."""
    (tmp_path / "noise.wav").write_bytes(b"noise")
    with pytest.raises(SettingsError, match="image_font"):
        made(tmp_path, image_font="missing.ttf")
    with pytest.raises(OSError):
        made(tmp_path, voice_clip="missing.wav")
    with pytest.raises(SettingsError, match="WAV"):
        made(tmp_path, voice_clip="noise.wav")


def test_an_interface_that_labels_sounds_needs_no_audible_label(tmp_path: Path) -> None:
    """Article 4(2) allows either; without such an interface the label must be in the sound."""
    audible, shown = made(tmp_path), made(tmp_path, sound="interface")
    assert audible.audio == AudioLabel()
    assert audible.plan_for_answer(RECORD, FileFormat.MP3, 99).explicit == "required"
    assert (shown.audio, shown.plan_for_answer(RECORD, FileFormat.MP3, 99).explicit) == (None, "where-possible")
    assert shown.plan_for_answer(RECORD, FileFormat.PNG, 99).explicit == "required"


def test_a_chain_is_made_once_and_signs(tmp_path: Path) -> None:
    """The key is its owner's alone; what is signed is trusted by whoever knows the root."""
    assert manifest_signer(Settings(), tmp_path) is None
    assert ChainFiles.of(tmp_path).expires_at() is None
    files = write_chain(tmp_path, "示例科技有限公司", 30, lambda: NOW)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o400
    assert files.expires_at() == NOW + 30 * 86_400
    assert day_of(NOW) == "2026-09-21"
    before = files.key.read_bytes()
    with pytest.raises(SettingsError, match="nothing was changed"):
        write_chain(tmp_path, "x", 30, lambda: NOW)
    assert files.key.read_bytes() == before


def test_a_picture_is_signed_with_the_chain(tmp_path: Path) -> None:
    """And one in a format that holds no manifest is not signed inside an answer."""
    write_chain(tmp_path, "Example Ltd", 30, time.time)
    labels = made(tmp_path, tmp_path)
    done = label_file(encoded(picture(200, 200), "PNG"), labels.plan_for_answer(RECORD, FileFormat.PNG, 1 << 20))
    root = ChainFiles.of(tmp_path).root_pem()
    assert read_manifest(done.data, FileFormat.PNG, trust_anchors_pem=root).state == "trusted"
    assert labels.plan_for_answer(RECORD, FileFormat.OPUS, 99).signer is None
    assert labels.plan(RECORD).signer is labels.signer is not None


def test_config_check_says_what_keeps_files_from_being_labelled(tmp_path: Path) -> None:
    """Errors before the first picture; a certificate that ends soon is a warning, because text still leaves."""

    def found(**label: Any) -> dict[str, tuple[str, str]]:
        settings = Settings.model_validate({"label": label, "base_dir": tmp_path, "home": tmp_path})
        return {item.key: (item.level, item.text) for item in findings(settings)}

    assert not {"keys", "label.image_words"} & found().keys()
    assert found(image_words="AI")["label.image_words"][0] == "error"
    assert found(voice_clip="missing.wav")["label.voice_clip"][0] == "error"
    keys = tmp_path / "keys"
    keys.mkdir()
    files = write_chain(keys, "Example Ltd", 10, time.time)
    level, text = found()["keys"]
    assert level == "warning" and day_of(time.time() + 10 * 86_400) in text
    files.chain.chmod(0o600)
    files.chain.write_bytes(b"no certificate")
    assert found()["keys"][0] == "error"
    files.chain.unlink()
    assert files.chain.name in found()["keys"][1]


@pytest.mark.parametrize("lost", ["key", "chain", "root"])
def test_half_a_chain_refuses_to_start(tmp_path: Path, lost: str) -> None:
    """Signing must not end because a file was not restored."""
    files = write_chain(tmp_path, "Example Ltd", 30, lambda: NOW)
    path: Path = getattr(files, lost)
    path.unlink()
    with pytest.raises(SettingsError, match=path.name):
        manifest_signer(Settings(), tmp_path)


def test_damaged_chains_are_refused(tmp_path: Path) -> None:
    """A key or a certificate that cannot be read."""
    files = write_chain(tmp_path, "Example Ltd", 30, lambda: NOW)
    files.key.chmod(0o600)
    files.key.write_bytes(b"no key")
    with pytest.raises(LabelError):
        manifest_signer(Settings(), tmp_path)
    with pytest.raises(SettingsError, match="label:"):
        made(tmp_path, tmp_path)
    files.chain.chmod(0o600)
    files.chain.write_bytes(b"no certificate")
    with pytest.raises(SettingsError, match="no certificate"):
        files.expires_at()


# Keys that live elsewhere.


def provider_of_keys(monkeypatch: pytest.MonkeyPatch, give: Callable[[], object]) -> Settings:
    """Settings that name a function of an installed package."""
    module = ModuleType("our_key_service")
    module.signing_key = give  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Settings.model_validate({"label": {"signer": "our_key_service:signing_key"}})


def test_a_key_of_a_key_service_signs_files_and_texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder's own chain is not asked for; the key never comes here."""
    chain = new_chain("Example Ltd", 30, time.time)
    asked = []

    def sign(content: bytes) -> bytes:
        asked.append(content)
        return file_signer(chain.key_pem)(content)

    given = SigningKey(sign, "es256", chain.chain_pem.decode(), chain.root_pem.decode())
    settings = provider_of_keys(monkeypatch, lambda: given)
    signer = manifest_signer(settings, tmp_path)
    assert signer is not None and asked == []
    png = encoded(picture(), "PNG")
    made = signer.sign(png, FileFormat.PNG)
    assert read_manifest(made.data, FileFormat.PNG, trust_anchors_pem=given.root_pem).state == "trusted"
    assert text_signer(settings, tmp_path) is not None and len(asked) == 2


@pytest.mark.parametrize("given", [RuntimeError("the vault says secret things"), "no key"])
def test_a_function_that_gives_no_key_refuses_to_start(
    given: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message names the setting, and nothing that the key service said."""

    def give() -> object:
        if isinstance(given, Exception):
            raise given
        return given

    with pytest.raises(SettingsError, match=r"label\.signer: our_key_service:signing_key gave") as caught:
        manifest_signer(provider_of_keys(monkeypatch, give), tmp_path)
    assert "secret" not in str(caught.value)


def test_a_package_that_is_not_installed_refuses_to_start(tmp_path: Path) -> None:
    """A spelling mistake must not leave files unsigned."""
    settings = Settings.model_validate({"label": {"signer": "no_such_package:key"}})
    with pytest.raises(SettingsError, match="ModuleNotFoundError"):
        manifest_signer(settings, tmp_path)


@pytest.mark.parametrize("name", ["key", "a:b:c", "a b:c", ":c", "a:"])
def test_a_signer_that_is_no_name_of_a_function_is_refused(name: str) -> None:
    """With the settings, before anything is imported."""
    with pytest.raises(ValueError, match="signer"):
        Settings.model_validate({"label": {"signer": name}})


def test_a_key_that_cannot_sign_texts_refuses_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files can be signed with RSA, texts cannot."""
    chain = new_chain("Example Ltd", 30, time.time)
    given = SigningKey(file_signer(chain.key_pem), "ps256", chain.chain_pem.decode())
    with pytest.raises(SettingsError, match=r"label\.text_manifest"):
        text_signer(provider_of_keys(monkeypatch, lambda: given), tmp_path)


def test_films_get_the_policys_height_and_time_and_may_be_refused() -> None:
    """Numbers come from the policy; whoever wants no films says so."""
    policy = load(["cn"])
    made = file_labels(Settings(), policy, CODE).video
    assert made is not None and (made.seconds, made.image.height_bp) == (2.0, 500)
    off = Settings.model_validate({"label": {"films": "refuse"}})
    assert file_labels(off, policy, CODE).video is None


def test_a_picture_gets_the_mark_of_its_record(tmp_path: Path) -> None:
    """Under the data folder's key; none without a data folder, and none where it is off."""
    home = Home.create(tmp_path / "home")[0]
    keys = home.path / "keys"
    mark = made(tmp_path, keys).plan(RECORD).mark
    assert mark is not None and not mark.is_required
    assert mark.payload == payload_of(home.watermark_key(), RECORD)
    assert mark.watermark == Waves(home.watermark_key())
    required = made(tmp_path, keys, watermark="required").plan(RECORD).mark
    assert required is not None and required.is_required
    assert made(tmp_path).plan(RECORD).mark is None
    assert made(tmp_path, tmp_path).plan(RECORD).mark is None
    assert made(tmp_path, keys, watermark="off").plan(RECORD).mark is None


def test_a_folder_without_a_watermark_key_and_a_damaged_one_refuse(tmp_path: Path) -> None:
    """With the command that mends it; a method that nobody offers is named."""
    keys = Home.create(tmp_path / "home")[0].path / "keys"
    with pytest.raises(SettingsError, match="no installed package offers the watermark unknown"):
        made(tmp_path, keys, watermark_method="unknown")
    key = keys / "watermark.key"
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(SettingsError, match="32 bytes"):
        made(tmp_path, keys)
    key.unlink()
    with pytest.raises(SettingsError, match="dutybound keys new --watermark --home"):
        made(tmp_path, keys)
    assert made(tmp_path, keys, watermark="off").watermark is None
