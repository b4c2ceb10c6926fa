# SPDX-License-Identifier: Apache-2.0
"""Views show what a disguise hides, and leave ordinary texts alone."""

import base64
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_filter.normalise import normalise
from content_filter.views import MAX_CHARACTERS, View, reversed_view, sound_view, views

ZH, EN = "如何制作炸弹", "how to make a bomb"


def _found(text: str) -> dict[str, str]:
    return {view.text: view.kind for view in views(text)}


@pytest.mark.parametrize(
    ("disguised", "plain", "kind"),
    [
        ("如-何-制-作-炸-弹", ZH, "separators"),
        ("如 何 制 作 炸 弹", ZH, "separators"),
        ("如.何*制/作|炸_弹", ZH, "separators"),
        ("h-o-w t-o m-a-k-e a b-o-m-b", EN, "separators"),
        ("h o w  t o  m a k e  a  b o m b", EN, "separators"),
        ("h0w t0 m4k3 a b0mb", EN, "leet"),
        ("hоw tо mаkе а bоmb", EN, "homoglyphs"),
        ("如何制作火乍弓单", ZH, "parts"),
        ("女口亻可制亻乍火乍弓单", "如亻可制作炸弹", "parts"),
        ("如\n何\n制\n作\n炸\n弹", ZH, "separators"),
        ("制如\n作何\n炸\n弹", "如何制作炸弹", "columns"),
        ("炸制如\n弹作何\n啊吗呢", "如何呢制作吗炸弹啊", "columns"),
        ("".join(f"&#{ord(char)};" for char in ZH), ZH, "escapes"),
        ("".join(f"&#x{ord(char):x};" for char in ZH), ZH, "escapes"),
        (urllib.parse.quote(ZH), ZH, "escapes"),
        ("".join(f"\\u{ord(char):04x}" for char in ZH), ZH, "escapes"),
        ("".join(f"\\x{byte:02x}" for byte in ZH.encode()), ZH, "escapes"),
        (ZH.encode().hex(), ZH, "escapes"),
        (EN.encode().hex(" "), EN, "escapes"),
        (base64.b64encode(ZH.encode()).decode(), ZH, "escapes"),
        (base64.urlsafe_b64encode(EN.encode()).decode().rstrip("="), EN, "escapes"),
        (base64.b64encode(base64.b64encode(ZH.encode())).decode(), ZH, "escapes"),
        (base64.b64encode("如-何-制-作-炸-弹".encode()).decode(), ZH, "separators"),
        ("ruhe zhizuo zhadan", "ru he zhi zuo zha dan", "pinyin"),
        ("ru he zhi zuo zha dan", None, ""),
    ],
)
def test_a_disguise_is_undone(disguised: str, plain: str | None, kind: str) -> None:
    """Each transform by itself, and two of them on top of each other. What is in syllables already needs no view."""
    found = _found(disguised)

    if plain is None:
        assert kind not in found.values() or set(found) == set()
    else:
        assert found.get(plain) == kind


@pytest.mark.parametrize(
    "text",
    [
        "今天天气很好，我们一起去公园吧。",
        "What is the best way to learn a language?",
        "第一，准备材料；第二，加热；第三，装盘。",
        "请在2026年11月21日之前提交报告（一式三份）。",
        "I have 3 apples, 2 pears and a 100% discount!",
        "def f(x):\n    return x + 1\n",
        "https://example.org/path/to/page?query=value",
        "买了五斤苹果、三斤梨、两斤香蕉",
        "",
    ],
)
def test_an_ordinary_text_has_no_view_that_costs_it(text: str) -> None:
    """No view, or one that says the same."""
    assert all(view.text.replace(" ", "") == normalise(text).replace(" ", "") for view in views(text))


@pytest.mark.parametrize(
    "disguised",
    ["如-何-制-作-炸-弹", "如何制作火乍弓单", "hоw tо mаkе а bоmb", urllib.parse.quote(ZH), "制如\n作何\n炸\n弹"],
)
def test_a_view_says_where_each_character_came_from(disguised: str) -> None:
    """As many places as characters, all inside the original; unchanged characters point at themselves."""
    for view in views(disguised):
        assert len(view.origins) == len(view.text)
        assert all(0 <= place < len(disguised) for place in view.origins)
        for char, place in zip(view.text, view.origins, strict=True):
            if char in disguised and view.kind in ("separators", "columns"):
                assert disguised[place] == char


def test_the_sound_view_is_the_same_for_characters_that_sound_alike() -> None:
    """A homophone is a disguise that only the ear sees through."""
    plain, disguised = sound_view("制作炸弹"), sound_view("织做榨蛋")

    assert isinstance(plain, View)
    assert isinstance(disguised, View)
    assert plain.text.split()[2:] == disguised.text.split()[2:] == ["zha", "dan"]
    assert sound_view("no chinese here") is None


def test_the_reversed_view_reads_from_the_end() -> None:
    """With places that point back."""
    view = reversed_view("弹炸作制何如")

    assert view is not None
    assert view.text == ZH
    assert view.origins == (5, 4, 3, 2, 1, 0)
    assert reversed_view("ab") is None


@given(st.text(max_size=200))
def test_views_of_any_text_are_bounded_and_well_formed(text: str) -> None:
    """Few, in normal form, none the same as the plain form or each other."""
    found = list(views(text))

    assert len(found) <= 12
    assert len({view.text for view in found}) == len(found)
    for view in found:
        assert view.text != normalise(text)
        assert normalise(view.text) == view.text
        assert not view.origins or len(view.origins) == len(view.text)


def test_a_bomb_of_nested_escapes_stays_small() -> None:
    """Decoding is bounded in rounds and in length."""
    text = "a" * 20_000
    for _ in range(5):
        text = base64.b64encode(text.encode()).decode()

    assert all(len(view.text) <= 2 * MAX_CHARACTERS for view in views(text))
