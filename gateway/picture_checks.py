# SPDX-License-Identifier: Apache-2.0
"""Pictures in prompts and answers, looked at before they go on (Interim Measures articles 4(1) and 14).

What looks at them is set: lists of known pictures, a model, words inside, plug-ins (`content_filter.pictures`). Looking
takes time, so it is done in a bounded number of threads and within a bounded time; what was seen before is remembered
by keyed hash, because a conversation repeats its pictures.

What must hold: with checks set, a picture that cannot be looked at is treated as one that must not pass; a check that
breaks or takes too long breaks its stage; where nothing is set, nothing is searched for. A picture in a prompt that is
only an address is never fetched from here: it passes or is refused, by setting.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from content_filter import FilterError, Role
from content_filter import Outcome as Finding
from content_filter import Verdict as Judgement
from content_filter.cached import VerdictMemory
from content_filter.pictures import PictureCheck, UnreadablePicture, judge_picture
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.events import End, Event, Finish, Media
from gateway.exchange import Exchange, Outcome, Prompt
from gateway.filtering import CONTENT_FILTER
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.wires.form import FormPrompt
from labeling.errors import LabelError
from labeling.sniff import sniff

DUTY = "picture_check"

_MOST_WAITING = 64
_NO_PICTURES = frozenset({"tools", "functions", "response_format", "metadata", "tool_choice"})
_TEXTS = frozenset({"text", "content", "input_text", "prompt"})
_MIMES = ("media_type", "mimeType", "mime_type")
_ADDRESSES = ("http://", "https://", "gs://", "oss://", "file://")
_FORM_FIELDS = frozenset({"image", "image[]", "mask", "input_reference"})
_MOST_DEPTH = 64


@dataclass(frozen=True, slots=True)
class PicturesInUse:
    """What is done about pictures. `stops_prompt` and `stops_answer` say whether a finding refuses or is noted."""

    checks: tuple[PictureCheck, ...]
    passes_links: bool = True
    stops_prompt: bool = True
    stops_answer: bool = True
    most_pixels: int = 50_000_000
    most_pictures: int = 50
    timeout_s: float = 10.0


class PictureRoom:
    """Looks at pictures in threads: one object a process, made after any fork."""

    def __init__(self, rules: PicturesInUse, threads: int, memory: VerdictMemory) -> None:
        self.rules = rules
        self._memory = memory
        self._pool = ThreadPoolExecutor(threads, "pictures")
        self._limit = threads + _MOST_WAITING
        self._pending = 0
        self._counting = threading.Lock()

    async def judge(self, data: bytes, role: Role) -> Judgement:
        """The verdict on one picture. Raises `UnreadablePicture`, `TimeoutError`, and what a check raises."""
        name = hashlib.sha256(data).hexdigest()
        known = self._memory.get(name, role)
        if known is not None:
            return known
        with self._counting:
            if self._pending >= self._limit:
                raise FilterError("too many pictures wait to be looked at; raise content_filter.pictures.threads")
            self._pending += 1
        rules = self.rules
        work = self._pool.submit(judge_picture, data, rules.checks, role, rules.most_pixels)
        work.add_done_callback(self._done)  # also where whoever waited has gone: the thread goes on to its end
        async with asyncio.timeout(rules.timeout_s):
            said = await asyncio.wrap_future(work)
        self._memory.put(name, role, said)
        return said

    def forget(self) -> None:
        """What was said before counts no more: the filter of texts has changed, and words are judged by it."""
        self._memory.clear()

    async def close(self) -> None:
        """Finish what was begun, drop what waits."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _done(self, _: Future[Judgement]) -> None:
        with self._counting:
            self._pending -= 1


