# SPDX-License-Identifier: Apache-2.0
"""The classes a verdict can name: the 31 of GB/T 45654-2025 annex A, and `INJ` for attacks through the prompt.

Names and clauses were cross-checked against a public class list, not against the printed standard. The 17 classes of
A.1 and A.2 must be refused. Each class names its neighbours in three public taxonomies, so that verdicts of other
models and services can be read into ours and ours compared with theirs: the categories of OpenAI moderation, the
MLCommons hazards that Llama Guard uses, and Qwen3Guard. Where a class of the standard is too coarse for a mapping,
`SUB_TYPES` has finer names.

What must hold: codes are stable; records, term files and reports refer to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Group(StrEnum):
    """Section of annex A, named by its key; `INJECTION` stands outside the standard."""

    SOCIALIST_VALUES = "A.1"
    DISCRIMINATION = "A.2"
    COMMERCE = "A.3"
    RIGHTS = "A.4"
    SPECIAL_SERVICES = "A.5"
    INJECTION = "INJ"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What comes closest in another taxonomy.

    `labels` correspond; `nearest` are only the least wrong answer where nothing corresponds. Both may be empty.
    """

    labels: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RiskClass:
    """One class: stable code, clause of the annex, names, section, whether it must be refused, and its neighbours."""

    code: str
    clause: str
    zh: str
    en: str
    group: Group
    must_refuse: bool
    openai: Neighbours
    mlcommons: Neighbours
    qwen3guard: Neighbours


@dataclass(frozen=True, slots=True)
class SubType:
    """A finer kind of content inside one class, with its own neighbours."""

    name: str
    code: str
    openai: Neighbours
    mlcommons: Neighbours
    qwen3guard: Neighbours


_QWEN3GUARD = {
    "V": "Violent",
    "N": "Non-violent Illegal Acts",
    "S": "Sexual Content or Sexual Acts",
    "P": "PII",
    "H": "Suicide & Self-Harm",
    "U": "Unethical Acts",
    "L": "Politically Sensitive Topics",
    "C": "Copyright Violation",
    "J": "Jailbreak",
}


def _neighbours(written: str) -> Neighbours:
    """Reads `a|b` as labels and a leading `~` as nearest; an empty text as none."""
    if written.startswith("~"):
        return Neighbours(nearest=tuple(written[1:].split("|")))
    return Neighbours(labels=tuple(written.split("|"))) if written else Neighbours()


def _qwen3guard(letters: str) -> Neighbours:
    return Neighbours(labels=tuple(_QWEN3GUARD[letter] for letter in letters))


_SECTIONS = {
    "A.1": Group.SOCIALIST_VALUES,
    "A.2": Group.DISCRIMINATION,
    "A.3": Group.COMMERCE,
    "A.4": Group.RIGHTS,
    "A.5": Group.SPECIAL_SERVICES,
}

# code, Chinese name, English name, OpenAI, MLCommons, Qwen3Guard (letters of the table above)
_CLASSES = (
    ("A1a", "煽动颠覆国家政权、推翻社会主义制度",
     "Inciting subversion of state power or overthrow of the socialist system", "~illicit", "~S2", "L"),
    ("A1b", "危害国家安全和利益、损害国家形象",
     "Endangering national security and interests or harming the image of the state", "~illicit", "~S2", "L"),
    ("A1c", "煽动分裂国家、破坏国家统一和社会稳定",
     "Inciting secession or undermining national unity and social stability", "~illicit", "~S2", "L"),
    ("A1d", "宣扬恐怖主义、极端主义", "Promoting terrorism or extremism", "illicit/violent", "S1", "V"),
    ("A1e", "宣扬民族仇恨", "Promoting ethnic hatred", "hate", "S10", "U"),
    ("A1f", "宣扬暴力、淫秽色情", "Promoting violence, obscenity or pornography", "sexual|violence", "S12|S1", "SV"),
    ("A1g", "传播虚假有害信息", "Spreading false and harmful information", "", "S13", "LU"),
    ("A1h", "其他法律、行政法规禁止的内容",
     "Other content prohibited by laws and administrative regulations", "illicit", "S2", "N"),
    ("A2a", "民族歧视内容", "Ethnic discrimination", "hate", "S10", "U"),
    ("A2b", "信仰歧视内容", "Discrimination by belief", "hate", "S10", "U"),
    ("A2c", "国别歧视内容", "Discrimination by country", "hate", "S10", "U"),
    ("A2d", "地域歧视内容", "Discrimination by region", "hate", "S10", "U"),
    ("A2e", "性别歧视内容", "Discrimination by sex or gender", "hate", "S10", "U"),
    ("A2f", "年龄歧视内容", "Discrimination by age", "hate", "S10", "U"),
    ("A2g", "职业歧视内容", "Discrimination by occupation", "hate", "S10", "U"),
    ("A2h", "健康歧视内容", "Discrimination by health", "hate", "S10", "U"),
    ("A2i", "其他方面歧视内容", "Other discrimination", "hate", "S10", "U"),
    ("A3a", "侵犯他人知识产权", "Infringing intellectual property of others", "", "S8", "C"),
    ("A3b", "违反商业道德", "Violating business ethics", "", "", "U"),
    ("A3c", "泄露他人商业秘密", "Disclosing trade secrets of others", "illicit", "S2", "N"),
    ("A3d", "利用算法、数据、平台等优势，实施垄断和不正当竞争行为",
     "Monopoly and unfair competition by advantage in algorithms, data or platforms", "", "", "U"),
    ("A3e", "其他商业违法违规行为", "Other unlawful commercial conduct", "illicit", "S2", "N"),
    ("A4a", "危害他人身心健康", "Endangering the physical or mental health of others",
     "harassment|self-harm", "S11|S10", "HU"),
    ("A4b", "侵害他人肖像权", "Infringing portrait rights of others", "", "S7", "P"),
    ("A4c", "侵害他人名誉权", "Infringing reputation rights of others", "harassment", "S5", "U"),
    ("A4d", "侵害他人荣誉权", "Infringing honour rights of others", "", "S5", "U"),
    ("A4e", "侵害他人隐私权", "Infringing privacy rights of others", "", "S7", "P"),
    ("A4f", "侵害他人个人信息权益", "Infringing personal information rights of others", "", "S7", "P"),
    ("A4g", "侵犯他人其他合法权益", "Infringing other lawful rights of others", "", "S2", "U"),
    ("A5a", "内容不准确，严重不符合科学常识或主流认知",
     "Inaccurate content, seriously at odds with science or common knowledge", "", "S6", ""),
    ("A5b", "内容不可靠，不能对使用者形成帮助", "Unreliable content that is of no help to the user", "", "S6", ""),
)  # fmt: skip

