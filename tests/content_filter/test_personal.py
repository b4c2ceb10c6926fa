# SPDX-License-Identifier: Apache-2.0
"""Personal data is found where its check holds, and masked in streams as in whole texts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_filter.errors import FilterError
from content_filter.filter import Outcome
from content_filter.guard import GuardStep
from content_filter.personal import (
    CLASS_CODE,
    Finding,
    Kind,
    PersonalFilter,
    PersonalGuard,
    find,
    is_bank_card,
    is_id_card,
    mask,
)
from content_filter.terms import Action

ID = "11010519491231002X"  # the example number of GB 11643-1999
CARD = "6222020200112230008"  # made up, with its Luhn digit
VISA = "4111111111111111"  # the payment industry's test number


def _kinds(text: str) -> list[tuple[str, Kind]]:
    return [(text[finding.start : finding.end], finding.kind) for finding in find(text)]


def _luhn(body: str) -> str:
    total = sum(int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(body)))
    return body + str(-total % 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"身份证{ID}。", [(ID, Kind.ID_CARD)]),
        (f"身份证{ID.lower()}", [(ID.lower(), Kind.ID_CARD)]),
        ("身份证１１０１０５１９４９１２３１００２Ｘ。", [("１１０１０５１９４９１２３１００２Ｘ", Kind.ID_CARD)]),
        ("110105 19491231 002X", [("110105 19491231 002X", Kind.ID_CARD)]),
        ("电话13812345678。", [("13812345678", Kind.MOBILE)]),
        ("电话138-1234-5678或+86 13912345678", [("138-1234-5678", Kind.MOBILE), ("+86 13912345678", Kind.MOBILE)]),
        ("1\u200b3812345678", [("1\u200b3812345678", Kind.MOBILE)]),
        (f"卡{VISA}，", [(VISA, Kind.BANK_CARD)]),
        ("卡4111 1111 1111 1111，", [("4111 1111 1111 1111", Kind.BANK_CARD)]),
        ("护照号码是E12345678", [("E12345678", Kind.PASSPORT)]),
        ("my passport no. EA1234567.", [("EA1234567", Kind.PASSPORT)]),
        ("写信到 li.si+x@mail.example.com。", [("li.si+x@mail.example.com", Kind.EMAIL)]),
        ("我住在上海市黄浦区南京东路100号3栋502室。", [("上海市黄浦区南京东路100号3栋502室", Kind.ADDRESS)]),
        ("Send it to 12 Baker Street, London", [("12 Baker Street", Kind.ADDRESS)]),
    ],
)
def test_what_identifies_a_person_is_found(text: str, expected: list[tuple[str, Kind]]) -> None:
    """Each kind, in the forms that people write."""
    assert _kinds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "订单号20261121123456789",  # looks like an identity card, is not
        "110105194912310021",  # wrong check character
        "990105194912310020",  # no such region
        "12812345678",  # no mobile range
        "138123456789",  # a digit too many
        "编号A13812345678",  # part of a longer code
        "4111111111111112",  # wrong Luhn digit
        "0000000000000000",
        "3.14159265358979323",
        "a@b",
        "版本 1.2.3.4",
        "E12345678",  # a passport only where one is spoken of
        "南京东路很热闹",
        "2026-11-21 10:30:00",
        "I walked 12 miles down the road",
    ],
)
def test_other_numbers_and_words_stay(text: str) -> None:
    """Order numbers, versions, times, measures."""
    assert find(text) == []


def test_checks_hold_for_their_own_numbers_alone() -> None:
    """Birth dates must exist; issuers' ranges and lengths are known."""
    assert is_id_card(ID)
    assert not is_id_card(ID[:-1] + "0")
    assert not is_id_card("110105194902300020")
    assert is_bank_card(VISA)
    assert is_bank_card(_luhn("622202020011223000"))
    assert not is_bank_card(_luhn("9" * 15))
    assert not is_bank_card(_luhn("411111111111"))


def test_only_the_kinds_that_are_asked_for_are_found() -> None:
    """By policy."""
    text = f"{ID} 13812345678"

    assert [finding.kind for finding in find(text, ["mobile"])] == [Kind.MOBILE]
    with pytest.raises(FilterError, match="kind"):
        find(text, ["shoe_size"])


def test_a_mask_has_as_many_marks_as_there_were_characters() -> None:
    """So that places stay."""
    assert mask("电话13812345678。", find("电话13812345678。")) == "电话***********。"
    assert Finding(0, 1, Kind.EMAIL).rule == "personal:email"


