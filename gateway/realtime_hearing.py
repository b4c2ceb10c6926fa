# SPDX-License-Identifier: Apache-2.0
"""What a person says in a realtime session, while the model's side writes it down: guarded piece by piece.

A transcript is a prompt that comes back to the client, so a forbidden word must leave neither way: what may become a
part of one waits, as in answers, and a term that would only be masked in an answer refuses a prompt.
"""

from __future__ import annotations

from content_filter import ContentFilter

_MOST_CHARS = 1_000_000


class Heard:
    """One item that is being written down."""

    def __init__(self, current: ContentFilter) -> None:
        self.is_refused = False
        self._guard = current.guard()
        self._text = ""
        self._left = 0
        self._is_closed = False

    @property
    def text(self) -> str:
        """All of it so far."""
        return self._text

    def feed(self, text: str) -> str | None:
        """What may leave now; None where it may not go on."""
        if self._is_closed:
            return ""
        if len(self._text) + len(text) > _MOST_CHARS:
            return None
        self._text += text
        step = self._guard.feed(text)
        if step.match is not None or step.replacements:
            return None
        return self._release(step.release)

    def close(self) -> str | None:
        """What still waited, at the end; None where it may not leave."""
        if self._is_closed or not self._text:
            return ""
        self._is_closed = True
        step = self._guard.close()
        if step.match is not None or step.replacements:
            return None
        return self._release(len(self._text))

    def _release(self, until: int) -> str:
        released = self._text[self._left : until]
        self._left = max(self._left, until)
        return released