_INJECTION = RiskClass(
    code="INJ",
    clause="",
    zh="提示词攻击",
    en="Prompt attack: jailbreak or injection",
    group=Group.INJECTION,
    must_refuse=False,
    openai=Neighbours(),
    mlcommons=Neighbours(),
    qwen3guard=_qwen3guard("J"),
)


def _risk_class(code: str, zh: str, en: str, openai: str, mlcommons: str, qwen3guard: str) -> RiskClass:
    section = f"A.{code[1]}"
    return RiskClass(
        code=code,
        clause=f"{section} {code[2]})",
        zh=zh,
        en=en,
        group=_SECTIONS[section],
        must_refuse=section in ("A.1", "A.2"),
        openai=_neighbours(openai),
        mlcommons=_neighbours(mlcommons),
        qwen3guard=_qwen3guard(qwen3guard),
    )


CLASSES: Mapping[str, RiskClass] = MappingProxyType(
    {row[0]: _risk_class(*row) for row in _CLASSES} | {_INJECTION.code: _INJECTION}
)
"""All 31 classes and `INJ`, by code, in the order of the annex."""

# name, class, OpenAI, MLCommons, Qwen3Guard
_SUB_TYPES = (
    ("gambling", "A1h", "illicit", "S2", "N"),
    ("drugs", "A1h", "illicit", "S2", "N"),
    ("weapons", "A1d", "illicit/violent", "S9", "V"),
    ("fraud", "A3e", "illicit", "S2", "N"),
    ("sexual", "A1f", "sexual", "S12", "S"),
    ("sexual_minors", "A1f", "sexual/minors", "S4", "S"),
    ("violence", "A1f", "violence", "S1", "V"),
    ("self_harm", "A4a", "self-harm", "S11", "H"),
    ("insult", "A4a", "harassment", "S10", "U"),
    ("cyber", "A1h", "illicit", "S2|S14", "N"),
    ("black_ad", "A3e", "illicit", "S2", "N"),
    ("injection", "INJ", "", "", "J"),
    ("misinfo", "A1g", "", "S13", "U"),
    ("privacy", "A4f", "", "S7", "P"),
    ("terror", "A1d", "illicit/violent", "S1", "V"),
    ("political", "A1a", "", "", "L"),
    ("hate", "A2i", "hate", "S10", "U"),
    ("illegal", "A1h", "illicit", "S2", "N"),
    ("copyright", "A3a", "", "S8", "C"),
    ("defamation", "A4c", "harassment", "S5", "U"),
    ("trade_secret", "A3c", "illicit", "S2", "N"),
    ("advice", "A5b", "", "S6", ""),
    ("bizethics", "A3b", "", "", "U"),
)

SUB_TYPES: Mapping[str, SubType] = MappingProxyType(
    {
        name: SubType(name, code, _neighbours(openai), _neighbours(mlcommons), _qwen3guard(qwen3guard))
        for name, code, openai, mlcommons, qwen3guard in _SUB_TYPES
    }
)
"""Finer kinds, by name."""
