# SPDX-License-Identifier: Apache-2.0
"""The wires that the suite can speak, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.conformance.model import Wire
from tests.conformance.wires.anthropic_messages import AnthropicMessages
from tests.conformance.wires.dashscope import DashScope, DashScopeCumulative
from tests.conformance.wires.gemini import Gemini, GeminiArray
from tests.conformance.wires.ollama import OllamaChat, OllamaGenerate
from tests.conformance.wires.openai_chat import OpenAIChat
from tests.conformance.wires.openai_completions import OpenAICompletions
from tests.conformance.wires.openai_responses import OpenAIResponses

WIRES: Mapping[str, Callable[[], Wire]] = {
    "openai_chat": OpenAIChat,
    "openai_completions": OpenAICompletions,
    "openai_responses": OpenAIResponses,
    "anthropic_messages": AnthropicMessages,
    "gemini": Gemini,
    "gemini_array": GeminiArray,
    "ollama_chat": OllamaChat,
    "ollama_generate": OllamaGenerate,
    "dashscope": DashScope,
    "dashscope_cumulative": DashScopeCumulative,
}
