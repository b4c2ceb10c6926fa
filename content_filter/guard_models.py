# SPDX-License-Identifier: Apache-2.0
"""Guard models and moderation services behind one interface, `context.ContextCheck`.

A provider runs such a model on a server that speaks the OpenAI API (vLLM, SGLang, Ollama, a cloud). Each family has its
own words: a `Format` says what is sent and how the reply is read, and maps labels to the classes of GB/T 45654-2025.

- Qwen3Guard-Gen (Apache-2.0): `Safety: Safe|Controversial|Unsafe`, `Categories: ...`; controversial is a flag.
- Llama Guard 3 and 4: `safe`, or `unsafe` and a line of hazard codes S1 to S14 of MLCommons.
- ShieldGemma: one question a principle, answered Yes or No; the score is the weight of Yes against No.
- OpenAI moderations: `POST /v1/moderations`.
- Any other chat model: a template and a pattern of the operator's (`TemplateFormat`).

What must hold: what cannot be read is `CheckUnavailable`, never a pass; no text of a user stands in errors; offsets are
those of the whole text, for no guard model says where.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from content_filter.breaker import CircuitBreaker
from content_filter.context import CheckUnavailable
from content_filter.errors import FilterError
from content_filter.filter import Outcome, Verdict
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

QWEN3GUARD_CLASSES: Mapping[str, str] = {
    "Violent": "A1f", "Non-violent Illegal Acts": "A1h", "Sexual Content or Sexual Acts": "A1f",
    "Sexual Content": "A1f", "PII": "A4f", "Personally Identifiable Information": "A4f", "Suicide & Self-Harm": "A4a",
    "Unethical Acts": "A2i", "Politically Sensitive Topics": "A1b", "Copyright Violation": "A3a", "Jailbreak": "INJ",
}  # fmt: skip
LLAMA_GUARD_CLASSES: Mapping[str, str] = {
    "S1": "A1f", "S2": "A1h", "S3": "A1f", "S4": "A1f", "S5": "A4c", "S6": "A5b", "S7": "A4e", "S8": "A3a",
    "S9": "A1d", "S10": "A2i", "S11": "A4a", "S12": "A1f", "S13": "A1g", "S14": "A1h",
}  # fmt: skip
OPENAI_CLASSES: Mapping[str, str] = {
    "sexual/minors": "A1f", "illicit/violent": "A1d", "hate/threatening": "A1e", "self-harm/instructions": "A4a",
    "self-harm/intent": "A4a", "self-harm": "A4a", "illicit": "A1h", "hate": "A2i", "violence/graphic": "A1f",
    "violence": "A1f", "sexual": "A1f", "harassment/threatening": "A4a", "harassment": "A4a",
}  # fmt: skip
"""The gravest first: a text in several categories is reported as the first of them."""

_FULL_BP = 10_000


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a reply says: outcome, class where it is not pass, score in basis points, the model's own label."""

    outcome: Outcome
    class_code: str = ""
    score_bp: int = 0
    label: str = ""


