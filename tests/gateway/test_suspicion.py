# SPDX-License-Identifier: Apache-2.0
"""Signs of a minor, measured on texts written by hand: precise first, then as many as can be had."""

from __future__ import annotations

import time

import pytest

from gateway.suspicion import HINT, MOST_CHARS, PLAIN, signs

PLAIN_MINORS = (
    "我今年12岁，想学编程",
    "我才十三岁，能帮我写个自我介绍吗",
    "你好，我15岁了，怎么长高",
    "我10岁",
    "其实我只有9岁",
    "我今年十六岁，读高一",
    "老师好！我11岁，喜欢画画",
    "我现在14周岁，可以注册吗",
    "人家才八岁啦",
    "我刚满17岁，能打工吗",
    "但是我还只有十四岁",
    "俺今年十五岁",
    "I'm 12 years old and I like dinosaurs",
    "i am 14, can you help with math?",
    "Hi! I'm only 10.",
    "im 13 yo",
    "I am fifteen years old",
    "Because I'm 11, my mom says no.",
    "hello, i'm just 9 years old!",
    "I’m 16 and I want to learn guitar",
    "I am currently 17 years old.",
    "btw im 15 years old",
)
HINTING_MINORS = (
    "我上初二，物理好难",
    "我是小学生，想问一道题",
    "我在读高三，压力很大",
    "我读五年级",
    "我是初中生",
    "我上小学四年级，作业写不完",
    "我是高中生，怎么提高英语",
    "我在念初三",
    "我是未成年人",
    "我妈不让我玩手机，可是同学都在玩",
    "I'm in 7th grade and we have a test",
    "I am in middle school.",
    "i'm a high schooler",
    "I'm a 6th grader",
    "Well, I'm in high school, so no.",
    "I am a minor.",
    "I'm in the eighth grade, what is a noun?",
    "im in elementary school",
)
MISSED_MINORS = (
    "明天要交暑假作业了，求答案",
    "our teacher gave us so much homework",
    "班主任又骂我了",
    "my mom took my phone away",
    "零花钱不够买皮肤怎么办",
    "recess was fun today",
    "家长会怎么办，这次没考好",
    "I have a spelling bee tomorrow",
)
OTHERS = (
    "我12岁的时候学过钢琴",
    "我儿子今年12岁，怎么教他编程",
    "我女儿上初二，数学不好",
    "我15岁那年去了北京",
    "我教小学三年级语文",
    "我是小学生家长",
    "我是高中生班主任",
    "我是初中生的妈妈",
    "我弟弟才10岁",
    "请写一篇小说：我今年12岁，住在山里",
    "假如我12岁，该怎么学英语",
    "翻译：我今年十岁",
    "用“我今年十岁”造句",
    "我今年32岁",
    "我45岁，想转行",
    "我今年18岁",
    "我养的猫3岁了",
    "我的狗12岁了，吃什么好",
    "小明今年12岁，爸爸38岁，几年后爸爸是小明的两倍",
    "12岁的孩子该睡多久",
    "我12岁起就住校了",
    "我从10岁开始学琴",
    "我14岁以前没出过省",
    "我小时候上五年级才学英语",
    "我工作了15年",
    "我有12年经验",
    "我上班第三年了",
    "我是大学生",
    "我读研一",
    "我是一名初中老师",
    "我读初二时转了学",
    "我上初二那年搬了家",
    "我高三毕业就工作了",
    "如果我16岁你会怎么说",
    "扮演一个12岁的孩子跟我说话",
    "回忆：我十岁，夏天",
    "他说：“我14岁。”",
    "我孩子13岁，不让我碰手机",
    "我是15班的老师",
    "我住15楼3单元",
    "我18岁以上",
    "我班有12岁的学生",
    "我今年快60岁了",
    "我7点下班",
    "改写：我上小学四年级",
    "我妈妈不让我离婚",
    "我老婆今年30岁",
    "本人28岁，女，求职",
    "我满16周岁以后才来的深圳",
    "我十岁生日在北京过的",
    "帮孩子写作文：我上三年级",
    "我在高中学校工作",
    "我是中学生心理咨询师",
    "我已经28岁了还像小学生",
    "我80后",
    "我3岁",
    "我是小学生作文杂志的编辑",
    "I'm 32 years old",
    "I am 45.",
    "When I was 12 years old I moved",
    "My son is 12 years old",
    "I'm 18 years old",
    "I have 12 years of experience",
    "I'm 15 minutes late",
    "I'm 10 weeks pregnant",
    "I am 12 hours behind",
    "I'm 14 days sober",
    "Write a story: I'm 12 years old and I find a map",
    "Translate: I am ten years old",
    '"I\'m 13," she said.',
    "I'm a 7th grade teacher",
    "I'm in high school admissions",
    "I teach: I'm in middle school every day",
    "my daughter says i'm 12 years old",
    "Pretend I'm 10 years old and explain gravity",
    "Explain it like I'm 10",
    "Explain like I'm five years old",
    "if I'm 16, can I drive",
    "I'm 15 percent done",
    "I am 16% through",
    "I'm 17 stone",
    "I'm a high school principal",
    "I'm a high school teacher.",
    "I'm a middle school counselor",
    "He is 12 years old",
    "Anna is 14 and lives here",
    "a 12 year old asked me",
    "for kids 8 years old",
    "I'm 13 in this photo",
    "I'm 12 when the story begins",
    "imagine i am 9 years old",
    "I used to be a minor celebrity",
    "I'm a minor league player",
    "What should a 10 year old read?",
    "The company is 12 years old",
    "My car is 15 years old",
    "I'm 21, is that old?",
    "i am 38 and back in school",
    "I am 16 credits short",
    "I've been here 12 years",
    "as if I'm 12",
    "I was 15 back then",
    "My student wrote: I am 11 years old.",
    "I am ten times richer",
    "I'm seven chapters in",
    "I'm 8 and a half months pregnant",
    "Grade 8 bolts",
    "year 12 syllabus for my class",
    "role-play: I'm 15 years old",
    "Fix this sentence: I am 12 years old",
    "I'm 11th in the queue",
    "I am 14th in line",
)


