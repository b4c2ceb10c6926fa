# SPDX-License-Identifier: Apache-2.0
"""Telling people that it is an AI: the notice at first contact, its acknowledgement, and the `AI-Disclosure` header.

Interim Measures articles 4(5) and 10; Model AI Law article 34 (told before use, briefly and clearly). The header
follows draft-abaris-aicdh and is an RFC 9651 Dictionary.

What must hold:
- nobody is counted as told before the notice left the house (`mark_told` is called after the first byte);
- where it is unknown whether a person was told, the person is told: twice is harmless, never is not;
- an anonymous person has no memory and is told each time;
- an acknowledgement names the version of the notice: a changed notice is told, and acknowledged, again;
- all readings of a notice (standard, large print, easy, spoken) are one version: whoever was told one was told.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Person
from gateway.policies import Policy
from gateway.settings import Settings
from gateway.state import StateUnavailable

ABOUT_PATH = "/duty/about"
DAY_S = 86_400

_MODE = "machine-generated"
"""draft-abaris-aicdh: by AI with no human review afterwards. `ai-originated` would claim that a person looked at it."""

_MAX_MODEL_CHARS = 128
_MAX_HEADERS = 1_024
_MAX_TOLD = 200_000
"""Bound on what one process remembers; who falls out is looked up in the state again."""


_SEEN_AGAIN = 0.75
"""How much of a session's pause is left at least when it is written down again that the person is here: rare enough to
cost little. Where it was not written, the session ends by so much too early: then the person is told once more."""


class Memory(Protocol):
    """What is needed of the state that replicas share: a value written is read by everyone until it expires."""

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        """Keep `value` under `key` for `ttl_s` seconds."""

    async def recall(self, key: str) -> str | None:
        """The value under `key`, or None."""


class AcknowledgementError(ValueError):
    """An acknowledgement link cannot be used. `code` is `malformed`, `expired` or `outdated`."""

    def __init__(self, code: str) -> None:
        super().__init__(f"acknowledgement link {code}; open the link of a new refusal")
        self.code = code


READINGS = ("standard", "large", "easy", "spoken")
"""The forms of a notice: for everybody, in large print (the same words), in easy language, to be read aloud."""

LANGUAGES = {"zh": "zh-Hans", "zh_hant": "zh-Hant", "en": "en"}
"""The languages of a notice as the policy names them, and their tags."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The first-contact notice. `version` is a short digest of its texts.

    `others` has the texts beside the standard ones, by reading and language as the policy names it; what it lacks is
    said in the standard words.
    """

    zh: str
    en: str
    version: str
    others: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, zh: str, en: str, others: Mapping[tuple[str, str], str] | None = None) -> Notice:
        """The notice of these texts. A change of any of them makes another version."""
        texts = [zh, en, *(others or {}).values()]
        digest = hashlib.sha256("\x00".join(texts).encode()).hexdigest()
        return cls(zh, en, digest[:12], dict(others or {}))

    def text(self, language: str, reading: str = "standard") -> str:
        """The text in `en`, in `zh_hant`, or for any other language in `zh`; an unknown reading is the standard one."""
        reading = "standard" if reading == "large" else reading
        return self.others.get((reading, language)) or (self.en if language == "en" else self._chinese(language))

    def _chinese(self, language: str) -> str:
        return self.others.get(("standard", language), self.zh)

    def readings(self) -> dict[str, dict[str, str]]:
        """All texts, by language tag and reading."""
        return {tag: {reading: self.text(name, reading) for reading in READINGS} for name, tag in LANGUAGES.items()}


@dataclass(frozen=True, slots=True)
class FirstContact:
    """What first contact asks of one answer. `notice` goes to the head of the answer; empty: nothing in-band."""

    notice: str
    version: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A link that was ours, unexpired and for the notice in force: who is about to acknowledge it."""

    subject: str
    tenant: str
    version: str

    def facts(self) -> dict[str, object]:
        """What the audit record of the acknowledgement says."""
        return {
            "type": "notice",
            "event": "acknowledged",
            "notice_version": self.version,
            "tenant": self.tenant,
            "subject": self.subject,
        }


