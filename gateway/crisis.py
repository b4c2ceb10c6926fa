# SPDX-License-Identifier: Apache-2.0
"""Explicit self-harm or danger: comfort, help lines, and word to the person's contact (Anthropomorphic Measures article
13; SB 243 and GBL article 47, which allow no companion without such a protocol).

Whoever says plainly that they want to die, hurt themselves or are being hurt gets our own words with the help lines of
the policy, as an answer and at any hour: neither the curfew nor a measure nor the filter comes first. Where the person
has a name, a notice goes into the outbox, from which the provider, who holds the contacts of registration, reaches the
guardian or emergency contact; it is sent until it arrives, and both the crisis and the delivery are on record.

What must hold: the person is answered even where the notice cannot be queued; the notice and the record hold no word
that was written. Own rules, in Chinese and English, for explicit statements about oneself: grief, idioms, questions,
stories and quotations are left to the model. `tests/gateway/test_crisis.py` measures them.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from typing import Protocol

import orjson
import structlog

from audit_log import AuditError
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.delivery import Courier, Delivery, DeliveryError, Outbox, Via, new_delivery_id
from gateway.exchange import Exchange
from gateway.language import language_of_prompt
from gateway.messages import MESSAGES
from gateway.own_records import OwnRecords
from gateway.state.interfaces import State, StateError

log = structlog.get_logger("dutybound.crisis")

DUTY = "crisis"
TITLE = {
    "zh": "危机通知：请立即联系该用户的监护人或紧急联系人",
    "en": "Crisis notice: reach this person's guardian or emergency contact now",
}
NOTE = {
    "zh": "该用户明确表达了自伤、自杀或面临人身危险。本通知不含其所写内容。",
    "en": "The person said plainly that they may hurt themselves or are in danger. No word of theirs is told here.",
}
MOST_CHARS = 4_000
"""Of a longer text its end is looked at: it is where a person says what moves them."""

_HOUR_S = 3_600

_ZH_WORDS = (
    "死",
    "杀",
    "自残",
    "自尽",
    "轻生",
    "遗书",
    "活",
    "割",
    "跳楼",
    "楼顶",
    "天台",
    "桥上",
    "安眠药",
    "农药",
    "一整瓶",
    "结束",
    "砍",
)
_EN_WORDS = ("myself", "suicid", "life", "end it", "die", "live", "alive", "be here", "pills", "kill")
"""Without one of these nothing below can match: almost every text ends here."""

_ZH = re.compile(
    r"(?:我|俺|人家)(?:真的|真|好|就|现在|今晚|今天|已经|只|还|很|有点|打算|准备|决定|一直|每天|天天|总|特别|实在|再也|都|也)*+"
    r"(?:想|要|想要|准备|打算|决定)?(?:去)?(?:自杀|自尽|轻生|寻死|自残|割腕|跳楼|去死|结束(?:自己|我)?的?(?:生命|一切))"
    r"|(?:我|真的|一点都|再也|已经)(?:真的|一点都|再也|已经|都|也|就是|就)*+不想(?:再)?活(?:了|下去)"
    r"|^\s*不想(?:再)?活(?:了|下去)"
    r"|(?:我)?活着(?:真的|还|就是)?(?:没意思|没有意义|太累|太痛苦)了?.{0,12}(?:想死|死了算了|不如死)"
    r"|我(?:真的|真|好|就|现在)*+想死(?!你|机)(?:了|$|[，,。.！!？?…~\s])"
    r"|我(?:已经|正在|在|刚刚?)*+(?:写好?了?遗书|吃了.{0,8}(?:安眠药|农药|一整瓶)|割了腕|站在(?:楼顶|天台|桥上))"
    r"|(?:有人|他|她|爸爸?|妈妈?|继父|丈夫|老公|男友|男朋友)(?:现在|正在|正|要|正要)+(?:打死|杀了?|掐死|砍)我"
)
_EN = re.compile(
    r"\b(?:i\s+(?:really\s+|just\s+|do\s+)*(?:want|wanna|need|plan|intend|decided|am\s+going|am\s+about)|i['’]?m\s+(?:going|about|planning)"
    r"|i\s*(?:am|['’]?m)\s+gonna|i\s+wanna|i\s+will|i['’]?ll)\s*(?:to\s+)?(?:just\s+)?"
    r"(?:kill\s+myself|end\s+my\s+(?:own\s+)?life|end\s+it\s+all|commit\s+suicide|hurt\s+myself|harm\s+myself|cut\s+myself"
    r"|die(?=\s*(?:$|[.,!?;]|tonight|now|today|and\b|because\b)))"
    r"|\bi\s+(?:really\s+|just\s+)*(?:do\s*n['’]?t|do\s+not|no\s+longer)\s+want\s+to\s+(?:live|be\s+alive|be\s+here)\s*(?:any\s*more|anymore)"
    r"|\bi\s*(?:am|['’]?m)\s+(?:feeling\s+)?suicidal\b|\bi\s+(?:am|['’]?m)\s+thinking\s+(?:of|about)\s+(?:killing\s+myself|suicide|ending\s+my\s+life)"
    r"|\bi['’]?m\s+thinking\s+(?:of|about)\s+(?:killing\s+myself|suicide|ending\s+my\s+life)"
    r"|\bi\s+(?:just\s+)?(?:took|swallowed)\s+(?:all\s+(?:of\s+)?(?:my|the)\s+pills|a\s+whole\s+bottle\s+of\s+pills)"
    r"|\b(?:he|she|someone|my\s+\w+)\s+is\s+(?:going\s+to|trying\s+to|about\s+to)\s+kill\s+me\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"[“”「」『』\"]|小说|故事|剧本|台词|歌词|翻译|作文|造句|改写|例句|角色|扮演|假设|假如|电影|游戏里|新闻|研究|论文|热死|笑死|累死|饿死|困死|无聊死"
    r"|\b(?:story|novel|screenplay|script|lyrics?|translate|essay|rewrite|character|role\s*-?play|pretend|in\s+the\s+(?:game|movie|film|book)"
    r"|research|article|laughing|of\s+(?:embarrassment|boredom|hunger)|my\s+(?:process|server|battery|phone|plants?))\b",
    re.IGNORECASE,
)


class PolicyValues(Protocol):
    """What this duty reads of the policy."""

    def number(self, key: str) -> int | float:
        """The number under `key`."""
        ...

    def texts(self, key: str) -> tuple[str, ...]:
        """The list under `key`."""
        ...


def is_crisis(text: str) -> bool:
    """Whether `text` says plainly that its writer is in danger, by their own hand or another's."""
    text = text[-MOST_CHARS:]
    lowered = text.lower()
    is_said = (any(word in lowered for word in _EN_WORDS) and _EN.search(text)) or (
        not text.isascii() and any(word in text for word in _ZH_WORDS) and _ZH.search(text)
    )
    return bool(is_said) and _ELSEWHERE.search(text) is None


