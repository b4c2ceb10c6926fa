# SPDX-License-Identifier: Apache-2.0
"""The notice at first contact, its acknowledgement, and the `AI-Disclosure` header."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Action, Refusal
from gateway.disclosure import AcknowledgementError, Disclosure, Notice
from gateway.exchange import ANONYMOUS, Person
from gateway.policies import load
from gateway.settings import Settings
from gateway.state import StateUnavailable

KEY = b"k" * 32
POLICY = load(["cn"])
ANNA = Person(subject="anna", is_signed=True)
BEN = Person(subject="ben", is_signed=True)
DAY_S = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeMemory:
    """A shared state that keeps what it is told for as long as it is told, and counts how often it is asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.values: dict[str, tuple[str, float]] = {}
        self.asked = 0

    async def remember(self, key: str, value: str, ttl_s: float) -> None:
        assert ttl_s > 0
        self.values[key] = (value, self.clock.now + ttl_s)

    async def recall(self, key: str) -> str | None:
        self.asked += 1
        value, until = self.values.get(key, ("", 0.0))
        return value if self.clock.now < until else None


def settings(mode: str = "announce", **changes: Any) -> Settings:
    service = {"name": "示例智能助手", "provider": "示例科技有限公司", **changes.pop("service", {})}
    tree = {"service": service, "disclosure": {"mode": mode, **changes.pop("disclosure", {})}, **changes}
    return Settings.model_validate(tree)


def house(mode: str = "announce", **changes: Any) -> tuple[Disclosure, FakeMemory, Clock]:
    clock = Clock()
    memory = FakeMemory(clock)
    return Disclosure(settings(mode, **changes), POLICY, memory, clock, KEY), memory, clock


def token_of(refusal: Refusal) -> str:
    return refusal.message.partition("ack=")[2]


def refused(duty: Disclosure, person: Person, language: str = "") -> Refusal:
    with pytest.raises(Refusal) as caught:
        asyncio.run(duty.first_contact(person, language))
    return caught.value


# The notice


def test_the_notice_says_ai_fallible_who_and_where() -> None:
    """In both languages: it is an AI and no human, it may be wrong, who provides it, where to complain."""
    duty, _, _ = house(server={"public_url": "https://ai.example"})

    for needed in (
        "人工智能",
        "不是真人",
        "可能有误",
        "示例科技有限公司",
        "示例智能助手",
        "https://ai.example/duty/about",
    ):
        assert needed in duty.notice.zh
    for needed in ("AI, not a human", "may be wrong", "示例科技有限公司", "https://ai.example/duty/about"):
        assert needed in duty.notice.en
    assert "{" not in duty.notice.zh + duty.notice.en


def test_the_version_of_the_notice_changes_with_its_texts() -> None:
    """The record names the version, so the version must tell texts apart."""
    versions = {Notice.of("甲", "a").version, Notice.of("乙", "a").version, Notice.of("甲", "b").version}

    assert len(versions) == 3
    assert Notice.of("甲", "a").version in versions
    assert Notice.of("ab", "c").version != Notice.of("a", "bc").version


# Mode announce


def test_an_untold_person_is_told_until_the_answer_began() -> None:
    """The notice stays due until `mark_told`: an answer that never began told nobody."""
    duty, _, _ = house()

    async def story() -> None:
        first = await duty.first_contact(ANNA)
        again = await duty.first_contact(ANNA)
        await duty.mark_told(ANNA)
        after = await duty.first_contact(ANNA)

        assert duty.notice.zh == first.notice == again.notice
        assert Action.NOTIFY is first.decision.action
        assert duty.notice.version == first.version == after.version
        assert (after.notice, after.decision.action) == ("", Action.ALLOW)
        assert duty.notice.zh == (await duty.first_contact(BEN)).notice

    asyncio.run(story())


def test_the_notice_speaks_the_language_asked_for() -> None:
    """English on request, else the policy's own language."""
    duty, _, _ = house()

    assert duty.notice.en == asyncio.run(duty.first_contact(ANNA, "en")).notice
    assert duty.notice.zh == asyncio.run(duty.first_contact(ANNA, "zh")).notice
    assert duty.notice.zh == asyncio.run(duty.first_contact(ANNA)).notice


def test_an_anonymous_person_is_told_each_time() -> None:
    """Nobody knows whether it is the same person, so nothing is remembered."""
    duty, memory, _ = house()

    async def story() -> None:
        for _ in range(3):
            assert duty.notice.zh == (await duty.first_contact(ANONYMOUS)).notice
            await duty.mark_told(ANONYMOUS)

    asyncio.run(story())
    assert memory.values == {}


def test_the_same_subject_of_another_tenant_is_another_person() -> None:
    """Tenants do not share whom they told."""
    duty, _, _ = house()

    async def story() -> str:
        await duty.mark_told(Person(tenant="a", subject="anna"))
        return (await duty.first_contact(Person(tenant="b", subject="anna"))).notice

    assert duty.notice.zh == asyncio.run(story())


