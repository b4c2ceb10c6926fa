# SPDX-License-Identifier: Apache-2.0
"""Who may do what on the operator listener."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.operator.tokens import Role

READS = ("/api/records", "/api/complaints", "/api/incidents")
ACTS = ("acknowledge", "take", "release", "answer", "close", "reopen")
UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("path", [*READS, "/api/version", f"/api/records/{UNKNOWN}", "/log/tile/entries/000.p/1"])
def test_without_a_token_nothing_is_told(listener: Any, path: str) -> None:
    """Missing, unknown, revoked and malformed tokens all get 401 with a challenge, and no hint."""
    listener.token(Role.ADMIN)
    revoked = listener.tokens.new("admin", "gone")
    found = listener.tokens.check(revoked)
    assert found is not None
    listener.tokens.revoke(found.id)

    bad = ("", "Bearer", "Bearer x", f"Bearer {revoked}", "Basic !!!", "Basic YTpi", "Digest a", "x" * 4_000)
    for header in (None, *bad):
        answer = listener.client.get(path, headers={} if header is None else {"Authorization": header})

        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "token_required"


def test_two_authorization_headers_are_refused(listener: Any) -> None:
    """What one reader takes and another ignores is no authority."""
    header = ("Authorization", f"Bearer {listener.token(Role.ADMIN)}")

    assert listener.client.get("/api/version", headers=[header]).status_code == 200
    assert listener.client.get("/api/version", headers=[header, header]).status_code == 401


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("path", READS)
def test_all_but_the_operator_read(listener: Any, role: Role, path: str) -> None:
    """An operator keeps the service running and sees no person's records."""
    answer = listener.get(path, role)

    assert answer.status_code == (403 if role is Role.OPERATOR else 200)
    if role is Role.OPERATOR:
        assert answer.json()["code"] == "role_not_permitted"


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OPERATOR])
@pytest.mark.parametrize("act", ACTS)
def test_an_auditor_changes_nothing(listener: Any, role: Role, act: str) -> None:
    """Only officers and administrators act on complaints."""
    filed = listener.file()
    bodies = {"answer": {"decision": "upheld", "text": "t"}, "release": {"reason": "r"}, "reopen": {"reason": "r"}}

    answer = listener.post(f"/api/complaints/{filed.receipt}/{act}", bodies.get(act), role)

    assert answer.status_code == 403
    assert listener.desk.get(filed.receipt).case == filed.case


def test_the_version_is_for_every_role(listener: Any) -> None:
    """Whoever has a token may know what runs."""
    for role in Role:
        answer = listener.get("/api/version", role)
        assert answer.status_code == 200
        assert answer.json()["name"] == "dutybound"
        assert answer.json()["policy"] == {"id": "cn", "version": "1", "digest": "sha256:00"}
        assert answer.json()["log"]["origin"] == "audit.example.com/test"


def test_a_token_may_come_as_a_password(listener: Any) -> None:
    """Readers of logs that take only a URL carry the token in it."""
    credentials = base64.b64encode(f"reader:{listener.token(Role.AUDITOR)}".encode()).decode()

    assert listener.client.get("/api/version", headers={"Authorization": f"Basic {credentials}"}).status_code == 200


def test_a_token_in_the_query_is_no_token(listener: Any) -> None:
    """Queries stand in logs and histories."""
    assert listener.get("/api/version", None, token=listener.token(Role.ADMIN)).status_code == 401


def test_an_expired_token_ends_at_once(listener: Any) -> None:
    """Nothing keeps an answer of an earlier check."""
    text = listener.tokens.new("auditor", "", listener.now + 60)
    headers = {"Authorization": f"Bearer {text}"}
    assert listener.client.get("/api/version", headers=headers).status_code == 200

    listener.now += 60

    assert listener.client.get("/api/version", headers=headers).status_code == 401


def test_denials_are_counted(listener: Any) -> None:
    """Guessing shows in the metrics."""
    listener.get("/api/version", None)
    listener.get("/api/records", Role.OPERATOR)
    listener.client.get("/api/records", headers={"Authorization": "Bearer dbt_guess"})

    text = listener.get("/metrics", None).text

    for reason in ("missing", "role", "unknown"):
        assert f'dutybound_operator_denials_total{{reason="{reason}"}} 1.0' in text
