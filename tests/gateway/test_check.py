# SPDX-License-Identifier: Apache-2.0
"""What keeps the service from starting, and what its operator should know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.check import Finding, completeness, findings
from gateway.settings import Settings

CODE = "001191110000MA00000AAT10001"
REAL = {"url": "https://model.example.org"}


def found(**sections: Any) -> dict[str, Finding]:
    """The first finding of each key, for settings with these sections."""
    return {item.key: item for item in reversed(findings(Settings(**sections)))}


def test_the_sample_service_can_start() -> None:
    """With nothing worse than a word about whom it can recognise."""
    assert {item.level for item in found().values()} <= {"warning"}
    assert set(found()) == {"identity.jwt"}


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"policy": {"use": ("nowhere",)}}, "policy.use"),
        ({"service": {"provider_code": "001191110000MA00000AAT10002x"}}, "service"),
        ({"content_filter": {"terms": ("missing.tsv",)}}, "content_filter.terms"),
        ({"identity": {"jwt": {"secret_env": "DUTYBOUND_TEST_NOT_SET"}}}, "identity.jwt.secret_env"),
        ({"upstream": {"api_key_env": "DUTYBOUND_TEST_NOT_SET"}}, "upstream.api_key_env"),
    ],
)
def test_what_the_duties_cannot_be_done_with_is_an_error(sections: dict[str, Any], key: str, tmp_path: Path) -> None:
    """It names its key, says the fact and the next step."""
    finding = found(base_dir=tmp_path, **sections)[key]
    assert finding.level == "error" and len(finding.text) > 10


def test_errors_come_first() -> None:
    """An operator mends them first."""
    levels = [item.level for item in findings(Settings(content_filter={"terms": ("missing.tsv",)}, upstream=REAL))]  # type: ignore[arg-type]
    assert levels == sorted(levels) and levels[0] == "error" and levels[-1] == "warning"


def test_a_term_file_with_a_bad_line_is_named_without_its_term(tmp_path: Path) -> None:
    """File and line, never the word."""
    (tmp_path / "terms.tsv").write_text("fine\tA1a\nsecretword\tZZ\n")
    text = found(base_dir=tmp_path, content_filter={"terms": ("terms.tsv",)})["content_filter.terms"].text
    assert "terms.tsv:2" in text and "secretword" not in text


@pytest.mark.parametrize(
    ("sections", "key", "cured"),
    [
        ({"upstream": REAL}, "service.provider_code", {"upstream": REAL, "service": {"provider_code": CODE}}),
        ({"upstream": REAL}, "service.contact", {"upstream": REAL, "service": {"contact": "a@example.org"}}),
        ({"upstream": {"url": "http://model:8000"}}, "upstream.url", {"upstream": {"url": "http://127.0.0.1:8000"}}),
        ({}, "identity.jwt", {"identity": {"jwt": {"jwks_url": "https://keys.example.org"}}}),
        (
            {"disclosure": {"mode": "acknowledge"}},
            "server.public_url",
            {"disclosure": {"mode": "acknowledge"}, "server": {"public_url": "https://ai.example.org"}},
        ),
    ],
)
def test_what_an_operator_should_know_is_a_warning(sections: dict[str, Any], key: str, cured: dict[str, Any]) -> None:
    """And it goes away when it is mended."""
    assert found(**sections)[key].level == "warning"
    assert key not in found(**cured)


def test_a_real_model_without_terms_is_worth_a_word(tmp_path: Path) -> None:
    """The sample model says nothing that a term could find."""
    (tmp_path / "terms.tsv").write_text("word\tA1a\n")
    assert "content_filter.terms" in found(upstream=REAL)
    assert "content_filter.terms" not in found(
        upstream=REAL, base_dir=tmp_path, content_filter={"terms": ("terms.tsv",)}
    )


def test_no_finding_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are named, their values are not."""
    monkeypatch.setenv("DUTYBOUND_TEST_KEY", "hunter2")
    items = findings(Settings(upstream={**REAL, "api_key_env": "DUTYBOUND_TEST_KEY"}))  # type: ignore[arg-type]
    assert "hunter2" not in str(items)


TOLD = {
    "name": "问答", "provider": "某公司", "purpose": "问答", "audience": "公众", "occasions": "学习",
    "mechanism": "大模型", "filing_number": "F-1", "third_party_model": "none", "agreement_version": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "level", "article", "without"),
    [
        ("service.purpose", "error", "Interim Measures art 10", "purpose"),
        ("service.audience", "error", "Interim Measures art 10", "audience"),
        ("service.occasions", "error", "Interim Measures art 10", "occasions"),
        ("service.mechanism", "warning", "Model AI Law art 34 para 3", "mechanism"),
        ("service.filing_number", "warning", "Model AI Law art 34 para 3", "filing_number"),
        ("service.third_party_model", "warning", "GB/T 45654-2025", "third_party_model"),
        ("service.provider", "warning", "Model AI Law art 34 para 1", "provider"),
        ("service.agreement_version", "warning", "Interim Measures art 9 para 2", "agreement_version"),
    ],
)
def test_what_the_policy_asks_to_publish_is_named_with_its_article(
    key: str, level: str, article: str, without: str
) -> None:
    """An error where a law asks; complete settings have none, and the sample service is asked nothing."""
    who = {"jwt": {"jwks_url": "https://keys.example.org"}}
    real: dict[str, Any] = {"upstream": REAL, "identity": who}
    assert completeness(Settings(**real | {"service": TOLD})) == []
    kept = {name: value for name, value in TOLD.items() if name != without}
    (missing,) = completeness(Settings(**real | {"service": kept}))
    assert (missing.key, missing.level) == (key, level) and article in missing.text
    sample: dict[str, Any] = {"identity": who, "service": kept}
    assert completeness(Settings(**sample)) == []


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"service": {"agreement_version": "1"}}, "service.agreement_version"),
        ({"identity": {"require_verified": "always"}}, "identity.require_verified"),
    ],
)
def test_a_gate_that_nobody_could_pass_is_an_error(sections: dict[str, Any], key: str) -> None:
    """Where nothing says who people are."""
    assert found(**sections)[key].level == "error"
    known = {**sections, "identity": {**sections.get("identity", {}), "jwt": {"jwks_url": "https://keys.example.org"}}}
    assert key not in found(**known)


def test_a_licence_will_do_for_a_filing() -> None:
    """Either is the registration."""
    told = {**TOLD, "filing_number": "", "licence_number": "L-1"}
    settings: dict[str, Any] = {"upstream": REAL, "service": told}
    assert completeness(Settings(**settings)) == []


def test_what_is_not_published_does_not_keep_the_service_from_starting() -> None:
    """Its pages say what is missing; `config check` ends with 1."""
    assert {item.level for item in findings(Settings(upstream=REAL))} == {"warning"}  # type: ignore[arg-type]
