# SPDX-License-Identifier: Apache-2.0
"""The policy files: what they hold, what is refused, and how several join."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies import Kind, PolicyError, available, duty_table, load

HEAD = '[policy]\nid = "{id}"\nversion = "2026-01-02"\ntitle = "T"\ntitle_zh = "题"\n'
ENTRY = {
    "value": "60",
    "unit": '"min"',
    "stricter": '"lower"',
    "kind": '"guidance"',
    "confidence": '"H"',
    "article": '"art 1"',
    "source": '"a source"',
    "title": '"What"',
    "title_zh": '"何事"',
}
DOCS = Path(__file__).parents[2] / "docs"


def entry(key: str = "minors.daily", **changes: str | None) -> str:
    fields = {**ENTRY, **changes}
    return f"[{key}]\n" + "".join(f"{name} = {text}\n" for name, text in fields.items() if text is not None)


def write(folder: Path, text: str, name: str = "xx") -> None:
    (folder / f"{name}.toml").write_text(HEAD.format(id=name) + text, encoding="utf-8")


NAMED = {
    "minors.daily_minutes_under_16": 60,
    "minors.daily_minutes_16_17": 120,
    "minors.continuous_reminder_minutes": 30,
    "minors.guardian_consent_under": 14,
    "complaints.close_working_days": 15,
    "complaints.triage_hours": 24,
    "retention.network_log_days": 184,
    "retention.risk_record_days": 1096,
    "filter.refuse_classes": 17,
    "filter.classes": 31,
    "sanctions.consecutive": 3,
    "sanctions.per_day": 5,
    "incident.cac_hours": 4,
    "incident.cii_hours": 1,
    "incident.closing_report_days": 30,
    "incident.pi_major_persons": 1_000_000,
    "shutdown.announce_working_days": 30,
    "shutdown.purge_working_days": 30,
    "shutdown.deregister_working_days": 20,
    "filing.change_working_days": 10,
    "filing.audit_years": 2,
    "companion.reminder_seconds": 7200,
    "label.aigc.provider_code_length": 27,
    "label.image.min_glyph_ratio": 0.05,
    "label.video.min_seconds": 2,
}


@pytest.mark.parametrize(("key", "number"), NAMED.items())
def test_cn_holds_the_numbers_of_the_law(key: str, number: float) -> None:
    """The duties read these keys; a changed number is a change of the law, not of the code."""
    assert number == load(["cn"]).number(key)


def test_cn_holds_the_texts_that_the_duties_read() -> None:
    """The label's text carries an AI element and a generation element, as the standard asks."""
    policy = load(["cn"])
    text = policy.text("label.text.zh")

    assert any(element in text for element in policy.texts("label.text.ai_elements"))
    assert any(element in text for element in policy.texts("label.text.generation_elements"))
    assert policy.text("label.text.position") == "both"
    assert policy.text("label.aigc.field") == "AIGC"
    assert (policy.text("minors.curfew_start"), policy.text("minors.curfew_end")) == ("22:00", "06:00")


def test_cn_charset_is_the_one_of_annex_e() -> None:
    """Printable ASCII without space, quote and backslash passes; nothing else does."""
    pattern = re.compile(load(["cn"]).text("label.aigc.charset"))
    passing = {chr(code) for code in range(0x250) if pattern.fullmatch(chr(code))}

    assert passing == {chr(code) for code in range(0x21, 0x7F)} - {'"', "\\"}


@pytest.mark.parametrize("name", available())
def test_nothing_unconfirmed_is_shown_as_law(name: str) -> None:
    """Law and guidance name an article and rest on a source; a setting names no article."""
    for item in load([name]).entries():
        if item.kind is Kind.SETTING:
            assert item.article == "", item.key
        else:
            assert item.article and item.source and item.confidence in ("H", "M"), item.key


@pytest.mark.parametrize("name", available())
def test_the_page_of_each_policy_is_made_from_its_file(name: str) -> None:
    """docs/policy-<id>.md shows what is in force; write it again with `duty_table(load([name]))` after a change."""
    assert duty_table(load([name])) == (DOCS / f"policy-{name}.md").read_text(encoding="utf-8")


