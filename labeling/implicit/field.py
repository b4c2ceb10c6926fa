# SPDX-License-Identifier: Apache-2.0
"""A place in a file that holds an implicit label, as a reader met it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AigcField:
    """One field named AIGC.

    ``place`` says where in the file it stands, in the words of the format. ``value`` is what stands there, not yet
    parsed. ``is_guide_place`` says whether the practice guide for the format puts the label there.
    """

    place: str
    value: str | bytes | Mapping[str, object]
    is_guide_place: bool
