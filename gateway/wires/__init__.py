# SPDX-License-Identifier: Apache-2.0
"""The wires that this gateway speaks, and where each is found. Any other path is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.wires import (
    anthropic_messages,
    dashscope,
    gemini,
    ollama,
    openai_audio,
    openai_chat,
    openai_completions,
    openai_conversations,
    openai_embeddings,
    openai_files,
    openai_images,
    openai_models,
    openai_moderations,
    openai_responses,
    openai_videos,
    realtime,
)
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadAnswer, BadRequest, Call, Wire

__all__ = ["ROUTES", "AnswerReader", "AnswerWriter", "BadAnswer", "BadRequest", "Call", "Route", "Table", "Wire"]


@dataclass(frozen=True, slots=True)
class Route:
    """One place of a wire. `path` is exact, or a regular expression where `is_pattern`."""

    method: str
    path: str
    wire: Wire
    is_pattern: bool = False


_MODELS = openai_models.OpenAIModels()
_DASHSCOPE = dashscope.DashScopeGeneration()
_BATCHED: Mapping[str, Wire] = {
    openai_chat.PATH: openai_chat.OpenAIChat(),
    openai_completions.PATH: openai_completions.OpenAICompletions(),
    openai_responses.PATH: openai_responses.OpenAIResponses(),
    openai_embeddings.PATH: openai_embeddings.OpenAIEmbeddings(),
    openai_moderations.PATH: openai_moderations.OpenAIModerations(),
    openai_images.GENERATIONS_PATH: openai_images.OpenAIImages(),
}
"""What a batch may ask."""

ROUTES: tuple[Route, ...] = (
    Route("POST", openai_chat.PATH, openai_chat.OpenAIChat()),
    Route("GET", openai_models.PATH, _MODELS),
    Route("POST", openai_completions.PATH, openai_completions.OpenAICompletions()),
    Route("POST", openai_responses.PATH, openai_responses.OpenAIResponses()),
    Route("POST", openai_responses.TOKENS_PATH, openai_responses.ResponseInputTokens()),
    Route("POST", openai_responses.COMPACT_PATH, openai_responses.CompactedResponse()),
    Route("POST", openai_conversations.PATH, openai_conversations.Conversations("POST")),
    *(
        Route(verb, openai_conversations.CONVERSATION_PATH, openai_conversations.Conversations(verb), is_pattern=True)
        for verb in ("GET", "POST", "DELETE")
    ),
    Route("GET", openai_conversations.ITEMS_PATH, openai_conversations.ConversationItems("GET"), is_pattern=True),
    Route("POST", openai_conversations.ITEMS_PATH, openai_conversations.ConversationItems("POST"), is_pattern=True),
    Route("GET", openai_conversations.ITEM_PATH, openai_conversations.ConversationItem("GET"), is_pattern=True),
    Route("DELETE", openai_conversations.ITEM_PATH, openai_conversations.Conversations("DELETE"), is_pattern=True),
    Route("GET", openai_responses.STORED_PATH, openai_responses.StoredResponse("GET"), is_pattern=True),
    Route("POST", openai_responses.CANCEL_PATH, openai_responses.StoredResponse("POST"), is_pattern=True),
    Route("GET", openai_responses.ITEMS_PATH, openai_responses.ResponseInputItems(), is_pattern=True),
    Route("DELETE", openai_responses.STORED_PATH, openai_responses.DeletedResponse(), is_pattern=True),
    Route("POST", openai_embeddings.PATH, openai_embeddings.OpenAIEmbeddings()),
    Route("POST", openai_moderations.PATH, openai_moderations.OpenAIModerations()),
    Route("POST", openai_images.GENERATIONS_PATH, openai_images.OpenAIImages()),
    *(Route("POST", path, openai_images.OpenAIImageForms()) for path in openai_images.FORM_PATHS),
    Route("POST", openai_audio.SPEECH_PATH, openai_audio.OpenAISpeech()),
    *(Route("POST", path, openai_audio.OpenAITranscripts()) for path in openai_audio.TRANSCRIPT_PATHS),
    Route("POST", openai_files.FILES_PATH, openai_files.OpenAIFileUpload(_BATCHED)),
    Route("GET", openai_files.FILES_PATH, openai_files.OpenAIFiles("GET")),
    Route("GET", openai_files.FILE_PATH, openai_files.OpenAIFiles("GET"), is_pattern=True),
    Route("DELETE", openai_files.FILE_PATH, openai_files.OpenAIFiles("DELETE"), is_pattern=True),
    Route("GET", openai_files.CONTENT_PATH, openai_files.OpenAIFileContent(), is_pattern=True),
    Route("POST", openai_files.BATCHES_PATH, openai_files.OpenAIBatches(tuple(_BATCHED))),
    Route("GET", openai_files.BATCHES_PATH, openai_files.OpenAIFiles("GET")),
    Route("GET", openai_files.BATCH_PATH, openai_files.OpenAIFiles("GET"), is_pattern=True),
    Route("POST", openai_files.CANCEL_PATH, openai_files.OpenAIFiles("POST"), is_pattern=True),
    *(Route("POST", path, openai_videos.OpenAIVideos()) for path in openai_videos.BEGIN_PATHS),
    Route("POST", openai_videos.REMIX_PATH, openai_videos.OpenAIVideos(), is_pattern=True),
    Route("GET", openai_videos.PATH, openai_videos.OpenAIVideoTasks("GET")),
    Route("GET", openai_videos.VIDEO_PATH, openai_videos.OpenAIVideoTasks("GET"), is_pattern=True),
    Route("DELETE", openai_videos.VIDEO_PATH, openai_videos.OpenAIVideoTasks("DELETE"), is_pattern=True),
    Route("GET", openai_videos.CONTENT_PATH, openai_videos.OpenAIVideoContent(), is_pattern=True),
    Route("GET", realtime.PATH, realtime.OpenAIRealtime()),
    Route("POST", dashscope.TEXT_PATH, _DASHSCOPE),
    Route("POST", dashscope.MULTIMODAL_PATH, _DASHSCOPE),
    Route("POST", dashscope.IMAGE_PATH, dashscope.DashScopeImageTask()),
    Route("GET", dashscope.TASK_PATH, dashscope.DashScopeTasks(), is_pattern=True),
    Route("POST", ollama.CHAT_PATH, ollama.OllamaChat()),
    Route("POST", ollama.GENERATE_PATH, ollama.OllamaGenerate()),
    *(Route("POST", path, ollama.OllamaPassed("ollama_embeddings", "POST")) for path in ollama.EMBED_PATHS),
    *(Route("GET", path, ollama.OllamaPassed("ollama_models", "GET")) for path in ollama.LIST_PATHS),
    Route("POST", ollama.SHOW_PATH, ollama.OllamaPassed("ollama_models", "POST")),
    Route("POST", anthropic_messages.PATH, anthropic_messages.AnthropicMessages()),
    Route("POST", anthropic_messages.COUNT_PATH, anthropic_messages.AnthropicCountTokens()),
    Route("POST", gemini.PATH, gemini.Gemini(), is_pattern=True),
    Route("POST", gemini.COUNT_PATH, gemini.GeminiCountTokens(), is_pattern=True),
    Route("GET", gemini.MODELS_PATH, gemini.GeminiModels()),
    Route("GET", gemini.MODEL_PATH, gemini.GeminiModels(), is_pattern=True),
    Route("GET", r"/v1/models/[A-Za-z0-9._:/+-]{1,256}", _MODELS, is_pattern=True),
)


class Table:
    """Finds the wire of a request: one dictionary look-up for exact paths, patterns only after that."""

    def __init__(self, routes: Sequence[Route] = ROUTES) -> None:
        self._exact: Mapping[tuple[str, str], Wire] = {
            (route.method, route.path): route.wire for route in routes if not route.is_pattern
        }
        self._patterns = [(route.method, re.compile(route.path), route.wire) for route in routes if route.is_pattern]

    def find(self, method: str, path: str) -> Wire | None:
        """The wire that answers `method path`, or None."""
        wire = self._exact.get((method, path))
        if wire is not None:
            return wire
        return next((wire for verb, wire in self._matching(path) if verb == method), None)

    def methods(self, path: str) -> list[str]:
        """The methods that `path` knows, for 405."""
        exact = {method for method, known in self._exact if known == path}
        return sorted(exact | {method for method, _ in self._matching(path)})

    def _matching(self, path: str) -> Iterator[tuple[str, Wire]]:
        """Methods and wires whose pattern is `path`; a path that climbs would be another one for the upstream."""
        if not {".", ".."}.isdisjoint(path.split("/")):
            return
        for method, shape, wire in self._patterns:
            if shape.fullmatch(path):
                yield method, wire