def test_the_digest_names_the_values(tmp_path: Path) -> None:
    """The same file has the same digest; any other value has another."""
    write(tmp_path, entry())
    first = load(["xx"], tmp_path).digest
    again = load(["xx"], tmp_path).digest
    write(tmp_path, entry(value="61"))
    changed = load(["xx"], tmp_path).digest

    assert first == again != changed
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", first)


def test_comments_and_order_do_not_change_the_digest(tmp_path: Path) -> None:
    """The digest is of the entries, not of the file's looks."""
    write(tmp_path, entry("a.one") + entry("b.two"))
    first = load(["xx"], tmp_path).digest
    write(tmp_path, "# a comment\n" + entry("b.two") + entry("a.one"))

    assert first == load(["xx"], tmp_path).digest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (entry(confidence=None), "confidence is missing"),
        (entry(value=None), "value is missing"),
        (entry(title_zh=None), "title_zh is missing"),
        (entry(confidance='"H"'), "unknown field confidance"),
        (entry(confidence='"MEM"'), "confidence MEM cannot be shown as guidance"),
        (entry(confidence='"MEM"', kind='"law"'), "confidence MEM cannot be shown as law"),
        (entry(confidence='"L"', kind='"law"'), "confidence L cannot be shown as law"),
        (entry(confidence='"OWN"', kind='"law"'), "confidence OWN cannot be shown as law"),
        (entry(kind='"setting"', confidence='"MEM"'), "a setting names no article"),
        (entry(article=None), "must name its article"),
        (entry(source=None), "must name its article and its source"),
        (entry(article='" "'), "article is empty"),
        (entry(kind='"rule"'), "unknown kind"),
        (entry(confidence='"X"'), "unknown confidence"),
        (entry(unit='"fortnight"'), "unknown unit"),
        (entry(stricter=None), "stricter must be"),
        (entry(stricter='"more"'), "stricter must be"),
        (entry(value='"60"'), "must be a number"),
        (entry(value="true"), "must be a number"),
        (entry(value="-1"), "must be a number"),
        (entry(value="nan"), "must be a number"),
        (entry(value="inf"), "must be a number"),
        (entry(title="7"), "title must be a text"),
        (entry(unit='"flag"', stricter=None), "true or false"),
        (entry(unit='"text"', stricter=None), "must be a text"),
        (entry(unit='"text"', value='"a"'), "stricter has no meaning"),
        (entry(unit='"texts"', value="[]", stricter=None), "list of texts"),
        (entry(unit='"texts"', value='["a", 1]', stricter=None), "list of texts"),
        (entry(unit='"time of day"', value='"24:00"'), "time of day"),
        (entry(unit='"time of day"', value='"6:00"'), "time of day"),
        (entry(unit='"pattern"', value='"["', stricter=None), "regular expression"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_and_key(tmp_path: Path, text: str, reason: str) -> None:
    """Whoever wrote the file reads where and what; nothing of a wrong file is used."""
    write(tmp_path, text)

    with pytest.raises(PolicyError, match=r"^xx\.toml, minors\.daily: ") as refused:
        load(["xx"], tmp_path)

    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (entry(), r"xx\.toml, \[policy\]"),
        (HEAD.format(id="yy") + entry(), r"xx\.toml, policy\.id"),
        (HEAD.format(id="xx").replace("2026-01-02", "one") + entry(), r"xx\.toml, policy\.version"),
        (HEAD.format(id="xx").replace('title = "T"\n', ""), r"xx\.toml, \[policy\]"),
        (HEAD.format(id="xx") + 'mood = "good"\n' + entry(), r"xx\.toml, \[policy\]"),
        (HEAD.format(id="xx"), r"xx\.toml has no entries"),
        ("loose = 1\n" + HEAD.format(id="xx") + entry(), r"xx\.toml, loose: expected a table"),
        (HEAD.format(id="xx") + entry("minors.Daily"), r"xx\.toml, minors\.Daily: expected lower-case"),
        (HEAD.format(id="xx") + entry() + entry("minors.daily.more"), r"xx\.toml, minors\.daily: unknown field more"),
        ("[[[", r"xx\.toml is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, document: str, reason: str) -> None:
    """A file that is not a policy of its name is refused as a whole."""
    (tmp_path / "xx.toml").write_text(document, encoding="utf-8")

    with pytest.raises(PolicyError, match=reason):
        load(["xx"], tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """The parser raises its one error for bytes that are no text."""
    (tmp_path / "xx.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(PolicyError, match="not valid TOML"):
        load(["xx"], tmp_path)


@pytest.mark.parametrize("names", [[], ["cn", "cn"], ["atlantis"], ["../cn"], ["CN"], [""]])
def test_a_policy_nobody_has_is_refused(names: list[str]) -> None:
    """A name never reaches outside the folder of policies."""
    with pytest.raises(PolicyError):
        load(names)


def test_asking_for_the_wrong_type_or_key_is_refused() -> None:
    """A duty that asks for what is not there fails at start, not in an exchange."""
    policy = load(["cn"])
    for wrong in (
        lambda: policy.number("label.text.zh"),
        lambda: policy.text("minors.daily_minutes_under_16"),
        lambda: policy.texts("label.text.zh"),
        lambda: policy.flag("minors.daily_minutes_under_16"),
        lambda: policy.number("disclosure.before_first_use"),
        lambda: policy.number("minors.hourly"),
    ):
        with pytest.raises(PolicyError):
            wrong()


@pytest.mark.parametrize(("stricter", "expected"), [("lower", 30), ("higher", 60)])
def test_of_two_policies_the_stricter_number_holds(tmp_path: Path, stricter: str, expected: int) -> None:
    """Whichever is named first, the joined number binds most and keeps its own article."""
    write(tmp_path, entry(value="60", stricter=f'"{stricter}"', article='"art 60"'), "aa")
    write(tmp_path, entry(value="30", stricter=f'"{stricter}"', article='"art 30"'), "bb")
    for names in (["aa", "bb"], ["bb", "aa"]):
        policy = load(names, tmp_path)

        assert expected == policy.number("minors.daily")
        assert f"art {expected}" == policy.entry("minors.daily").article
        assert "+".join(names) == policy.id


def test_of_two_policies_the_earlier_text_holds_and_all_entries_are_kept(tmp_path: Path) -> None:
    """Texts have no order of strictness: the policy that is named first speaks."""
    text = {"unit": '"text"', "stricter": None}
    write(tmp_path, entry("label.text", value='"first"', **text) + entry("only.a"), "aa")
    write(tmp_path, entry("label.text", value='"second"', **text) + entry("only.b"), "bb")
    policy = load(["aa", "bb"], tmp_path)

    assert policy.text("label.text") == "first"
    assert "only.a" in policy and "only.b" in policy


def test_policies_that_disagree_about_a_unit_are_not_joined(tmp_path: Path) -> None:
    """Minutes and hours under one key would compare wrongly, so the pair is refused."""
    write(tmp_path, entry(), "aa")
    write(tmp_path, entry(unit='"h"'), "bb")

    with pytest.raises(PolicyError, match=r"minors\.daily.*aa.*bb"):
        load(["aa", "bb"], tmp_path)


@given(st.dictionaries(st.sampled_from(["value", "unit", "kind", "confidence", "stricter", "article"]), st.text()))
def test_any_text_in_a_field_is_read_or_refused_with_one_error(changes: dict[str, str]) -> None:
    """Whatever a field holds, the loader answers with a policy or with `PolicyError`."""
    # A dict of TOML texts through JSON strings: TOML's basic strings take JSON's escapes except surrogates and DEL.
    import json
    import tempfile

    shown = {name: json.dumps(text).replace("\x7f", "\\u007f") for name, text in changes.items()}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), entry(**shown))
        try:
            policy = load(["xx"], Path(folder))
        except PolicyError:
            return
        assert len(policy.entries()) == 1


def test_the_table_shows_every_entry_once() -> None:
    """A number that is in force and not in the table would be hidden from the auditor."""
    policy = load(["cn"])
    table = duty_table(policy)

    assert policy.digest in table
    for item in policy.entries():
        assert table.count(f"| `{item.key}` |") == 1, item.key
