# SPDX-License-Identifier: Apache-2.0
"""The wires that this gateway speaks, and where each is found. Any other path is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.wires import (
    ollama,
    openai_chat,
    openai_embeddings,
    openai_models,
    openai_moderations,
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

ROUTES: tuple[Route, ...] = (
    Route("POST", openai_chat.PATH, openai_chat.OpenAIChat()),
    Route("GET", openai_models.PATH, _MODELS),
    Route("POST", openai_embeddings.PATH, openai_embeddings.OpenAIEmbeddings()),
    Route("POST", openai_moderations.PATH, openai_moderations.OpenAIModerations()),
    Route("POST", ollama.CHAT_PATH, ollama.OllamaChat()),
    Route("POST", ollama.GENERATE_PATH, ollama.OllamaGenerate()),
    *(Route("POST", path, ollama.OllamaPassed("ollama_embeddings", "POST")) for path in ollama.EMBED_PATHS),
    *(Route("GET", path, ollama.OllamaPassed("ollama_models", "GET")) for path in ollama.LIST_PATHS),
    Route("POST", ollama.SHOW_PATH, ollama.OllamaPassed("ollama_models", "POST")),
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
        return next((wire for verb, shape, wire in self._patterns if verb == method and shape.fullmatch(path)), None)

    def methods(self, path: str) -> list[str]:
        """The methods that `path` knows, for 405."""
        exact = {method for method, known in self._exact if known == path}
        return sorted(exact | {method for method, shape, _ in self._patterns if shape.fullmatch(path)})