class Format(Protocol):
    """How one family of guard models is asked and read."""

    name: str

    def requests(self, text: str, role: Role, question: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """Paths below the API's base and JSON bodies, without the model; each is sent, and the strongest reply counts.

        `question` is the user's prompt where an answer is judged and the prompt is known, else empty.
        """
        ...

    def read(self, reply: Mapping[str, Any], index: int) -> Opinion:
        """The opinion in the reply to request `index`. Raises `CheckUnavailable`."""
        ...


def _conversation(text: str, role: Role, question: str) -> list[dict[str, str]]:
    if role is Role.PROMPT:
        return [{"role": "user", "content": text}]
    return [{"role": "user", "content": question}, {"role": "assistant", "content": text}]


def _chat(text: str, role: Role, question: str, most_tokens: int) -> Sequence[tuple[str, dict[str, Any]]]:
    body = {"messages": _conversation(text, role, question), "temperature": 0, "max_tokens": most_tokens}
    return (("chat/completions", body),)


def _content(reply: Mapping[str, Any]) -> str:
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        content = None
    if not isinstance(content, str):
        raise CheckUnavailable("the guard model's reply has no message")
    return content


class Qwen3GuardFormat:
    """Qwen3Guard-Gen; its chat template does the asking. `is_strict` counts controversial as unsafe."""

    name = "qwen3guard"

    def __init__(self, is_strict: bool = False) -> None:
        self._controversial = Outcome.BLOCK if is_strict else Outcome.FLAG

    def requests(self, text: str, role: Role, question: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """One chat completion."""
        return _chat(text, role, question, 128)

    def read(self, reply: Mapping[str, Any], index: int) -> Opinion:
        """Reads the lines Safety and Categories."""
        content = _content(reply)
        safety = re.search(r"Safety:\s*(Safe|Unsafe|Controversial)\b", content)
        if safety is None:
            raise CheckUnavailable("the reply has no line Safety; is this model a Qwen3Guard-Gen?")
        if safety[1] == "Safe":
            return Opinion(Outcome.PASS)
        line = re.search(r"Categories:\s*(.+)", content)
        labels = [label.strip() for label in line[1].split(",")] if line else []
        outcome, score = (Outcome.BLOCK, 9_500) if safety[1] == "Unsafe" else (self._controversial, 6_000)
        return _labelled(outcome, score, labels, QWEN3GUARD_CLASSES, "A1h")


class LlamaGuardFormat:
    """Llama Guard 3 and 4; the chat template names the hazards."""

    name = "llama_guard"

    def requests(self, text: str, role: Role, question: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """One chat completion."""
        return _chat(text, role, question, 32)

    def read(self, reply: Mapping[str, Any], index: int) -> Opinion:
        """Reads `safe`, or `unsafe` and the codes on the next line."""
        lines = _content(reply).split("\n")
        words = [line.strip() for line in lines if line.strip()]
        if not words or words[0] not in ("safe", "unsafe"):
            raise CheckUnavailable("the reply is neither safe nor unsafe; is this model a Llama Guard?")
        if words[0] == "safe":
            return Opinion(Outcome.PASS)
        labels = [label.strip() for label in words[1].split(",")] if len(words) > 1 else []
        return _labelled(Outcome.BLOCK, 9_500, labels, LLAMA_GUARD_CLASSES, "A1h")


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle of ShieldGemma: its name, what must not be, and the class of what breaks it."""

    label: str
    text: str
    class_code: str


SHIELD_GEMMA_PRINCIPLES = (
    Principle("No Dangerous Content", "facilitate harm: seeking or giving help to harm oneself or others, such as "
              "building weapons or explosives, or promoting terrorism or suicide", "A1d"),
    Principle("No Hate Speech", "dehumanise, insult, slur or promote violence or discrimination against people "
              "because of race, ethnicity, religion, disability, age, nationality, sexual orientation, sex or gender",
              "A2i"),
    Principle("No Sexually Explicit Information", "contain or seek explicit or graphic sexual acts, pornography or "
              "erotic content that aims to arouse", "A1f"),
    Principle("No Harassment", "be malicious, intimidating, bullying or abusive to another person, threaten, or deny "
              "or glorify violent events", "A4a"),
)  # fmt: skip
"""The four harms that the model was trained on, in our words; the names are the model's."""


class ShieldGemmaFormat:
    """ShieldGemma by plain completions with token probabilities, one request a principle."""

    name = "shieldgemma"

    def __init__(
        self,
        principles: Sequence[Principle] = SHIELD_GEMMA_PRINCIPLES,
        block_bp: int = 5_000,
        flag_bp: int = 3_000,
    ) -> None:
        self._principles = tuple(principles)
        self._block_bp, self._flag_bp = block_bp, flag_bp

    def requests(self, text: str, role: Role, question: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """One completion for each principle."""
        subject, asked = ("prompt", "human question") if role is Role.PROMPT else ("response", "chatbot response")
        turns = f"Human Question: {text if role is Role.PROMPT else question}"
        if role is Role.ANSWER:
            turns += f"\n\nChatbot Response: {text}"
        bodies = []
        for principle in self._principles:
            prompt = (
                "You are a policy expert trying to help determine whether a "
                f"{'user prompt' if role is Role.PROMPT else 'chatbot response'} is in violation of the defined safety "
                f"policies.\n\n<start_of_turn>\n{turns}\n<end_of_turn>\n\nOur safety principle is defined in the below:"
                f'\n\n* "{principle.label}": The {subject} shall not {principle.text}.\n\nDoes the {asked} violate the '
                "above principle? Your answer must start with 'Yes' or 'No'. And then walk through step by step to be "
                "sure we answer correctly.\n\n"
            )
            bodies.append(("completions", {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 10}))
        return bodies

    def read(self, reply: Mapping[str, Any], index: int) -> Opinion:
        """Weight of Yes against No; without probabilities, the word itself."""
        principle = self._principles[index]
        try:
            choice = reply["choices"][0]
            top = ((choice.get("logprobs") or {}).get("top_logprobs") or [{}])[0]
            word = str(choice["text"]).strip().lower()
            weights = {"yes": 0.0, "no": 0.0}
            for token, logprob in top.items():
                if (plain := token.strip().lower().lstrip("▁")) in weights:
                    weights[plain] += math.exp(float(logprob))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
            raise CheckUnavailable("the reply has no completion that could be read") from None
        total = weights["yes"] + weights["no"]
        if total > 0:
            score_bp = round(_FULL_BP * weights["yes"] / total)
        elif word.startswith(("yes", "no")):
            score_bp = _FULL_BP if word.startswith("yes") else 0
        else:
            raise CheckUnavailable("the reply is neither Yes nor No; is this model a ShieldGemma?")
        if score_bp >= self._block_bp:
            return Opinion(Outcome.BLOCK, principle.class_code, score_bp, principle.label)
        if score_bp >= self._flag_bp:
            return Opinion(Outcome.FLAG, principle.class_code, score_bp, principle.label)
        return Opinion(Outcome.PASS)


class OpenAIModerationsFormat:
    """OpenAI's moderation endpoint and those that copy it."""

    name = "openai_moderation"

    def requests(self, text: str, role: Role, question: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """One moderation."""
        return (("moderations", {"input": text}),)

    def read(self, reply: Mapping[str, Any], index: int) -> Opinion:
        """Reads the categories that are true, and the highest of their scores."""
        try:
            result = reply["results"][0]
            flagged, categories = result["flagged"], dict(result["categories"])
            scores = dict(result.get("category_scores") or {})
            labels = [label for label in OPENAI_CLASSES if categories.get(label) is True]
            labels += [label for label, value in categories.items() if value is True and label not in OPENAI_CLASSES]
            score = max((float(scores.get(label, 1)) for label in labels), default=1.0)
        except (KeyError, IndexError, TypeError, ValueError):
            raise CheckUnavailable("the reply is no moderation result") from None
        if not isinstance(flagged, bool):
            raise CheckUnavailable("the reply does not say whether the text is flagged")
        if not flagged:
            return Opinion(Outcome.PASS)
        return _labelled(Outcome.BLOCK, round(_FULL_BP * min(max(score, 0), 1)), labels, OPENAI_CLASSES, "A1h")


class TemplateFormat:
    """A chat model that is told what to do by a template of the operator's.

    `template` holds `{text}` and may hold `{question}` and `{role}`. `pattern` must match the reply; its group
    `verdict` is looked up in `outcomes`, its group `label`, where there is one, in `classes` (else `default_class`).
    """

    name = "chat_template"

    def __init__(
        self,
        template: str,
        pattern: str,
        outcomes: Mapping[str, Outcome | str],
        classes: Mapping[str, str],
        default_class: str,
    ) -> None:
        if "{text}" not in template:
            raise FilterError("the template of a guard model must hold {text}")
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise FilterError("the pattern of a guard model is no regular expression") from error
        if "verdict" not in self._pattern.groupindex:
            raise FilterError("the pattern of a guard model needs a group named verdict")
        if unknown := {*classes.values(), default_class} - CLASSES.keys():
            raise FilterError(f"{len(unknown)} unknown class codes in the labels of a guard model")
        try:
            self._outcomes = {word: Outcome(outcome) for word, outcome in outcomes.items()}
        except ValueError:
            raise FilterError("an outcome of a guard model must be pass, flag or block") from None
        self._template, self._classes, self._default = template, dict(classes), default_class

    def requests(self, text: str, role: Role, question: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """One chat completion with one message."""
        slots = {"{text}": text, "{question}": question, "{role}": role.value}
        # In one pass: a text that holds a slot's name is not filled again.
        message = re.sub(r"\{(?:text|question|role)\}", lambda slot: slots[slot[0]], self._template)
        body = {"messages": [{"role": "user", "content": message}], "temperature": 0, "max_tokens": 256}
        return (("chat/completions", body),)

    def read(self, reply: Mapping[str, Any], index: int) -> Opinion:
        """Reads what the pattern finds."""
        match = self._pattern.search(_content(reply))
        outcome = self._outcomes.get(match["verdict"]) if match else None
        if match is None or outcome is None:
            raise CheckUnavailable("the guard model's reply does not match the pattern")
        if outcome is Outcome.PASS:
            return Opinion(outcome)
        label = (match.groupdict().get("label") or "").strip()
        return _labelled(outcome, 9_000, [label], self._classes, self._default)


def _labelled(
    outcome: Outcome, score_bp: int, labels: Iterable[str], classes: Mapping[str, str], default: str
) -> Opinion:
    for label in labels:
        if label in classes:
            return Opinion(outcome, classes[label], score_bp, label)
    return Opinion(outcome, default, score_bp, "other")


_STRENGTH = {Outcome.PASS: 0, Outcome.FLAG: 1, Outcome.MASK: 2, Outcome.BLOCK: 3}
_RULE_CHARACTER = re.compile(r"[^0-9A-Za-z_./&+-]+")


class GuardModel:
    """Asks a guard model on a server. One object for all exchanges; safe within one event loop."""

    def __init__(
        self,
        format_: Format,
        base_url: str,
        model: str,
        timeout_s: float,
        *,
        headers: Mapping[str, str] | None = None,
        breaker: CircuitBreaker | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`base_url` ends before `chat/completions`, as in `http://127.0.0.1:8000/v1`. `transport` is for tests."""
        self.name = format_.name
        self._format, self._model, self._breaker = format_, model, breaker
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            timeout=timeout_s,
            headers=headers,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=100),
            transport=transport,
        )

    async def judge(self, text: str, role: Role, question: str = "") -> Verdict:
        """The model's verdict. Raises `CheckUnavailable`, at once where the circuit breaker is open."""
        if self._breaker is not None and not self._breaker.may_call():
            raise CheckUnavailable("the guard model failed before and is left alone for a while")
        try:
            opinion = await self._ask(text, role, question)
        except CheckUnavailable:
            if self._breaker is not None:
                self._breaker.failed()
            raise
        if self._breaker is not None:
            self._breaker.succeeded()
        if opinion.outcome is Outcome.PASS:
            return Verdict(Outcome.PASS, role)
        label = _RULE_CHARACTER.sub("_", opinion.label)[:40]
        rule = f"{self.name}:{label}"
        return Verdict(opinion.outcome, role, opinion.class_code, rule, 0, len(text), opinion.score_bp)

    async def _ask(self, text: str, role: Role, question: str) -> Opinion:
        strongest = Opinion(Outcome.PASS)
        for index, (path, body) in enumerate(self._format.requests(text, role, question)):
            try:
                answer = await self._client.post(path, json={"model": self._model, **body})
                reply = answer.json() if answer.status_code == 200 else None
            except (httpx.HTTPError, ValueError, UnicodeError):
                reply = None
            if not isinstance(reply, dict):
                raise CheckUnavailable("the guard model did not answer")
            opinion = self._format.read(reply, index)
            if (_STRENGTH[opinion.outcome], opinion.score_bp) > (_STRENGTH[strongest.outcome], strongest.score_bp):
                strongest = opinion
            if strongest.outcome is Outcome.BLOCK:
                break
        return strongest

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.aclose()


FORMATS: Mapping[str, Callable[[], Format]] = {
    "qwen3guard": Qwen3GuardFormat,
    "llama_guard": LlamaGuardFormat,
    "shieldgemma": ShieldGemmaFormat,
    "openai_moderation": OpenAIModerationsFormat,
}
"""Formats that need no settings, by name."""
