# SPDX-License-Identifier: Apache-2.0
"""Invisible watermarks: a mark in the pixels that leads back to the record when all metadata are gone.

The EU's code of practice on article 50 of the AI Act asks for an imperceptible mark beside signed metadata; the
Labeling Measures (article 5) encourage one. The mark holds no words: 48 bits, a keyed hash of the record's id, which
mean nothing to whoever has not the key and the record. Sounds have none here, only fingerprints
(:mod:`labeling.fingerprint`); :class:`Watermark` is what a method of somebody else's has to offer.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import entry_points
from typing import ClassVar, Final, Protocol, runtime_checkable

from PIL import Image

from labeling.errors import LabelError
from labeling.watermark.carriers import KEY_BYTES
from labeling.watermark.code import PAYLOAD_BYTES
from labeling.watermark.detection import find_mark, holds_mark
from labeling.watermark.embedding import is_markable, mark_image, why_not

__all__ = ["GROUP", "KEY_BYTES", "PAYLOAD_BYTES", "Watermark", "Waves", "learned", "payload_of"]

GROUP: Final = "dutybound.watermarks"
"""Entry points under which installed packages offer learned watermarks: a callable that takes the key (32 bytes) and
gives a :class:`Watermark`."""


@runtime_checkable
class Watermark(Protocol):
    """A method of marking images. Safe to share between threads."""

    @property
    def name(self) -> str:
        """What records and reports call it."""
        ...

    def why_not(self, image: Image.Image) -> str:
        """Why this image cannot be marked, for people; empty where it can."""
        ...

    def mark(self, image: Image.Image, payload: bytes) -> Image.Image:
        """A copy with ``payload`` (``PAYLOAD_BYTES``) in it; same size and mode. Raises :class:`LabelError`."""
        ...

    def holds(self, image: Image.Image, payload: bytes) -> bool:
        """Whether an image that was just marked and encoded holds the payload."""
        ...

    def find(self, image: Image.Image) -> bytes | None:
        """The payload, or None, also where the image was cropped, turned or resized since."""
        ...


@dataclass(frozen=True, slots=True)
class Waves:
    """Our own method, under a key of ``KEY_BYTES``. Raises :class:`LabelError` for a key of another length."""

    NAME: ClassVar[str] = "waves"
    key: bytes = field(repr=False)
    name: str = NAME

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise LabelError(f"a watermark key has {KEY_BYTES} bytes; make one with a secure random source")

    def why_not(self, image: Image.Image) -> str:
        """Why this image cannot be marked; empty where it can."""
        return "" if is_markable(image) else why_not(image)

    def mark(self, image: Image.Image, payload: bytes) -> Image.Image:
        """A copy with the payload in it."""
        return mark_image(image, payload, self.key)

    def holds(self, image: Image.Image, payload: bytes) -> bool:
        """Whether an image that was just marked and encoded holds the payload."""
        return holds_mark(image, payload, self.key)

    def find(self, image: Image.Image) -> bytes | None:
        """The payload, or None."""
        found = find_mark(image, self.key)
        return None if found is None else found.payload


def payload_of(key: bytes, record_id: str) -> bytes:
    """What stands in the mark of a record: 48 bits of HMAC-SHA256 over its id."""
    return hmac.digest(key, b"dutybound watermark payload 1\0" + record_id.encode(), sha256)[:PAYLOAD_BYTES]


def learned(name: str, key: bytes) -> Watermark:
    """The method that an installed package offers under ``name``.

    Raises :class:`LabelError` where no package offers it, or it is none.
    """
    offered = entry_points(group=GROUP, name=name)
    if not offered:
        raise LabelError(f"no installed package offers the watermark {name}; install one, or use waves")
    try:
        made = next(iter(offered)).load()(key)
    except Exception as error:  # a stranger's code: whatever it raises means that it cannot be used
        raise LabelError(f"the watermark {name} cannot be loaded ({type(error).__name__})") from None
    if not isinstance(made, Watermark):
        raise LabelError(f"what is offered as watermark {name} is none: it lacks name, why_not, mark, holds or find")
    return made