def _stream(pieces: list[str], guard: PersonalGuard) -> tuple[str, list[GuardStep]]:
    text = "".join(pieces)
    steps = [guard.feed(piece) for piece in pieces] + [guard.close()]
    chars, done, out = list(text), 0, ""
    for step in steps:
        assert step.release >= done
        for replacement in step.replacements:
            assert done <= replacement.start < replacement.end <= step.release
            chars[replacement.start : replacement.end] = "*" * (replacement.end - replacement.start)
        out += "".join(chars[done : step.release])
        done = step.release
    return out, steps


_NUMBERED = st.one_of(
    st.sampled_from([ID, CARD, VISA, "13812345678", "138-1234 5678", "a.b@ex.org", "护照E12345678", "12345", "。", " ",
                     "中文", "x", "2026", "+86 13912345678", "word"]),
    st.text(alphabet="0123456789 -x@.a。好", max_size=8),
)  # fmt: skip


@given(st.lists(_NUMBERED, max_size=6).map("".join), st.lists(st.integers(0, 120), max_size=8))
def test_a_stream_is_masked_as_the_whole_text_however_it_is_cut(text: str, cuts: list[int]) -> None:
    """All kinds but addresses, of which the guard says that the street has left before the number comes."""
    kinds = [kind for kind in Kind if kind is not Kind.ADDRESS]
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]

    streamed, _ = _stream(pieces, PersonalGuard(kinds))

    assert streamed == mask(text, find(text, kinds))


def test_of_an_address_the_stream_masks_the_part_from_the_house_number_on() -> None:
    """What has left cannot be called back."""
    streamed, _ = _stream(list("我住在上海市黄浦区南京东路100号3栋502室。好"), PersonalGuard())

    assert streamed == "我住在上海市黄浦区南京东路**********。好"


def test_nothing_waits_but_what_may_become_a_finding() -> None:
    """Chinese text flows at once."""
    guard = PersonalGuard()

    assert guard.feed("今天天气很好").release == 6
    assert guard.feed("电话是138").release == 9
    assert guard.feed("年").release == 13


def test_a_guard_that_blocks_stops_before_the_finding() -> None:
    """Nothing of it leaves, then or later."""
    guard = PersonalGuard(action=Action.BLOCK)
    guard.feed("电话是13812345678")

    step = guard.feed("，再见")

    assert step.release == 3
    assert step.match is not None
    assert (step.match.class_code, step.match.rule) == (CLASS_CODE, "personal:mobile")
    assert guard.feed("13912345678 more").release == 3
    assert guard.close().release == 3


def test_a_guard_that_flags_lets_pass_and_notes_once() -> None:
    """Every finding in exactly one step."""
    streamed, steps = _stream(list("a 13812345678 b li@ex.org c"), PersonalGuard(action="flag"))

    assert streamed == "a 13812345678 b li@ex.org c"
    assert [match.rule for step in steps for match in step.noted] == ["personal:mobile", "personal:email"]
    with pytest.raises(FilterError, match="action"):
        PersonalGuard(action="shout")


def test_a_number_beside_another_is_found() -> None:
    """One space between two numbers does not hide either; a mask leaves the space."""
    for text in ("13 13912345678", "13912345678 13", "13912345678 9.", "id 4111111111111111 13912345678"):
        findings = find(text)
        assert {text[finding.start : finding.end] for finding in findings} <= {"13912345678", VISA}
        assert Kind.MOBILE in {finding.kind for finding in findings}
    assert find("order 20240101 3912345678 88") == []


def test_a_filter_of_personal_data_gives_verdicts_as_one_of_terms_does() -> None:
    """Whole texts and streams with one action."""
    chosen = PersonalFilter(["mobile"], "mask")
    place, verdict = chosen.check_texts(["fine", "call 13912345678"], "answer")
    assert (place, verdict.verdict, verdict.class_code, verdict.rule) == (
        1,
        Outcome.MASK,
        CLASS_CODE,
        "personal:mobile",
    )
    assert (verdict.start, verdict.end, verdict.score_bp) == (5, 16, 10_000)
    assert chosen.check_texts(["a@example.com"], "answer")[1].verdict is Outcome.PASS
    guard = chosen.guard()
    steps = [guard.feed("call 139123"), guard.feed("45678 now"), guard.close()]
    assert [tuple(span[:2]) for step in steps for span in step.replacements] == [(5, 16)]
    with pytest.raises(FilterError):
        PersonalFilter(["shoe size"])
