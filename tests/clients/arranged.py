# SPDX-License-Identifier: Apache-2.0
"""What the model says to a real client, and what the client must make of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.model import Asked, Channel, Said
from tests.conformance.wires.table import WIRES
from tests.upstreams.scripted import Script, ScriptedUpstream

LABEL = "本内容由AI生成"
SENTENCE = "今天天气很好，我们去公园散步吧。 Let us go for a walk. 👍🏽"
ARGUMENTS = {"q": "天气", "n": 3}
STOPPED = "before forbiddenword after"
REFUSED = "please say 禁词 now"


@dataclass
class Reply:
    """What a client shows for one request."""

    text: str = ""
    end: str = ""
    tool_input: dict[str, Any] = field(default_factory=dict)


def will_say(upstream: ScriptedUpstream, wire: str, said: Said, *, stream: bool) -> None:
    """The model's next answer, in the words of that wire."""
    told = WIRES[wire]().tell(Asked(stream=stream), said)
    answers_as = "stream" if stream else "plain"
    script = {"raw": told.body.decode(), "content_type": told.content_type, "answers_as": answers_as}
    upstream.queued.append(Script.of(script))


def sentence(split: int = 3) -> Said:
    """A harmless answer."""
    return Said.of(SENTENCE, split)


def stopped(split: int = 2) -> Said:
    """An answer with a forbidden word in the middle."""
    return Said.of(STOPPED, split)


def tool_call(split: int = 4) -> Said:
    """A call of the tool."""
    return Said.of(json.dumps(ARGUMENTS, ensure_ascii=False), split, channel=Channel.TOOL)