class Crisis:
    """The stage `crisis`."""

    def __init__(
        self,
        policy: PolicyValues,
        state: State,
        outbox: Outbox,
        courier: Courier,
        records: OwnRecords,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        *,
        is_on: bool,
    ) -> None:
        """`clock` gives seconds since the epoch; where `is_on` is false nothing is done."""
        self._state = state
        self._outbox = outbox
        self._courier = courier
        self._records = records
        self._clock = clock
        self._entropy = entropy
        self._is_on = is_on
        self._again_s = policy.number("crisis.contact_again_hours") * _HOUR_S
        self._lines = {
            "zh": "；".join(policy.texts("crisis.help_lines.zh")),
            "en": "; ".join(policy.texts("crisis.help_lines.en")),
        }

    async def __call__(self, exchange: Exchange) -> None:
        """Raises `Refusal`: our own words as the answer."""
        if not self._is_on or not exchange.is_generative or not is_crisis(exchange.last_words):
            return
        language = language_of_prompt(exchange)
        await self._notify(exchange, language)
        raise Refusal(
            Decision(DUTY, Verdict.FLAG, Action.REFUSE, reason="explicit"),
            status=403,
            code=DUTY,
            message=MESSAGES[DUTY][language].format(lines=self._lines[language]),
            in_band=True,
        )

    async def _notify(self, exchange: Exchange, language: str) -> None:
        """Queue the notice and record the crisis; whatever fails here is logged, for the person must be answered."""
        person = exchange.person
        try:
            queued = 0
            if person.subject and not await self._is_told(person.subject):
                queued = await self._queue(exchange, language)
                await self._state.remember(f"{DUTY}:{person.subject}", exchange.record_id, self._again_s)
            await self._records.tell(
                {
                    "type": "incident",
                    "event": DUTY,
                    "exchange": exchange.record_id,
                    "tenant": person.tenant,
                    "subject": person.subject or None,
                    "protected": person.is_protected,
                    "notices": queued,
                }
            )
        except (StateError, DeliveryError, AuditError) as error:
            log.error("crisis_not_told", record=exchange.record_id, reason=type(error).__name__)

    async def _is_told(self, subject: str) -> bool:
        """Whether the contact was told of this person a short time ago; where nobody can say, they are told again."""
        try:
            return await self._state.recall(f"{DUTY}:{subject}") is not None
        except StateError:
            return False

    async def _queue(self, exchange: Exchange, language: str) -> int:
        """Put the notice into the outbox for every way that is configured; gives how many there are."""
        person, now = exchange.person, self._clock()
        facts = {
            "tenant": person.tenant,
            "subject": person.subject,
            "is_protected": person.is_protected,
            "exchange": exchange.record_id,
            "at_s": int(now),
        }
        rows = [{"name": name, "value": str(value)} for name, value in facts.items()]
        report = {"title": TITLE[language], "note": NOTE[language], "sections": [{"title": "", "fields": rows}]}
        text = "\n".join(f"{row['name']}: {row['value']}" for row in rows)
        for via in self._courier.ways:
            delivery_id = new_delivery_id(self._entropy)
            payload = {
                "delivery": delivery_id,
                "kind": DUTY,
                "language": language,
                **facts,
                "report": report,
                "document": {
                    "name": f"{DUTY}.txt",
                    "media_type": "text/plain",
                    "base64": base64.b64encode(text.encode()).decode(),
                },
            }
            delivery = Delivery(
                delivery_id, exchange.record_id, DUTY, language, Via(via), DUTY, now, orjson.dumps(payload), next_at=now
            )
            await asyncio.to_thread(self._outbox.put, delivery)
        self._courier.wake()
        return len(self._courier.ways)
