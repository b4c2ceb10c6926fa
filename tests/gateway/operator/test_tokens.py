# SPDX-License-Identifier: Apache-2.0
"""Tokens: strong, never stored, revocable while servers run."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.operator.tokens import PERMISSIONS, Permission, Role, Token, TokenError, TokenStore

NOW = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the tokens are kept."""
    return tmp_path / "home" / "tokens.json"


def store_at(path: Path, clock: Callable[[], float] = lambda: NOW) -> TokenStore:
    """A store with a still clock."""
    return TokenStore(path, clock=clock)


def test_a_new_token_is_known_and_its_text_is_nowhere_in_the_file(path: Path) -> None:
    """What is stored cannot be used as a token."""
    store = store_at(path)

    text = store.new("auditor", "outside firm")

    found = store.check(text)
    assert found is not None
    assert (Role.AUDITOR, "outside firm", int(NOW), None) == (
        found.role, found.label, found.created_at, found.expires_at,
    )  # fmt: skip
    assert re.fullmatch(r"dbt_[a-z2-7]{39}", text)
    assert text[4:] not in path.read_text()


def test_the_file_is_for_its_owner_alone_and_nothing_else_is_left(path: Path) -> None:
    """Mode 0600 from the first byte on, also after a change; no temporary file stays."""
    store = store_at(path)
    store.new("admin", "")
    path.chmod(0o644)
    store.new("officer", "")

    assert path.stat().st_mode & 0o777 == 0o600
    assert {"tokens.json", "tokens.json.lock"} == {item.name for item in path.parent.iterdir()}


@pytest.mark.parametrize("text", ["", "dbt_", "x" * 5_000, "dbt_" + "a" * 39, "密钥", "\ud800"])
def test_a_guess_is_not_a_token(path: Path, text: str) -> None:
    """Anything else is refused without an error, even what is no valid text."""
    store = store_at(path)
    store.new("admin", "")

    assert store.check(text) is None


def test_without_a_file_nobody_has_a_token(path: Path) -> None:
    """The listener is closed until an operator opens it."""
    assert store_at(path).check("dbt_" + "a" * 39) is None
    assert store_at(path).list() == ()


def test_a_running_server_sees_new_and_revoked_tokens_at_once(path: Path) -> None:
    """Another process changes the file; no restart is needed."""
    server, command = store_at(path), store_at(path)
    first = command.new("officer", "first")
    assert server.check(first) is not None

    second = command.new("officer", "second")
    found = server.check(second)
    assert found is not None
    assert command.revoke(found.id)

    assert server.check(second) is None
    assert server.check(first) is not None
    assert [token.label for token in server.list()] == ["first"]
    assert not command.revoke(found.id)


def test_a_token_ends_at_its_expiry(path: Path) -> None:
    """The last good moment is before `expires`."""
    now = [NOW]
    store = store_at(path, lambda: now[0])
    text = store.new("auditor", "", NOW + 60)

    now[0] = NOW + 59.9
    assert store.check(text) is not None
    now[0] = NOW + 60
    assert store.check(text) is None


@pytest.mark.parametrize(
    ("role", "label", "expires", "message"),
    [
        ("root", "", None, "expected one of operator, officer, auditor, admin"),
        ("admin", "a\nb", None, "label: expected at most 100 printable"),
        ("admin", "x" * 101, None, "label: expected at most 100 printable"),
        ("admin", "", NOW, "expires: expected a time in the future"),
    ],
)
def test_a_token_that_cannot_be_as_asked_is_not_made(
    path: Path, role: str, label: str, expires: float | None, message: str
) -> None:
    """The error names what was expected; nothing is written."""
    with pytest.raises(TokenError, match=message):
        store_at(path).new(role, label, expires)
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version":2,"tokens":[]}', b'{"version":1,"tokens":[{"id":"a"}]}',
     b'{"version":1,"tokens":[{"id":"a","role":"admin","label":"","sha256":"00","created":1,"expires":null}]}'],
)  # fmt: skip
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(path: Path, content: bytes) -> None:
    """Fail closed, with the next step in the message; what was there can still be repaired."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(TokenError, match="not a token file; restore it"):
        store_at(path).check("dbt_" + "a" * 39)
    with pytest.raises(TokenError):
        store_at(path).new("admin", "")
    assert content == path.read_bytes()


def test_many_writers_lose_no_token(path: Path) -> None:
    """Changes from several places at once are all kept."""
    threads = [threading.Thread(target=lambda: store_at(path).new("operator", "")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(json.loads(path.read_bytes())["tokens"]) == len({token.id for token in store_at(path).list()})


def test_every_permission_names_its_roles_and_only_officers_answer() -> None:
    """The table is complete; an auditor can change nothing; an operator sees no person's records."""
    assert set(Permission) == set(PERMISSIONS)
    auditor = Token("a", Role.AUDITOR, "", "", 0)
    operator = Token("o", Role.OPERATOR, "", "", 0)

    assert {item.value for item in Permission if auditor.may(item)} == {
        f"{what}.read" for what in ("version", "records", "complaints", "incidents", "measures")
    }
    assert {item for item in Permission if operator.may(item)} == {
        Permission.READ_VERSION, Permission.PAUSE, Permission.LABEL_FILES,
    }  # fmt: skip
    assert all(Token("x", Role.ADMIN, "", "", 0).may(item) for item in Permission)