def test_a_told_person_costs_no_look_into_the_state() -> None:
    """The hot path does no I/O once the process knows."""
    duty, memory, _ = house()

    async def story() -> None:
        await duty.mark_told(ANNA)
        for _ in range(10):
            await duty.first_contact(ANNA)

    asyncio.run(story())
    assert memory.asked == 0


def test_another_process_learns_from_the_shared_state() -> None:
    """Told by one worker is told for all, with the time that is left."""
    duty, memory, clock = house(disclosure={"renew_after_days": 2})
    other = Disclosure(settings(disclosure={"renew_after_days": 2}), POLICY, memory, clock, KEY)

    async def story() -> None:
        await duty.mark_told(ANNA)
        clock.now += DAY_S
        assert (await other.first_contact(ANNA)).notice == ""
        clock.now += DAY_S
        assert duty.notice.zh == (await other.first_contact(ANNA)).notice

    asyncio.run(story())


@pytest.mark.parametrize(("renew_after_days", "days"), [(0, 400), (30, 30)])
def test_the_notice_is_renewed_after_the_days_that_the_settings_or_the_policy_say(
    renew_after_days: int, days: int
) -> None:
    """Exact to the second, in the process that told and in the state."""
    duty, _, clock = house(disclosure={"renew_after_days": renew_after_days})

    async def story() -> None:
        await duty.mark_told(ANNA)
        clock.now += days * DAY_S - 1
        assert (await duty.first_contact(ANNA)).notice == ""
        clock.now += 1
        assert duty.notice.zh == (await duty.first_contact(ANNA)).notice

    asyncio.run(story())


def test_a_changed_notice_is_told_again() -> None:
    """What was told was another text."""
    duty, memory, clock = house()
    renamed = Disclosure(settings(service={"name": "新名字"}), POLICY, memory, clock, KEY)

    async def story() -> str:
        await duty.mark_told(ANNA)
        return (await renamed.first_contact(ANNA)).notice

    assert renamed.notice.zh == asyncio.run(story())


def test_a_spoiled_memory_counts_as_untold() -> None:
    """What cannot be read is not proof of having told."""
    duty, memory, clock = house()

    async def story() -> str:
        await duty.mark_told(ANNA)
        memory.values = {key: ("spoiled", clock.now + 10) for key in memory.values}
        fresh = Disclosure(settings(), POLICY, memory, clock, KEY)
        return (await fresh.first_contact(ANNA)).notice

    assert duty.notice.zh == asyncio.run(story())


