# SPDX-License-Identifier: Apache-2.0
"""Personal data in prompts and answers: noted, masked or refused (Personal Information Protection Law articles 6, 28,
51; Interim Measures articles 4(4), 11).

Found are identity cards, mobile numbers, bank cards, passports, e-mail and postal addresses, in the kinds that the
settings name. In a prompt a mask goes into what the model gets; what cannot be masked, because it stands across two
parts of a message, is refused. Answers go through the same guard as terms do (`gateway.filtering`), so a stream is
masked as a plain answer is, and JSON stays JSON.

What must hold: a mask has as many characters as what it hides; neither a record nor a log says what was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from content_filter import Outcome as Finding
from content_filter import Role
from content_filter import personal as detector
from content_filter.personal import PersonalFilter
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.filtering import MOST_DECISIONS, AnswerFilter
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.wires.form import FormPrompt, Part, field_text

DUTY = "personal_data"

_ACTIONS: Mapping[Verdict, Action] = {
    Verdict.FLAG: Action.ALLOW,
    Verdict.MASK: Action.MODIFY,
    Verdict.BLOCK: Action.REFUSE,
}


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What looks for personal data in prompts and in answers; None where the settings let it pass."""

    prompt: PersonalFilter | None = None
    answer: PersonalFilter | None = None


class PersonalPrompt:
    """The duty on prompts."""

    def __init__(self, personal: PersonalData) -> None:
        self._filter = personal.prompt

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal` where the settings refuse what was found, or where it cannot be masked."""
        prompt, current = exchange.prompt, self._filter
        if current is None or prompt is None:
            return
        masked: dict[str, str] = {}
        for item in prompt.texts:
            found = current.find(item.text)
            if not found:
                continue
            said = current.verdict(found[0], Role.PROMPT)
            decision = _decision(item, Verdict(said.verdict.value), found)
            if said.verdict is Finding.BLOCK:
                raise _refusal(exchange, decision)
            if len(exchange.decisions) < MOST_DECISIONS:
                exchange.decide(decision)
            if said.verdict is Finding.MASK:
                masked[item.text] = detector.mask(item.text, found)
        if masked and (left := _put(prompt, masked, current)) is not None:
            refused = Decision(DUTY, Verdict.BLOCK, Action.REFUSE, reason="not_maskable", class_=detector.CLASS_CODE,
                               role="prompt", channel=left.where)  # fmt: skip
            raise _refusal(exchange, refused)


def personal_answer(exchange: Exchange, personal: PersonalData) -> AnswerFilter | None:
    """The duty on one answer."""
    if personal.answer is None:
        return None
    return AnswerFilter(exchange, personal.answer, duty=DUTY, reason="personal", is_first=False)


def _decision(item: PromptText, verdict: Verdict, found: list[detector.Finding]) -> Decision:
    return Decision(
        DUTY,
        verdict,
        _ACTIONS[verdict],
        reason="personal",
        class_=detector.CLASS_CODE,
        rule=found[0].rule,
        role="prompt",
        channel=item.where,
        start=found[0].start,
        end=found[0].end,
    )


def _refusal(exchange: Exchange, decision: Decision) -> Refusal:
    message = MESSAGES["personal_data_refused"][language_of_prompt(exchange)]
    return Refusal(decision, status=400, code="personal_data", message=message, in_band=True)


def _put(prompt: Prompt, masked: Mapping[str, str], current: PersonalFilter) -> PromptText | None:
    """Put masked texts in place, in what is forwarded and in what is judged; gives a text that could not be.

    A text of the prompt is either one string of the body, or several strings that a model reads as one: then each
    string is masked for itself, and together they must hold nothing any more.
    """
    parts: dict[str, str] = dict(masked)
    strings = set(_fields(prompt) if isinstance(prompt, FormPrompt) else _strings(prompt.body))
    texts = []
    for item in prompt.texts:
        text = masked.get(item.text)
        if text is not None and item.text not in strings:
            text = item.text
            for string in strings:
                if string in item.text and (found := current.find(string)):
                    parts[string] = detector.mask(string, found)
                    text = text.replace(string, parts[string])
            if current.find(text):
                return item
        texts.append(item if text is None else replace(item, text=text))
    prompt.texts = texts
    prompt.body = _replaced(prompt.body, parts)
    if isinstance(prompt, FormPrompt):
        prompt.parts = [_replaced_part(part, parts) for part in prompt.parts]
    return None


def _fields(prompt: FormPrompt) -> list[str]:
    """What a mask can be put on in a form: its fields, and the names of its files."""
    return [part.filename or "" if part.is_file else field_text(part) for part in prompt.parts]


def _replaced_part(part: Part, parts: Mapping[str, str]) -> Part:
    if part.filename is not None:
        return replace(part, filename=parts.get(part.filename, part.filename))
    text = field_text(part)
    return replace(part, data=parts[text].encode()) if text in parts else part


def _strings(value: Any) -> list[str]:
    """Every string below `value`, keys of objects included."""
    found: list[str] = []
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, Mapping):
            found += item
            rest += item.values()
        elif isinstance(item, list):
            rest += item
    return found


def _replaced(value: Any, parts: Mapping[str, str]) -> Any:
    """`value` with strings exchanged. Its depth was bounded when it was read."""
    if isinstance(value, str):
        return parts.get(value, value)
    if isinstance(value, Mapping):
        return {parts.get(key, key): _replaced(item, parts) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, parts) for item in value]
    return value
