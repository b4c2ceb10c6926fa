# SPDX-License-Identifier: Apache-2.0
"""The model's side of a realtime session: each event goes to the response that it belongs to, or is looked at whole.

A response that the model begins by itself, because it heard the person stop, is admitted like one that was asked for.
What the person said and the model wrote down is a prompt: a hit takes the item out of the conversation again, and ends
the answers that are under way. Events of no response that nobody here knows are dropped, and so are events of responses
that were never begun or have ended: what is out of order has no place to go.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import structlog

from content_filter import Outcome as Finding
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Outcome, Prompt, PromptText
from gateway.messages import MESSAGES
from gateway.realtime_client import refuse_response
from gateway.realtime_hearing import Heard
from gateway.realtime_line import OURS, Pending, SessionLine
from gateway.realtime_response import RealtimeResponse
from gateway.realtime_sound import sound_format
from gateway.upstream import UpstreamFailure
from gateway.wires.framing import encoded
from gateway.wires.json_text import clean, loads_event, strings
from gateway.wires.realtime import error_event
from gateway.wires.realtime_writer import written

log = structlog.get_logger("dutybound.exchange")

_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."
_SESSIONS: Final = frozenset({"session.created", "session.updated", "transcription_session.updated"})
_KNOWN: Final = _SESSIONS | frozenset(
    {
        "conversation.created", "conversation.item.created", "conversation.item.added", "conversation.item.done",
        "conversation.item.deleted", "conversation.item.truncated", "conversation.item.retrieved",
        "input_audio_buffer.committed", "input_audio_buffer.cleared", "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped", "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.dtmf_event_received", "output_audio_buffer.started", "output_audio_buffer.stopped",
        "output_audio_buffer.cleared", "rate_limits.updated", "mcp_list_tools.in_progress",
        "mcp_list_tools.completed", "mcp_list_tools.failed", "error",
    }
)  # fmt: skip
_MOST_HEARD: Final = 64
_STOPPED_BY_PROMPT: Final = Decision(
    "content_filter", Verdict.BLOCK, Action.STOP, reason="input_transcript", role="prompt"
)


class UpstreamSide:
    """Takes the model's events, in order."""

    def __init__(self, line: SessionLine) -> None:
        self._line = line
        self._heard: OrderedDict[str, Heard] = OrderedDict()

    async def take(self, text: str) -> None:
        """One event. Raises `UpstreamFailure` for what is none, and what the log raised."""
        try:
            tree = loads_event(text.encode("utf-8", "surrogatepass"))
        except ValueError:
            raise UpstreamFailure("upstream_invalid", 502) from None
        if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
            raise UpstreamFailure("upstream_invalid", 502)
        kind: str = tree["type"]
        if kind.startswith(_TRANSCRIPTION):
            await self._transcription(kind.removeprefix(_TRANSCRIPTION), tree, text)
        elif kind == "response.created":
            await self._created(tree, text)
        elif (response := self._owner(tree)) is not None:
            await self._feed(response, tree, text)
        elif kind in _KNOWN:
            await self._known(kind, tree, text)
        else:
            log.warning("upstream_event_dropped")

    # Responses.

    async def _created(self, tree: dict[str, Any], raw: str) -> None:
        line = self._line
        response = tree.get("response")
        if not isinstance(response, dict) or not isinstance(response.get("id"), str):
            raise UpstreamFailure("upstream_invalid", 502)
        name: str = response["id"]
        if name in line.responses:
            raise UpstreamFailure("upstream_invalid", 502)
        if line.pending:
            held = line.pending.popleft().held
        else:
            held = line.hold(Prompt(line.model, True, [], {}))
            try:
                self._check_turn(held.exchange.language)
                await held.admit()
            except Refusal as refusal:
                held.exchange.outcome = Outcome.REFUSED
                if refusal.decision not in held.exchange.decisions:
                    held.exchange.decide(refusal.decision)
                line.cancel(name)
                await refuse_response(line, held, refusal, None, name)
                return
            held.open()
            held.exchange.asked_at = line.house.clock()
        await self._feed(line.begin(held, response, name), tree, raw)

    def _check_turn(self, language: str) -> None:
        """Raises `Refusal` where the turn that is answered was refused, or the session is being ended."""
        line = self._line
        if line.refused_turn is not None:
            decision, line.refused_turn = line.refused_turn, None
            message = MESSAGES["prompt_refused"][language or "zh"]
            raise Refusal(decision, status=400, code="content_filter", message=message, in_band=True)
        if line.ending is not None:
            over = line.ending
            decision = Decision("session", Verdict.BLOCK, Action.REFUSE, reason="session_ending")
            raise Refusal(decision, status=over.status or 400, code=over.code, message=over.message)

    def _owner(self, tree: Mapping[str, Any]) -> RealtimeResponse | None:
        """The response that an event belongs to."""
        responses = self._line.responses
        response = tree.get("response")
        name = tree.get("response_id") or (response.get("id") if isinstance(response, dict) else None)
        if isinstance(name, str):
            return responses.get(name)
        item = tree.get("item")
        item_id = item.get("id") if isinstance(item, dict) else tree.get("item_id")
        if not isinstance(item_id, str):
            return None
        return next((response for response in responses.values() if response.owns(item_id)), None)

    async def _feed(self, response: RealtimeResponse, tree: dict[str, Any], raw: str) -> None:
        line = self._line
        await response.feed(tree, raw)
        if response.labelled[0] and response.labelled[0] not in line.label_ms:
            line.labelled(*response.labelled)
        if tree["type"] == "response.done":
            line.ended(response)

    # What belongs to no response.

    async def _known(self, kind: str, tree: dict[str, Any], raw: str) -> None:
        line = self._line
        if kind == "error" and await self._is_answered(tree):
            return
        if kind in _SESSIONS and isinstance(tree.get("session"), dict):
            line.sound = sound_format(tree["session"])
            line.is_transcribed = _is_transcribed(tree["session"])
        elif kind == "input_audio_buffer.committed":
            line.refused_turn = None
        elif kind == "conversation.item.truncated":
            label_ms = line.label_ms.get(str(tree.get("item_id")), 0)
            if label_ms and isinstance(tree.get("audio_end_ms"), int):
                tree["audio_end_ms"] += label_ms
                raw = ""
        elif isinstance(tree.get("item"), dict) and self._refill(tree["item"]):
            raw = ""
        if self._may_leave(tree):
            await line.say(written(tree, raw))
        else:
            message = MESSAGES["answer_stopped"][line.language or "zh"]
            await line.say(error_event(line.new_id(), 502, "content_filter", message, None))

    async def _is_answered(self, tree: Mapping[str, Any]) -> bool:
        """Whether an error was dealt with: it is about an event of ours, or about a response that the model refused."""
        line = self._line
        error = tree.get("error")
        about = error.get("event_id") if isinstance(error, dict) else None
        found: Pending | None = next((item for item in line.pending if item.about == about), None)
        if found is not None:
            line.pending.remove(found)
            found.held.exchange.upstream_status = 400
            await found.held.close(Outcome.UPSTREAM_REFUSED)
            assert isinstance(error, dict)
            error["event_id"] = found.own_id
            if not self._may_leave(tree):
                error["message"] = "The model behind this service refused the request."
                for member in [key for key in error if key not in ("message", "event_id")]:
                    error[member] = None
                error["type"] = error["code"] = "upstream_error"
            await line.say(encoded({"type": "error", "event_id": line.new_id(), "error": error}).decode())
            return True
        return isinstance(about, str) and about.startswith(OURS)

    def _refill(self, item: dict[str, Any]) -> bool:
        """Make an item that the model made say what was let out of it; whether anything was changed."""
        if item.get("role") != "assistant" or not isinstance(item.get("content"), list):
            return False
        said = self._line.said.get(str(item.get("id")))
        is_changed = False
        for place, content in enumerate(item["content"]):
            if not isinstance(content, dict):
                continue
            if content.get("audio") is not None:
                content["audio"] = None
                is_changed = True
            for member in ("text", "transcript"):
                if said is not None and isinstance(content.get(member), str):
                    content[member] = said.get(place, "")
                    is_changed = True
        return is_changed

    def _may_leave(self, tree: Mapping[str, Any]) -> bool:
        """Whether nothing in an event says what an answer may not say."""
        try:
            texts = [clean(text) for _, text in strings(tree, "")]
        except ValueError:
            return False
        return self._line.house.filter.current.check_texts(texts, "answer")[1].verdict in (Finding.PASS, Finding.FLAG)

    # What the person said.

    async def _transcription(self, what: str, tree: dict[str, Any], raw: str) -> None:
        line = self._line
        item_id = str(tree.get("item_id"))
        heard = self._heard.get(item_id)
        if heard is None:
            heard = self._heard[item_id] = Heard(line.house.filter.current)
            if len(self._heard) > _MOST_HEARD:
                self._heard.popitem(last=False)
        if heard.is_refused or what not in ("delta", "completed", "segment", "failed"):
            return
        said = tree.get("delta" if what == "delta" else "transcript" if what == "completed" else "text")
        text = clean(said) if isinstance(said, str) else ""
        if what == "delta":
            released = heard.feed(text)
            if released is None:
                await self._refuse_turn(item_id, heard)
            elif released:
                await line.say(encoded({**tree, "delta": released, "logprobs": None}).decode())
            return
        if what == "completed":
            if (rest := heard.close()) is None:
                await self._refuse_turn(item_id, heard)
                return
            if rest:
                delta = {"type": f"{_TRANSCRIPTION}delta", "event_id": line.new_id(), "item_id": item_id}
                place = tree.get("content_index", 0)
                await line.say(encoded({**delta, "content_index": place, "delta": rest}).decode())
        if not await self._admit_turn(item_id, heard, text):
            return
        if "logprobs" in tree:
            tree["logprobs"], raw = None, ""
        if self._may_leave(tree):
            await line.say(written(tree, raw))

    async def _admit_turn(self, item_id: str, heard: Heard, text: str) -> bool:
        """Check what the person said as a prompt; whether it may stay."""
        if not text:
            return True
        line = self._line
        prompt = Prompt(
            line.model, False, [PromptText("input_audio_transcription", "user", text)], {"transcript": text}
        )
        held = line.hold(prompt, is_generative=False)
        try:
            await held.admit()
        except Refusal as refusal:
            await held.close()
            heard.is_refused = True
            await self._take_back(item_id, refusal, held.exchange.record_id)
            return False
        line.heard(held)
        held.exchange.status = 200
        await held.close()
        return True

    async def _refuse_turn(self, item_id: str, heard: Heard) -> None:
        """The guard found a word before the transcript was complete: the whole of it is refused by the same duty."""
        await self._admit_turn(item_id, heard, heard.text)
        heard.is_refused = True

    async def _take_back(self, item_id: str, refusal: Refusal, record: str) -> None:
        line = self._line
        line.order({"type": "conversation.item.delete", "item_id": item_id})
        answers = line.open_responses()
        await line.refuse(refusal, None, record)
        if not answers:
            line.refused_turn = refusal.decision
        await asyncio.gather(*(response.stop(_STOPPED_BY_PROMPT) for response in answers))


def _is_transcribed(session: Mapping[str, Any]) -> bool:
    """Whether a session writes down what it hears, in the current or the beta form."""
    audio = session.get("audio")
    heard = audio.get("input") if isinstance(audio, Mapping) else None
    return bool(heard.get("transcription") if isinstance(heard, Mapping) else session.get("input_audio_transcription"))
