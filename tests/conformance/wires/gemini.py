# SPDX-License-Identifier: Apache-2.0
"""Google Gemini `generateContent` and its stream: as server-sent events, and as one JSON array."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google import genai
from google.genai import errors, types

from tests.conformance.model import TOOL_NAME, Answer, Asked, Can, Channel, Piece, Request, Said, Told
from tests.conformance.wires.replay import Replay

USAGE = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
_STOPS = frozenset({"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"})


def _part(piece: Piece) -> dict[str, Any]:
    if piece.channel is Channel.TOOL:
        return {"functionCall": {"name": TOOL_NAME, "args": json.loads(piece.text)}}
    return {"text": piece.text, "thought": True} if piece.channel is Channel.REASONING else {"text": piece.text}


def _candidate(choice: int, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"index": choice, "content": {"role": "model", "parts": parts}, **more}


class Gemini:
    """`POST /v1beta/models/m:generateContent`, streamed with `alt=sse`."""

    name = "gemini"
    sdk = "google-genai"
    can = frozenset(Can) - {Can.TOOL_PIECES}
    query = "?alt=sse"

    def __init__(self) -> None:
        self._replay = Replay()
        self._client = genai.Client(
            api_key="x",
            http_options=types.HttpOptions(base_url="http://gateway", httpx_client=self._replay.client),
        )

    def request(self, asked: Asked) -> Request:
        """See `Wire`."""
        contents: list[dict[str, Any]] = []
        if asked.earlier is not None:
            contents.append({"role": "user", "parts": [{"text": asked.earlier[0]}]})
            contents.append({"role": "model", "parts": [{"text": asked.earlier[1]}]})
        contents.append({"role": "user", "parts": [{"text": text} for text in (asked.prompt, *asked.parts)]})
        if asked.tool_result:
            call = {"functionCall": {"name": TOOL_NAME, "args": {}}}
            result = {"functionResponse": {"name": TOOL_NAME, "response": {"result": asked.tool_result}}}
            contents += [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
        config: dict[str, Any] = {"candidateCount": asked.choices} if asked.choices > 1 else {}
        if asked.as_json:
            config["responseMimeType"] = "application/json"
        body: dict[str, Any] = {"contents": contents, "generationConfig": config}
        if asked.system:
            body["systemInstruction"] = {"parts": [{"text": asked.system}]}
        if asked.with_tool:
            schema = {"type": "OBJECT", "properties": {"q": {"type": "STRING"}}}
            body["tools"] = [{"functionDeclarations": [{"name": TOOL_NAME, "parameters": schema}]}]
        call_ = f"streamGenerateContent{self.query}" if asked.stream else "generateContent"
        return Request(f"/v1beta/models/m:{call_}", body, {"x-goog-api-key": "conformance"})

    def tell(self, asked: Asked, said: Said) -> Told:
        """See `Wire`."""
        said = said.with_whole_tools()
        ends: dict[str, Any] = {"usageMetadata": USAGE, "modelVersion": "m"}
        if not asked.stream:
            candidates = [
                _candidate(
                    choice, [_part(piece) for piece in said.pieces if piece.choice == choice], finishReason="STOP"
                )
                for choice in said.choices
            ]
            return Told((said.dumps({"candidates": candidates, **ends}).encode(),), "application/json")
        documents = [{"candidates": [_candidate(piece.choice, [_part(piece)])]} for piece in said.pieces]
        last = [_candidate(choice, [{"text": ""}], finishReason="STOP") for choice in said.choices]
        return self._framed([said.dumps(document) for document in (*documents, {"candidates": last, **ends})])

    def _framed(self, documents: list[str]) -> Told:
        return Told(tuple(f"data: {document}\r\n\r\n".encode() for document in documents), "text/event-stream")

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Wire`."""
        answer = Answer()
        try:
            for part in self._parts(asked, status, headers, body):
                self._take(answer, part)
        except errors.APIError as error:
            answer.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever it is, it is the finding
            answer.fault = f"{type(error).__name__}: {error}"
        answer.is_stopped = answer.is_stopped or bool(_STOPS & set(answer.ends.values()))
        return answer

    def _parts(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        self._replay.put(status, headers, body)
        if asked.stream:
            return self._client.models.generate_content_stream(model="m", contents="x")
        return [self._client.models.generate_content(model="m", contents="x")]

    @staticmethod
    def _take(answer: Answer, part: types.GenerateContentResponse) -> None:
        if part.prompt_feedback is not None and part.prompt_feedback.block_reason is not None:
            answer.is_stopped = True
        for candidate in part.candidates or ():
            choice = candidate.index or 0
            for item in (candidate.content.parts or ()) if candidate.content else ():
                answer.add(choice, Channel.REASONING if item.thought else Channel.ANSWER, item.text)
                if item.function_call is not None:
                    answer.add(choice, Channel.TOOL, json.dumps(item.function_call.args or {}, ensure_ascii=False))
            if candidate.finish_reason is not None:
                answer.ends[choice] = str(candidate.finish_reason.value)


class GeminiArray(Gemini):
    """The stream without `alt=sse`: one JSON array, piece by piece."""

    name = "gemini_array"
    sdk = "types of google-genai; no SDK reads the array"
    query = ""

    def _framed(self, documents: list[str]) -> Told:
        frames = [("[" if number == 0 else ",\r\n") + document for number, document in enumerate(documents)]
        return Told(tuple(frame.encode() for frame in (*frames, "]")), "application/json")

    def _parts(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        if not asked.stream or status >= 400:
            return super()._parts(asked, status, headers, body)
        return self._items(json.loads(body))

    @staticmethod
    def _items(documents: list[dict[str, Any]]) -> Any:
        for document in documents:
            if "error" in document:
                raise errors.APIError(document["error"].get("code", 500), document)
            # As every API client must, this one ignores members that it does not know.
            known = {key: value for key, value in document.items() if key not in ("aigc", "notices")}
            yield types.GenerateContentResponse.model_validate(known)
