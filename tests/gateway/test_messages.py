# SPDX-License-Identifier: Apache-2.0
"""What people read exists in both languages and names a next step."""

from __future__ import annotations

import pytest

from gateway.language import LANGUAGES
from gateway.messages import MESSAGES
from labeling import language_of


@pytest.mark.parametrize("name", list(MESSAGES))
def test_every_message_is_there_in_every_language(name: str) -> None:
    """And in that language."""
    assert MESSAGES[name].keys() == set(LANGUAGES)
    for language, text in MESSAGES[name].items():
        assert language_of(text) == language


@pytest.mark.parametrize("name", list(MESSAGES))
def test_every_message_says_what_to_do_next(name: str) -> None:
    """Try again, or complain; on one line."""
    for text in MESSAGES[name].values():
        assert any(step in text for step in ("/duty/complaints", "{appeal}", "Try again", "重试"))
        assert text.isprintable()
