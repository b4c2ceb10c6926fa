# SPDX-License-Identifier: Apache-2.0
"""The last door before a medium leaves: no writer lets out a picture, sound, film or document that nobody labelled.

The duty that labels media makes labelled `Media` events of those that the reader made. This check stands behind it, so
that a way through the house without that duty serves no media at all (Labeling Measures articles 4 and 5).
"""

from __future__ import annotations

from gateway.events import Event, Media
from gateway.wires.interfaces import BadAnswer

UNLABELLED = "unlabelled_media"


def require_labelled(event: Event) -> None:
    """Raises `BadAnswer` for a medium without its label."""
    if isinstance(event, Media) and not event.is_labelled:
        raise BadAnswer(UNLABELLED)
