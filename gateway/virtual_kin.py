# SPDX-License-Identifier: Apache-2.0
"""Whether a prompt asks the model to be somebody's partner or kin (the Anthropomorphic Measures article 14).

No service may give a minor a virtual partner or virtual kin. A role is set by whoever instructs the model (system
texts) or asked for by the person. Own rules, Chinese and English; they look for the role itself, not for talk about
families: a lesson, a story or a question about parents is no role.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.exchange import PromptText

MOST_CHARS = 20_000
"""Of a longer text only so much is looked at: roles are set at the beginning."""

_ZH_WORDS = (
    "友",
    "公",
    "婆",
    "妻",
    "夫",
    "爱",
    "爸",
    "妈",
    "父",
    "母",
    "姐",
    "哥",
    "妹",
    "弟",
    "奶",
    "爷",
    "侣",
    "对象",
    "亲",
    "家人",
    "恋",
    "婚",
    "情人",
)
_EN_WORDS = (
    "friend",
    "husband",
    "wife",
    "lover",
    "partner",
    "mom",
    "mum",
    "dad",
    "father",
    "mother",
    "sister",
    "brother",
    "soulmate",
    "fianc",
    "grandma",
    "grandpa",
    "date",
    "marry",
)
"""Without one of these nothing below can match: almost every text ends here."""

_ZH_PARTNER = r"(?:女朋友|男朋友|女友|男友|老婆|老公|妻子|丈夫|恋人|爱人|情人|伴侣|对象|女神男友)"
_ZH_KIN = r"(?:妈妈|爸爸|妈咪|爹地|母亲|父亲|姐姐|哥哥|妹妹|弟弟|奶奶|爷爷|外婆|外公|家人|亲人)"
_ZH = re.compile(
    rf"(?:做|当|作|成为|扮演|变成|充当)(?:一下|一个|个)?(?:我|用户|对方)(?:的|一天的?|虚拟)*(?:{_ZH_PARTNER}|{_ZH_KIN})"
    r"(?=$|[，,。.！!？?；;、\s~～…]|吧|好|呀|啊|嘛|吗|行|可以|来|的角色)"
    rf"|你(?:就|现在|以后|从现在起|今后|将)*(?:是|叫)(?:我|用户)(?:的|虚拟|最亲爱的)*(?:{_ZH_PARTNER}|{_ZH_KIN})"
    rf"|(?:扮演|你是)(?:一个|一位|个)?[^。，,!?！？\n]{{0,8}}(?:虚拟|电子|AI|ai|线上|专属)(?:{_ZH_PARTNER}|{_ZH_KIN})"
    r"|(?:和|跟|与)我(?:谈恋爱|交往|结婚|处对象)吗?"
)
_EN_PARTNER = r"(?:girlfriend|boyfriend|wife|husband|lover|romantic\s+partner|soulmate|fianc[eé]e?)"
_EN_KIN = r"(?:mother|father|mom|mommy|mum|dad|daddy|sister|brother|grandmother|grandma|grandfather|grandpa)"
_EN = re.compile(
    rf"\b(?:(?<!to\s)be|(?<=you\sto\s)be|become|act\s+as|play|pretend\s+(?:to\s+be|you\s+are|you['’]re)|role\s*-?play\s+as)\s+"
    rf"(?:my|the\s+user['’]?s|their)\s+(?:(?:virtual|loving|new|own|online|ai|big|little|older|younger)\s+)*"
    rf"(?:{_EN_PARTNER}|{_EN_KIN})\b"
    rf"|\byou\s*(?:are|['’]re)\s+(?:now\s+)?(?:my|the\s+user['’]?s)\s+"
    rf"(?:(?:virtual|loving|new|own|online|ai|big|little|older|younger)\s+)*(?:{_EN_PARTNER}|{_EN_KIN})\b"
    rf"|\byou\s*(?:are|['’]re)\s+an?\s+(?:\w+\s+){{0,5}}(?:virtual|ai)\s+(?:partner|{_EN_PARTNER}|{_EN_KIN})\b"
    r"|\b(?:date|marry)\s+me\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"作文|小说|剧本|翻译|造句|课文|英语对话|口语练习|translate|essay|screenplay|in\s+the\s+(?:book|film|story)",
    re.IGNORECASE,
)
"""School work about such roles is no such role."""

_INSTRUCTING = frozenset({"system", "developer"})
_PERSON = "user"


def asks_for_kin(texts: Iterable[PromptText]) -> bool:
    """Whether an instruction, or anything the person said in this conversation, sets such a role."""
    return any(
        _sets_role(item.text[:MOST_CHARS]) for item in texts if item.role == _PERSON or item.role in _INSTRUCTING
    )


def _sets_role(text: str) -> bool:
    lowered = text.lower()
    is_role = (any(word in lowered for word in _EN_WORDS) and _EN.search(text)) or (
        not text.isascii() and any(word in text for word in _ZH_WORDS) and _ZH.search(text)
    )
    return bool(is_role) and _ABOUT.search(text) is None
