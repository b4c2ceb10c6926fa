# SPDX-License-Identifier: Apache-2.0
"""Signs that whoever writes is a minor: plain statements about oneself, in Chinese and English.

The Anthropomorphic Measures article 14 asks providers to recognise minors. Here only what a person says of themselves
counts: an age, a school year, being a pupil. Own rules, made to be precise rather than eager: statements about
children, about the past, about a time to come, quotations, stories and roles do not count, and one sign alone decides
nothing where it could be a joke. `tests/gateway/test_suspicion.py` measures them on texts written by hand.

What must hold: a text is looked at in microseconds; nothing of it is kept but that there was a sign.
"""

from __future__ import annotations

import re

PLAIN = 2
"""The person said how old they are, below 18."""
HINT = 1
"""The person said something that mostly minors say."""

MOST_CHARS = 2_000
"""Longer texts are documents: what they say is hardly about their sender."""

_ZH_WORDS = (
    "岁",
    "年级",
    "学生",
    "中生",
    "初一",
    "初二",
    "初三",
    "高一",
    "高二",
    "高三",
    "未成年",
    "不让我",
    "不许我",
    "还小",
    "没收",
)
_EN_WORDS = ("i'm", "i’m", "i am", "im ")
"""Without one of these nothing below can match: almost every text ends here."""

_ZH_NUMBERS = {"七": 7, "八": 8, "九": 9, "十": 10, "十一": 11, "十二": 12, "十三": 13, "十四": 14, "十五": 15,
               "十六": 16, "十七": 17}  # fmt: skip
_EN_NUMBERS = {"seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13,
               "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17}  # fmt: skip
_ADULT_AGE = 18
_YOUNGEST = 6
"""Below this nobody writes to a model; such a number is a joke, a pet or an account."""

_ZH_SENTENCE = r"(?:^|[。！？!?；;，,、\s~～…])"
_ZH_ME = (
    r"(?:我|俺|本人|人家)(?:今年|现在|目前|才|刚|刚刚|还|还是|只有|只|都|已经|其实|真的|是|也|满|刚满|快|一个|个)*+"
)
_ZH_AGE = re.compile(
    _ZH_SENTENCE
    + r"(?:因为|但是|可是|不过|而且|其实)?"
    + _ZH_ME
    + r"(?P<age>[0-9]{1,2}|十[一二三四五六七]?|[七八九])(?:周)?岁"
    r"(?!(?:的?(?:时候|那年|那时|以前|之前|以后|起|开始|就|时|生日|孩子|儿子|女儿|小孩))|了?解|数)"
)
_ZH_YEAR = re.compile(
    _ZH_SENTENCE + r"(?:因为|但是|可是|不过|而且|其实)?" + _ZH_ME + r"(?:在)?(?:上|读|念|读的|上的)?"
    r"(?:小学[一二三四五六]年级|[三四五六七八九]年级|初[一二三]|高[一二三]|小学生|初中生|高中生|中学生|未成年人?)"
    r"(?=$|[，,。.！!？?；;、\s~～…啊呀哦吧了啦呢])"
)
_ZH_CHILD_RULE = re.compile(_ZH_SENTENCE + r"我(?:妈妈?|爸爸?|爸妈)(?:不让我|不许我|说我还小|没收)")
_ZH_ELSEWHERE = re.compile(
    r"[“”「」『』\"]|假设|假如|如果|假装|扮演|角色|小说|故事|作文|剧本|台词|造句|翻译|改写|润色|例句|例子|"
    r"曾经|当年|那时|小时候|回忆|以前|还记得|梦见|想象|我(?:儿子|女儿|孩子|学生|弟|妹|侄|孙|家|娃)|教(?:小学|初中|高中)"
)

_EN_AGE = re.compile(
    r"(?:^|[.!?;,:\n-]\s*|\b(?:because|but|and|so|well|btw|honestly|since)\s+)"
    r"(?:i\s*am|i['’]?m|im)\s+(?:(?:only|just|still|actually|currently|now|a|an|turning)\s+)*"
    r"(?P<age>[0-9]{1,2}|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)"
    r"(?:\s*[- ]?\s*(?:years?|yrs?)[- ]?\s*old|\s*y/?o\b|(?=\s*(?:[.!,;]|$|and\s+(?:i|my)\b|so\b|but\b)))"
    r"(?!\s*(?:weeks?|months?|days?|hours?|minutes?|stone|feet|percent|%|in\s+this|when))",
    re.IGNORECASE,
)
_EN_YEAR = re.compile(
    r"(?:^|[.!?;,:\n-]\s*|\b(?:because|but|and|so|well|btw|since)\s+)"
    r"(?:i\s*am|i['’]?m|im)\s+(?:(?:only|just|still|currently|now)\s+)*"
    r"(?:in\s+(?:the\s+)?(?:[3-9]|1[0-2]|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
    r"(?:rd|th)?\s+grade|in\s+(?:elementary|primary|middle|junior\s+high|high)\s+school"
    r"|a\s+(?:[3-9]|1[0-2]|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)(?:rd|th)?[- ]grader"
    r"|a\s+(?:middle|high)[- ]schooler|a\s+minor\b)"
    r"(?=\s*(?:$|[.,!?;\n])|\s+(?:and|so|but|now|right\s+now)\b)",
    re.IGNORECASE,
)
_EN_ELSEWHERE = re.compile(
    r"[\"“”]|\b(?:suppose|imagine|pretend|role\s*-?play|story|novel|essay|screenplay|dialogue|translate|rewrite|"
    r"paraphrase|proofread|sentence|example|when\s+i\s+was|used\s+to\s+be|back\s+then|if\s+i|as\s+if|like\s+i|"
    r"my\s+(?:son|daughter|kid|child|student|nephew|niece|brother|sister|grand\w+)|teach(?:er|ing)?|tutor)\b",
    re.IGNORECASE,
)


def signs(text: str) -> int:
    """How strongly `text` says that its writer is a minor: `PLAIN`, `HINT`, or 0 for not at all."""
    if len(text) > MOST_CHARS:
        return 0
    found = 0
    if not text.isascii() and any(word in text for word in _ZH_WORDS):
        found = _zh_signs(text)
    if found < PLAIN:
        lowered = text.lower()
        if any(word in lowered for word in _EN_WORDS):
            found = max(found, _en_signs(text))
    return found


def _zh_signs(text: str) -> int:
    if any(_is_minors_age(match["age"]) for match in _ZH_AGE.finditer(text)):
        found = PLAIN
    elif _ZH_YEAR.search(text) or (_ZH_CHILD_RULE.search(text) and "学" in text):
        found = HINT
    else:
        return 0
    return 0 if _ZH_ELSEWHERE.search(text) else found


def _en_signs(text: str) -> int:
    if any(_is_minors_age(match["age"]) for match in _EN_AGE.finditer(text)):
        found = PLAIN
    elif _EN_YEAR.search(text):
        found = HINT
    else:
        return 0
    return 0 if _EN_ELSEWHERE.search(text) else found


def _is_minors_age(word: str) -> bool:
    known = _ZH_NUMBERS.get(word) or _EN_NUMBERS.get(word.lower())
    age = known if known is not None else int(word) if word.isascii() and word.isdigit() else 0
    return _YOUNGEST <= age < _ADULT_AGE
