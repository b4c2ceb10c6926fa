# SPDX-License-Identifier: Apache-2.0
"""The methods of marking: ours, and those that packages offer."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from PIL import Image

import labeling.watermark
from labeling.errors import LabelError
from labeling.watermark import GROUP, PAYLOAD_BYTES, Watermark, Waves, learned, payload_of
from tests.labeling.watermark.pictures import KEY, PAYLOAD, scene

RECORD = "0199f0c4-0000-7000-8000-000000000001"


def test_our_method_is_one() -> None:
    """It marks, checks and finds; its key stays out of what is printed."""
    waves: Watermark = Waves(KEY)
    assert isinstance(waves, Watermark)
    marked = waves.mark(scene(51), PAYLOAD)
    assert waves.why_not(marked) == "" and waves.holds(marked, PAYLOAD) and waves.find(marked) == PAYLOAD
    assert "too small" in waves.why_not(Image.new("L", (9, 9)))
    assert KEY.hex() not in repr(waves) and repr(KEY) not in repr(waves)


def test_a_payload_belongs_to_a_record_and_a_key() -> None:
    """Six bytes, always the same, of which nobody without the key makes the record."""
    payload = payload_of(KEY, RECORD)
    assert len(payload) == PAYLOAD_BYTES and payload == payload_of(KEY, RECORD)
    assert payload not in (payload_of(bytes(32), RECORD), payload_of(KEY, RECORD[:-1] + "2"))


class Offered:
    """What a package with weights would offer."""

    name = "offered"

    def __init__(self, key: bytes) -> None:
        self.key = key

    def why_not(self, image: Image.Image) -> str:
        return ""

    def mark(self, image: Image.Image, payload: bytes) -> Image.Image:
        return image

    def holds(self, image: Image.Image, payload: bytes) -> bool:
        return True

    def find(self, image: Image.Image) -> bytes | None:
        return PAYLOAD


def refuse(key: bytes) -> Watermark:
    """A package without its weights."""
    raise RuntimeError("no weights")


def offering(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if a package had been installed that offers one of the above."""
    point = EntryPoint("learned", f"{__name__}:{name}", GROUP)
    loader: Callable[[EntryPoint], object] = lambda point: globals()[point.value.partition(":")[2]]  # noqa: E731
    monkeypatch.setattr(EntryPoint, "load", loader)
    monkeypatch.setattr(labeling.watermark, "entry_points", lambda **asked: EntryPoints([point]).select(**asked))


def test_an_installed_method_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made with the key."""
    offering(monkeypatch, "Offered")
    method = learned("learned", KEY)
    assert isinstance(method, Offered) and method.key == KEY


@pytest.mark.parametrize(("offered", "name", "match"), [
    ("Offered", "unknown", "no installed package"), ("refuse", "learned", "RuntimeError"), ("str", "learned", "lacks")
])  # fmt: skip
def test_what_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, offered: str, name: str, match: str) -> None:
    """Not installed, without weights, or no method at all."""
    offering(monkeypatch, offered)
    monkeypatch.setitem(globals(), "str", str)
    with pytest.raises(LabelError, match=match):
        learned(name, KEY)