class PromptPictures:
    """The duty on prompts."""

    def __init__(self, room: PictureRoom | None) -> None:
        self._room = room

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` on a hit, and what a check raises where it breaks."""
        room, prompt = self._room, exchange.prompt
        if room is None or prompt is None:
            return
        rules = room.rules
        found = list(pictures_of(prompt, rules.most_pictures + 1))
        if len(found) > rules.most_pictures:
            raise _refusal(exchange, _decision("too_many"), "prompt_refused")
        for number, item in enumerate(found):
            where = f"picture.{number}"
            if item is None:
                if not rules.passes_links:
                    raise _refusal(exchange, _decision("link", where), "picture_link_refused")
            elif rules.checks:
                self._take(exchange, await _seen(room, item, Role.PROMPT), where)

    def _take(self, exchange: Exchange, said: Judgement | None, where: str) -> None:
        assert self._room is not None
        if said is not None and said.verdict is Finding.PASS:
            return
        is_stop = self._room.rules.stops_prompt and (said is None or said.verdict is Finding.BLOCK)
        action = Action.REFUSE if is_stop else Action.ALLOW
        decision = _decision("unreadable", where, action) if said is None else _found(said, action, where)
        if is_stop:
            raise _refusal(exchange, decision, "prompt_refused")
        exchange.decide(decision)


class AnswerPictures:
    """The duty on one answer: its pictures before they get their labels."""

    def __init__(self, exchange: Exchange, room: PictureRoom | None) -> None:
        self._exchange = exchange
        self._room = room if room is not None and room.rules.checks else None
        self._number = 0

    async def label(self, events: Sequence[Event]) -> Sequence[Event]:
        """`events`, or the end of the answer where one of their pictures must not leave."""
        room = self._room
        if room is None or self._exchange.outcome is Outcome.STOPPED:
            return events
        for event in events:
            if not isinstance(event, Media) or not event.data or not _is_picture(event):
                continue
            said = await _seen(room, event.data, Role.ANSWER)
            where, self._number = f"picture.{self._number}", self._number + 1
            if said is not None and said.verdict is Finding.PASS:
                continue
            is_stop = room.rules.stops_answer and (said is None or said.verdict is Finding.BLOCK)
            action = Action.STOP if is_stop else Action.ALLOW
            if said is None:
                decision = _decision("unreadable", where, action, "answer")
            else:
                decision = _found(said, action, where, "answer")
            self._exchange.decide(decision)
            if is_stop:
                return self._stopped(events)
        return events

    def concerns(self, events: Sequence[Event]) -> bool:
        """Texts are the business of others."""
        return False

    async def label_texts(self, events: Sequence[Event]) -> list[Event]:
        """Texts as they are."""
        return list(events)

    def cut_texts(self, events: Sequence[Event]) -> list[Event]:
        """Texts as they are."""
        return list(events)

    def _stopped(self, events: Sequence[Event]) -> list[Event]:
        self._exchange.outcome = Outcome.STOPPED
        choices = dict.fromkeys(event.choice for event in events if isinstance(event, Finish | Media)) or {0: None}
        return [*(Finish(max(choice, 0), CONTENT_FILTER) for choice in choices), End()]


def _is_picture(event: Media) -> bool:
    """Whether a medium is a picture, by its type, or by its bytes where the wire names none."""
    if event.mime and event.mime != "application/octet-stream":
        return event.mime.startswith("image/")
    try:
        return sniff(event.data).medium == "image"
    except LabelError:
        return False  # of no known format: it gets no label, and does not leave


async def _seen(room: PictureRoom, data: bytes, role: Role) -> Judgement | None:
    """The verdict; None for a picture that cannot be looked at."""
    try:
        return await room.judge(data, role)
    except UnreadablePicture:
        return None


def _decision(reason: str, where: str = "", action: Action = Action.REFUSE, role: str = "prompt") -> Decision:
    return Decision(DUTY, Verdict.BLOCK, action, reason=reason, role=role, channel=where)


def _found(said: Judgement, action: Action, where: str, role: str = "prompt") -> Decision:
    return Decision(
        DUTY,
        Verdict(said.verdict.value),
        action,
        reason="picture",
        class_=said.class_code,
        rule=said.rule,
        score_bp=said.score_bp,
        role=role,
        channel=where,
    )


def _refusal(exchange: Exchange, decision: Decision, words: str) -> Refusal:
    message = MESSAGES[words][language_of_prompt(exchange)]
    return Refusal(decision, status=400, code="content_filter", message=message, in_band=True)


def pictures_of(prompt: Prompt, most: int) -> Iterator[bytes | None]:
    """The pictures of a prompt, at most so many; None for one that is only an address or a name.

    What cannot be decoded is given as it is: no check will be able to read it.
    """
    if isinstance(prompt, FormPrompt):
        for part in prompt.parts:
            if part.is_file and (part.name in _FORM_FIELDS or part.content_type.startswith("image/")):
                yield part.data
        return
    left = most
    for found in _walk(prompt.body, "", False, 0):
        if left == 0:
            return
        left -= 1
        yield found


def _walk(value: Any, key: str, is_picture: bool, depth: int) -> Iterator[bytes | None]:
    """The wires say pictures in a dozen ways; what they share is a data URL, a media type, or a name with `image`."""
    if depth > _MOST_DEPTH or key in _NO_PICTURES:
        return
    if isinstance(value, str):
        head = value[:64].lstrip().lower()
        if head.startswith("data:"):
            if key not in _TEXTS and (head.startswith("data:image/") or is_picture):
                yield _decoded(value.partition(",")[2])
        elif is_picture and head.startswith(_ADDRESSES):
            yield None
        elif key == "images" and value:
            yield _decoded(value)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, key, is_picture, depth + 1)
    elif isinstance(value, Mapping):
        mime = next((value[name] for name in _MIMES if isinstance(value.get(name), str)), "")
        kind = value.get("type")
        is_picture = is_picture or mime.startswith("image/") or (isinstance(kind, str) and "image" in kind)
        data = value.get("data")
        if mime.startswith("image/") and isinstance(data, str):
            yield _decoded(data)
            return
        if is_picture and any(isinstance(value.get(name), str) and value[name] for name in ("file_id", "fileId")):
            yield None
        for name, item in value.items():
            if isinstance(item, (str, list, Mapping)):
                yield from _walk(item, name, is_picture or "image" in name.lower(), depth + 1)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.translate(_URL_SAFE), validate=False)
    except (binascii.Error, ValueError):
        return text[:64].encode("utf-8", "replace")


_URL_SAFE: Mapping[int, int] = str.maketrans("-_", "+/")