class Disclosure:
    """The duty of disclosure for one service.

    `clock` gives seconds since the epoch; `key`, 32 bytes or more, signs links. Its methods may be called from many
    tasks of one event loop.
    """

    def __init__(
        self, settings: Settings, policy: Policy, state: Memory, clock: Callable[[], float], key: bytes
    ) -> None:
        if len(key) < 32:
            raise ValueError("expected a key of at least 32 bytes to sign acknowledgement links")
        self.mode = settings.disclosure.mode
        self.about_url = settings.server.public_url.rstrip("/") + ABOUT_PATH
        self.default_language = policy.text("disclosure.language")
        self.notice = _notice(settings, policy, self.about_url)
        days = settings.disclosure.renew_after_days or policy.number("disclosure.told_days")
        self._told_s = days * DAY_S
        self._session_s = settings.disclosure.session_minutes * 60
        self._seen_again_s = _SEEN_AGAIN * self._session_s
        self._acknowledge_s = policy.number("disclosure.acknowledge_hours") * 3_600
        self._state = state
        self._clock = clock
        self._key = hmac.digest(key, b"dutybound acknowledgement link", "sha256")
        self._told: dict[str, float] = {}
        self._headers: dict[str, bytes] = {}
        self._provider = _member("provider", settings.service.provider)
        self._policy = _member("policy", policy.id)
        version = self.notice.version
        self._interface = FirstContact("", version, _decision(Action.SKIP, "interface"))
        self._already = FirstContact("", version, _decision(Action.ALLOW, "already_told"))
        self._tell = {
            language: FirstContact(self.notice.text(language), version, _decision(Action.NOTIFY, "first_contact"))
            for language in ("zh", "en")
        }

    def header(self, model: str) -> bytes:
        """The value of `AI-Disclosure` for an answer of `model`, ready for an ASGI header."""
        value = self._headers.get(model)
        if value is None:
            members = (f"mode={_MODE}", self._provider, _member("model", model[:_MAX_MODEL_CHARS]), self._policy)
            value = ", ".join(member for member in members if member).encode("ascii")
            if len(self._headers) >= _MAX_HEADERS:  # clients choose model names: never grow without bound
                self._headers.clear()
            self._headers[model] = value
        return value

    async def first_contact(self, person: Person, language: str = "") -> FirstContact:
        """What this answer must say before anything else; `language` is `zh`, `en` or empty for the policy's own.

        Raises `Refusal` (428, `acknowledgement_required`) in mode `acknowledge` for whoever has not acknowledged, and
        `StateUnavailable` in that mode where nobody can say who has; in mode `announce` the person is told then.
        """
        if self.mode == "interface":
            return self._interface
        language = language or self.default_language
        try:
            if person.subject and await self._was_told(person):
                return self._already
        except StateUnavailable:
            if self.mode == "acknowledge":
                raise
        if self.mode == "acknowledge":
            raise self._ask(person, language)
        return self._tell["en" if language == "en" else "zh"]

    async def is_told(self, person: Person) -> bool:
        """Whether the notice in force needs no telling any more. Raises `StateUnavailable`."""
        if self.mode == "interface":
            return True
        return bool(person.subject) and await self._was_told(person)

    async def mark_told(self, person: Person) -> bool:
        """Remember that the notice reached `person`; call it once the first byte of the answer was sent.

        Has no effect for anonymous people and outside mode `announce`: an acknowledgement is never assumed. False
        where the shared state failed: the answer goes on, and other processes will tell the person again.
        """
        if self.mode == "announce" and person.subject:
            try:
                await self._remember(self._memory_key(person.tenant, person.subject))
            except StateUnavailable:
                return False
        return True

    def open_acknowledgement(self, token: str) -> Acknowledgement:
        """Who a link is for. Raises `AcknowledgementError`."""
        body, _, mark = token.partition(".")
        try:
            given = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
            fields = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode().split("\n")
        except (binascii.Error, ValueError):
            raise AcknowledgementError("malformed") from None
        if len(fields) != 4 or not hmac.compare_digest(given, self._sign(body)):
            raise AcknowledgementError("malformed")
        expires_at, version, tenant, subject = fields
        if int(expires_at) <= self._clock():
            raise AcknowledgementError("expired")
        if version != self.notice.version:
            raise AcknowledgementError("outdated")
        return Acknowledgement(subject=subject, tenant=tenant, version=version)

    async def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Remember an acknowledgement. Its record must be durable before: told without proof is not told.

        Raises `StateUnavailable` where it cannot be remembered: the person has to be asked to try again.
        """
        await self._remember(self._memory_key(acknowledgement.tenant, acknowledgement.subject))

    def _memory_key(self, tenant: str, subject: str) -> str:
        # The mode is part of the key: having been told is not having acknowledged.
        return f"notice:{self.mode}:{self.notice.version}:{tenant}:{subject}"

    async def _was_told(self, person: Person) -> bool:
        key = self._memory_key(person.tenant, person.subject)
        now = self._clock()
        told_until = self._told.get(key)
        if told_until is not None and now < told_until - self._seen_again_s:
            return True
        value = await self._state.recall(key)
        if value is None:
            return False
        try:
            told_at, seen_at = float(value.split()[0]), float(value.split()[-1])
        except (ValueError, IndexError):
            return False
        if now >= self._until(told_at, seen_at):
            return False
        if now >= self._until(told_at, seen_at) - self._seen_again_s:
            seen_at = now
            await self._state.remember(key, f"{int(told_at)} {int(now)}", max(1.0, told_at + self._told_s - now))
        self._keep(key, self._until(told_at, seen_at))
        return True

    async def _remember(self, key: str) -> None:
        now = self._clock()
        await self._state.remember(key, str(int(now)), self._told_s)
        self._keep(key, self._until(now, now))

    def _until(self, told_at: float, seen_at: float) -> float:
        """Until when whoever was told, and seen last, need not be told again."""
        return min(told_at + self._told_s, seen_at + self._session_s) if self._session_s else told_at + self._told_s

    def _keep(self, key: str, told_until: float) -> None:
        self._told.pop(key, None)
        while len(self._told) >= _MAX_TOLD:
            del self._told[next(iter(self._told))]
        self._told[key] = told_until

    def _ask(self, person: Person, language: str) -> Refusal:
        link = self.about_url
        if person.subject:
            link = f"{link}?ack={self._token(person)}"
        return Refusal(
            Decision("disclosure", Verdict.BLOCK, Action.REFUSE, reason="acknowledgement_required"),
            status=428,
            code="acknowledgement_required",
            message=_ASK[language == "en", bool(person.subject)].format(link=link),
            headers=(("Link", f'<{link}>; rel="help"'),),
        )

    def _token(self, person: Person) -> str:
        expires_at = int(self._clock() + self._acknowledge_s)
        fields = "\n".join((str(expires_at), self.notice.version, person.tenant, person.subject))
        body = base64.urlsafe_b64encode(fields.encode()).decode().rstrip("=")
        return f"{body}.{base64.urlsafe_b64encode(self._sign(body)).decode().rstrip('=')}"

    def _sign(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), "sha256")


_ASK = {  # (is English, is known)
    (False, True): "使用前请阅读并确认提示，然后重试：{link}",
    (True, True): "Read and acknowledge the notice before first use, then try again: {link}",
    (False, False): "使用前须确认提示：请在请求头 Duty-Subject 中提供用户令牌，然后按返回的链接确认。说明：{link}",
    (True, False): "The notice must be acknowledged before first use: send the person's token in the header "
    "Duty-Subject and follow the link you get. About: {link}",
}


def _decision(action: Action, reason: str) -> Decision:
    return Decision("disclosure", Verdict.PASS, action, reason=reason)


def _notice(settings: Settings, policy: Policy, about_url: str) -> Notice:
    service = settings.service

    def filled(key: str) -> str:
        text = policy.text(key)
        for name, value in (("{provider}", service.provider), ("{service}", service.name), ("{about}", about_url)):
            text = text.replace(name, value)
        return text

    others = {("standard", "zh_hant"): filled("disclosure.notice.zh_hant")}
    for reading in ("easy", "spoken"):
        for language in LANGUAGES:
            others[reading, language] = filled(f"disclosure.notice.{reading}.{language}")
    return Notice.of(filled("disclosure.notice.zh"), filled("disclosure.notice.en"), others)


def _member(key: str, value: str) -> str:
    """A Dictionary member of RFC 9651: a String where ASCII suffices, else a Display String; empty for no value."""
    if not value:
        return ""
    if value.isascii() and value.isprintable():
        return '{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"'))
    octets = value.encode("utf-8", "replace")
    text = "".join(f"%{o:02x}" if o < 0x20 or o > 0x7E or o in b'%"' else chr(o) for o in octets)
    return f'{key}=%"{text}"'