def test_what_a_process_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest falls out of the process and is found in the state."""
    monkeypatch.setattr("gateway.disclosure._MAX_TOLD", 2)
    duty, memory, _ = house()

    async def story() -> None:
        for subject in ("a", "b", "c"):
            await duty.mark_told(Person(subject=subject))
        assert (await duty.first_contact(Person(subject="c"))).notice == ""
        assert memory.asked == 0
        assert (await duty.first_contact(Person(subject="a"))).notice == ""
        assert memory.asked == 1

    asyncio.run(story())


def broken(mode: str) -> Disclosure:
    class Broken(FakeMemory):
        async def remember(self, key: str, value: str, ttl_s: float) -> None:
            raise StateUnavailable("away")

        async def recall(self, key: str) -> str | None:
            raise StateUnavailable("away")

    return Disclosure(settings(mode), POLICY, Broken(Clock()), Clock(), KEY)


def test_where_the_state_is_away_people_are_told_again() -> None:
    """Not knowing never lets an answer out without the notice, and never stops one in mode `announce`."""
    duty = broken("announce")

    async def story() -> None:
        assert (await duty.first_contact(ANNA)).notice == duty.notice.zh
        assert await duty.mark_told(ANNA) is False
        assert (await duty.first_contact(ANNA)).notice == duty.notice.zh

    asyncio.run(story())


def test_where_the_state_is_away_nobody_counts_as_having_acknowledged() -> None:
    """The failure comes through, so that the pipeline refuses."""
    with pytest.raises(StateUnavailable):
        asyncio.run(broken("acknowledge").first_contact(ANNA))


# Mode interface


def test_in_mode_interface_nothing_is_said_in_band() -> None:
    """The provider declared that its own interface tells people; the decision says so."""
    duty, memory, _ = house("interface")
    contact = asyncio.run(duty.first_contact(ANNA))

    assert (contact.notice, contact.decision.action, contact.decision.reason) == ("", Action.SKIP, "interface")
    asyncio.run(duty.mark_told(ANNA))
    assert memory.values == {}


# Mode acknowledge


def test_whoever_has_not_acknowledged_gets_428_with_a_link() -> None:
    """RFC 6585: the refusal says how to go on, in a header and in words."""
    duty, _, _ = house("acknowledge", server={"public_url": "https://ai.example/"})
    refusal = refused(duty, ANNA)

    assert (refusal.status, refusal.code, refusal.in_band) == (428, "acknowledgement_required", False)
    link = f"https://ai.example/duty/about?ack={token_of(refusal)}"
    assert (("Link", f'<{link}>; rel="help"'),) == refusal.headers
    assert link in refused(duty, ANNA, "en").message
    assert refused(duty, ANNA, "en").message.isascii()


def test_an_anonymous_person_cannot_acknowledge() -> None:
    """Leaving the identity out is no way around the acknowledgement, and gives no link to sign with."""
    refusal = refused(house("acknowledge")[0], ANONYMOUS)

    assert refusal.status == 428
    assert "Duty-Subject" in refusal.message
    assert "ack=" not in refusal.message + str(refusal.headers)


def test_an_acknowledged_person_goes_on_and_nobody_else_does() -> None:
    """The link counts for its own person only."""
    duty, _, _ = house("acknowledge")

    async def acknowledge() -> None:
        await duty.acknowledge(duty.open_acknowledgement(token_of(refusal)))

    refusal = refused(duty, ANNA)
    asyncio.run(acknowledge())

    assert asyncio.run(duty.first_contact(ANNA)).notice == ""
    assert refused(duty, BEN).status == 428


def test_the_record_of_an_acknowledgement_names_version_tenant_and_pseudonym() -> None:
    """Enough to prove it later, nothing that names the person."""
    duty, _, _ = house("acknowledge")
    opened = duty.open_acknowledgement(token_of(refused(duty, Person(tenant="t", subject="p"))))

    assert {
        "type": "notice",
        "event": "acknowledged",
        "notice_version": duty.notice.version,
        "tenant": "t",
        "subject": "p",
    } == opened.facts()


def test_being_told_is_not_acknowledging() -> None:
    """A service that changes to `acknowledge` asks those whom it had only told."""
    duty, memory, clock = house("announce")
    asyncio.run(duty.mark_told(ANNA))
    stricter = Disclosure(settings("acknowledge"), POLICY, memory, clock, KEY)
    asyncio.run(stricter.mark_told(BEN))

    assert refused(stricter, ANNA).status == 428
    assert refused(stricter, BEN).status == 428


def test_a_link_works_for_24_hours() -> None:
    """Exact to the second."""
    duty, _, clock = house("acknowledge")
    token = token_of(refused(duty, ANNA))
    clock.now += 24 * 3_600 - 1
    assert duty.open_acknowledgement(token).subject == "anna"
    clock.now += 1

    with pytest.raises(AcknowledgementError) as caught:
        duty.open_acknowledgement(token)
    assert caught.value.code == "expired"


def test_a_link_for_an_older_notice_is_outdated() -> None:
    """One cannot acknowledge a text that is no longer in force."""
    duty, memory, clock = house("acknowledge")
    token = token_of(refused(duty, ANNA))
    renamed = Disclosure(settings("acknowledge", service={"name": "新名字"}), POLICY, memory, clock, KEY)

    with pytest.raises(AcknowledgementError) as caught:
        renamed.open_acknowledgement(token)
    assert caught.value.code == "outdated"


def test_a_link_signed_with_another_key_is_refused() -> None:
    """Nobody else can acknowledge for a person."""
    duty, memory, clock = house("acknowledge")
    other = Disclosure(settings("acknowledge"), POLICY, memory, clock, b"x" * 32)

    with pytest.raises(AcknowledgementError):
        duty.open_acknowledgement(token_of(refused(other, ANNA)))


@given(st.data())
def test_a_changed_link_is_refused_or_means_the_same(data: st.DataObject) -> None:
    """Any other characters give the one error, never another person."""
    duty, _, _ = house("acknowledge")
    token = token_of(refused(duty, ANNA))
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.characters()) + token[at + 1 :]

    try:
        opened = duty.open_acknowledgement(changed)
    except AcknowledgementError as error:
        assert error.code == "malformed"
    else:  # only spare bits of the last base64 character can differ unnoticed
        assert opened.subject == "anna"


@given(st.text())
def test_any_text_as_a_link_gives_the_one_error(token: str) -> None:
    """Links come from strangers."""
    with pytest.raises(AcknowledgementError):
        house("acknowledge")[0].open_acknowledgement(token)


def test_a_short_key_is_refused() -> None:
    """A weak key would let people acknowledge for others."""
    with pytest.raises(ValueError, match="32 bytes"):
        Disclosure(settings(), POLICY, FakeMemory(Clock()), Clock(), b"short")


# The header


def test_the_header_is_a_dictionary_with_mode_provider_model_and_policy() -> None:
    """draft-abaris-aicdh: nobody reviews these answers, so the mode is machine-generated."""
    duty, _, _ = house(service={"provider": 'Example "AI" \\ Co'})

    expected = rb'mode=machine-generated, provider="Example \"AI\" \\ Co", model="gpt-4o", policy="cn"'
    assert expected == duty.header("gpt-4o")


def test_chinese_names_are_display_strings() -> None:
    """RFC 9651 section 3.3.8: UTF-8, percent-encoded with lower-case digits."""
    duty, _, _ = house(service={"provider": "示例"})

    assert duty.header("m") == b'mode=machine-generated, provider=%"%e7%a4%ba%e4%be%8b", model="m", policy="cn"'


def test_what_is_not_known_is_left_out() -> None:
    """An empty model is no member."""
    duty, _, _ = house(service={"provider": ""})

    assert duty.header("") == b'mode=machine-generated, policy="cn"'


@given(st.text())
def test_no_model_name_breaks_the_header(model: str) -> None:
    """Clients choose model names: no line break, no byte outside printable ASCII, and the name comes back whole."""
    value = house()[0].header(model).decode("ascii")
    assert value.isprintable()

    if not model:
        assert "model" not in value
        return
    text = re.search(r', model="((?:[^"\\]|\\.)*)", policy="cn"$', value)
    display = re.search(r', model=%"([^"]*)", policy="cn"$', value)
    if text is not None:
        assert model[:128] == re.sub(r"\\(.)", r"\1", text[1])
    else:
        assert display is not None
        octets = re.sub(r"%([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), display[1])
        assert model[:128].encode("utf-8", "replace") == octets.encode("latin-1")


def test_the_header_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that invents model names makes us hold no more than the bound."""
    monkeypatch.setattr("gateway.disclosure._MAX_HEADERS", 4)
    duty, _, _ = house()
    for number in range(20):
        assert f'model="m{number}"'.encode() in duty.header(f"m{number}")

    assert len(duty._headers) <= 4


