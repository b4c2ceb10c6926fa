# SPDX-License-Identifier: Apache-2.0
"""Dutybound passes its own conformance suite on every generative wire that speaks text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.wires import ROUTES
from tests.conformance.conftest import TARGET
from tests.conformance.suite import Result, Verdict
from tests.conformance.wires.table import WIRES

ELSEWHERE = {
    "dashscope_images", "dashscope_tasks", "openai_conversation_item", "openai_conversation_items",
    "openai_file_content", "openai_image_edits", "openai_images", "openai_realtime", "openai_responses_compact",
    "openai_responses_input_items", "openai_responses_stored", "openai_speech", "openai_transcripts",
    "openai_video_content", "openai_video_tasks", "openai_videos",
}  # fmt: skip
"""Generative wires that the suite does not speak: media, files, answers that were asked for before, and sessions over
WebSocket. Their own tests hold them to the same promises."""


@pytest.mark.parametrize("wire", TARGET.wires)
def test_every_check_passes_on_every_wire(judge: Callable[[str], list[Result]], wire: str) -> None:
    """Nothing fails, and nothing is left out but what the wire itself cannot express."""
    results = judge(wire)
    assert not [f"{result.check}: {result.note}" for result in results if result.verdict is Verdict.FAILED]
    left_out = [result.note for result in results if result.verdict is Verdict.NOT_APPLICABLE]
    assert all(note.startswith("the wire has no ") for note in left_out), left_out


def test_the_target_names_every_wire() -> None:
    """A generative wire that is served is judged here, or stands on the list of those that are judged elsewhere."""
    served = {route.wire.name for route in ROUTES if route.wire.is_generative}
    assert served == ELSEWHERE | (served & set(TARGET.wires))
    assert set(TARGET.wires) == set(WIRES)
