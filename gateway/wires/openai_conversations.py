# SPDX-License-Identifier: Apache-2.0
"""OpenAI conversations: `/v1/conversations` and their items, as far as they carry what a model reads or has said.

Items that are put into a conversation are a prompt for every answer after them, so they are checked like one. Items
that are read out of it are answers that the upstream has kept, never guarded or labelled, and are treated like one. The
conversation itself is a name with metadata.
"""

from __future__ import annotations

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.openai_errors import error_body
from gateway.wires.openai_responses_answer import ResponseReader
from gateway.wires.openai_responses_request import read_item
from gateway.wires.openai_responses_writer import ResponseWriter
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import add_members, read_object, typed

PATH = "/v1/conversations"
CONVERSATION_PATH = r"/v1/conversations/[A-Za-z0-9_-]{1,256}"
ITEMS_PATH = CONVERSATION_PATH + "/items"
ITEM_PATH = ITEMS_PATH + r"/[A-Za-z0-9_-]{1,256}"

_ITEM_FIELDS = (
    Field("items[]", "looked_at", "as `input` of a response"),
    Field("metadata, (unknown)", "looked_at", "every string, keys included"),
)
_READ_FIELDS = (
    Field("(query)", "passed"),
    Field("< message of the assistant", "labelled", "as in a response"),
    Field("< image_generation_call.result", "labelled"),
    Field("< (all other)", "looked_at", "nothing is shown where one of them says what is forbidden"),
    Field("< aigc", "labelled", "seven keys at top level"),
)


class _Place:
    """What all places of this wire have in common. Only a request that carries items has a body that is read."""

    def __init__(self, method: str) -> None:
        self._method = method

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The items as a prompt; see `Wire`."""
        texts: list[PromptText] = []
        if self._method != "POST":
            return Prompt(model="", stream=False, texts=texts, body={})
        document = read_object(body)
        has_media = False
        for position, item in enumerate(typed(document, "items", list) or ()):
            has_media |= read_item(item, f"items.{position}", texts)
        add_members(document, "", "system", texts, ("items",))
        return Prompt(model="", stream=False, texts=texts, body=document, has_media=has_media)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path and query, and a body made from what was checked."""
        body = orjson.dumps(prompt.body) if self._method == "POST" else b""
        return Call(self._method, path + ("?" + query if query else ""), body)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """There is no in-band form."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class Conversations(_Place):
    """Beginning, asking for, changing and deleting a conversation, and deleting one of its items."""

    name = "openai_conversations"
    is_generative = False
    FIELDS: tuple[Field, ...] = (*_ITEM_FIELDS, Field("< id, metadata, deleted", "passed", "no model says them"))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return PassedReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return PassedWriter()


class ConversationItems(_Place):
    """Putting items into a conversation, which answers with them, and listing what it holds."""

    name = "openai_conversation_items"
    is_generative = True
    FIELDS: tuple[Field, ...] = (*_ITEM_FIELDS, *_READ_FIELDS)

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The items as a prompt; see `Wire`."""
        prompt = super().read_request(path, query, body)
        if self._method == "POST" and not prompt.body.get("items"):
            raise BadRequest("missing_required_parameter", "items is required.", param="items")
        return prompt

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one list."""
        return ResponseReader(prompt, form="list")

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of one list."""
        return ResponseWriter(exchange, form="list")


class ConversationItem(_Place):
    """Asking for one item."""

    name = "openai_conversation_item"
    is_generative = True
    FIELDS: tuple[Field, ...] = _READ_FIELDS

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one item."""
        return ResponseReader(prompt, form="item")

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of one item."""
        return ResponseWriter(exchange, form="item")
