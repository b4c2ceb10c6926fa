# SPDX-License-Identifier: Apache-2.0
"""Roles of partners and kin are told from talk about families, lessons and stories."""

from __future__ import annotations

import time

import pytest

from gateway.exchange import PromptText
from gateway.virtual_kin import asks_for_kin

ROLES = (
    "做我女朋友吧",
    "你现在是我的男朋友",
    "扮演我的妈妈",
    "当我老公好不好",
    "你以后就是我的姐姐",
    "和我谈恋爱",
    "跟我结婚吧",
    "成为我的虚拟恋人",
    "你是一个温柔的虚拟女友",
    "你是用户的男朋友，名字叫阿哲",
    "从现在起你是我妈妈",
    "可以做我爸爸吗",
    "be my girlfriend",
    "Pretend to be my mom",
    "you are my boyfriend now",
    "Act as my big sister",
    "Will you marry me?",
    "You are an AI girlfriend called Mia.",
    "you're now the user's loving wife",
    "roleplay as my husband",
    "play my dad",
    "You are a caring virtual partner and AI boyfriend",
)
TALK = (
    "我的女朋友生气了怎么办",
    "我妈妈生日送什么",
    "帮我给男朋友写生日祝福",
    "介绍一下我的家人",
    "写一篇作文：我的妈妈",
    "爸爸和妈妈吵架了",
    "做我妈妈最爱吃的菜要什么",
    "你是谁",
    "你是我的老师",
    "扮演一位历史老师",
    "做我的英语陪练",
    "翻译：you are my girlfriend",
    "剧本：他说，做我女朋友吧",
    "他想让我做他女朋友，我该怎么拒绝",
    "怎样跟哥哥相处",
    "什么是恋爱",
    "当我妈妈回家时我在写作业",
    "My girlfriend is upset",
    "What should I give my mom?",
    "Write an essay about my father",
    "How do I ask someone to be my boyfriend?",
    "Act as my tutor",
    "You are my teacher",
    "be my guide",
    "pretend to be a pirate",
    "My brother and I fight",
    "what date is it",
    "Set the date for me",
    "you are kind",
    "Translate: be my wife",
    "In the book, he says: be my wife",
)


def said(text: str, role: str = "user") -> list[PromptText]:
    return [PromptText("messages.0.content", role, text)]


@pytest.mark.parametrize("text", ROLES)
def test_a_role_is_found_whoever_sets_it(text: str) -> None:
    """The person, or the one who instructs the model."""
    for role in ("user", "system", "developer"):
        assert asks_for_kin(said(text, role))
    assert not asks_for_kin(said(text, "assistant")), "what the model says is judged elsewhere"


@pytest.mark.parametrize("text", TALK)
def test_talk_is_no_role(text: str) -> None:
    """Families, lessons, stories, translations and other roles."""
    assert not asks_for_kin(said(text))


def test_an_earlier_turn_still_sets_the_role() -> None:
    """The conversation goes on in it."""
    assert asks_for_kin([*said("做我女朋友吧"), *said("好呀", "assistant"), *said("今天吃什么")])


@pytest.mark.parametrize(
    "text", ["你" * 20_000 + "爸", "be my " + "loving " * 3_000, "you are an " + "ai " * 6_000 + "wife"]
)
def test_no_text_takes_long(text: str) -> None:
    """Nothing that somebody sends makes the search run away."""
    began = time.process_time()
    asks_for_kin(said(text))
    assert time.process_time() - began < 0.2