@pytest.mark.parametrize("language", ["zh", "zh_hant", "en"])
@pytest.mark.parametrize("reading", ["standard", "large", "easy", "spoken"])
def test_every_reading_tells_that_it_is_no_person(language: str, reading: str) -> None:
    """In its own language, with the service's name; where an address is said, it is the about page's."""
    text = house()[0].notice.text(language, reading)
    assert any(words in text for words in ("不是真人", "not a human", "not a person", "not to a person"))
    assert "示例智能助手" in text and "{" not in text
    assert ("/duty/about" in text) is (reading != "spoken")
    assert ("與" in text or "這" in text or "說" in text) is (language == "zh_hant")


def test_readings_fall_back_to_the_standard_words() -> None:
    """An unknown language is Chinese, an unknown reading the standard one, large print has the same words."""
    notice = house()[0].notice
    assert notice.text("fr") == notice.text("zh", "unheard") == notice.text("zh", "large") == notice.zh
    assert set(notice.readings()) == {"zh-Hans", "zh-Hant", "en"}
    assert all(set(texts) == {"standard", "large", "easy", "spoken"} for texts in notice.readings().values())
    assert Notice.of("中", "en").text("zh_hant", "easy") == "中"


def test_a_change_of_any_reading_is_another_version() -> None:
    """Whoever was told one reading was told all of that version."""
    plain = Notice.of("中", "en")
    assert plain.version != Notice.of("中", "en", {("easy", "en"): "x"}).version


def test_each_session_is_told_anew() -> None:
    """A pause of the set minutes ends it; a session without one lasts, in every process, to the notice's own end."""
    first, memory, clock = house(disclosure={"session_minutes": 30})
    second = Disclosure(settings(disclosure={"session_minutes": 30}), POLICY, memory, clock, KEY)

    async def scene() -> None:
        assert (await first.first_contact(ANNA)).notice
        await first.mark_told(ANNA)
        for turn in range(40):
            clock.now += 7 * 60
            process = (first, second)[turn % 2]
            assert not (await process.first_contact(ANNA)).notice, turn
        clock.now += 30 * 60
        assert (await first.first_contact(ANNA)).notice and (await second.first_contact(ANNA)).notice

    asyncio.run(scene())


@given(st.lists(st.integers(min_value=1, max_value=3_000), min_size=1, max_size=30))
def test_a_pause_is_never_passed_over(steps: list[int]) -> None:
    """After the full pause the person is told, whatever went before; within a fifth of it, never."""
    duty, _, clock = house(disclosure={"session_minutes": 30})

    async def scene() -> None:
        await duty.mark_told(ANNA)
        for step in steps:
            clock.now += step
            is_told = bool((await duty.first_contact(ANNA)).notice)
            assert is_told or step < 1_800
            assert not is_told or step > 360
            if is_told:
                await duty.mark_told(ANNA)

    asyncio.run(scene())