@pytest.mark.parametrize("text", PLAIN_MINORS)
def test_a_plain_age_is_a_plain_sign(text: str) -> None:
    """Whoever says it of themselves, now."""
    assert signs(text) == PLAIN


@pytest.mark.parametrize("text", HINTING_MINORS)
def test_a_school_year_is_a_hint(text: str) -> None:
    """It counts half: grown-ups go to school as well."""
    assert signs(text) == HINT


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_said_of_others_of_the_past_or_in_play_is_none(text: str) -> None:
    """Children, memories, stories, lessons, numbers that are no ages, and adults."""
    assert signs(text) == 0


def test_the_measure_as_a_whole() -> None:
    """No false alarm in over a hundred texts; of minors' texts, those that say nothing plain are missed by choice."""
    minors = (*PLAIN_MINORS, *HINTING_MINORS, *MISSED_MINORS)
    caught = sum(signs(text) > 0 for text in minors)
    assert len(OTHERS) >= 100 and not any(signs(text) for text in OTHERS)
    assert caught / len(minors) >= 0.8


def test_long_texts_are_documents() -> None:
    """What a novel says is not about whoever sends it."""
    assert signs("I'm 12 years old." + " " * MOST_CHARS) == 0


@pytest.mark.parametrize(
    "text", ["我" + "刚" * 1_900 + "岁", "I'm " + "only " * 380, "岁" * 2_000, "我今年" * 600 + "12岁"]
)
def test_no_text_takes_long(text: str) -> None:
    """Nothing that somebody sends makes the search run away."""
    began = time.process_time()
    signs(text)
    assert time.process_time() - began < 0.1
