# SPDX-License-Identifier: Apache-2.0
"""The master key comes from where the settings say, or the start says why not, without a byte of it."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from audit_log.errors import AuditError, LogNotInitialised, LogRefused
from gateway.master_key import key_source
from gateway.settings import Audit

KEY = bytes(range(32))


def test_the_data_folder_is_asked_where_nothing_else_is_named() -> None:
    """The log reads its own file."""
    assert key_source(Audit().master_key) is None


def test_the_environment_holds_it_in_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, garbled and of another length are told apart."""
    read = key_source("env:AUDIT_KEY")
    assert read is not None
    with pytest.raises(LogNotInitialised, match="AUDIT_KEY"):
        read()
    monkeypatch.setenv("AUDIT_KEY", base64.b64encode(KEY).decode())
    assert read() == KEY
    for text in ("secret words", base64.b64encode(KEY[:31]).decode()):
        monkeypatch.setenv("AUDIT_KEY", text)
        with pytest.raises(LogRefused, match="32 bytes") as caught:
            read()
        assert text not in str(caught.value)


def test_a_hook_asks_a_key_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the operator's own; what it raises is not repeated."""
    (tmp_path / "our_kms_hook.py").write_text(
        "def key():\n    return bytes(range(32))\n"
        "def short():\n    return b'short'\n"
        "def broken():\n    raise RuntimeError('secret words')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    read = key_source("hook:our_kms_hook:key")
    assert read is not None and read() == KEY
    for name in ("our_kms_hook:short", "our_kms_hook:broken", "our_kms_hook:none", "no_such_module:key"):
        other = key_source(f"hook:{name}")
        assert other is not None
        with pytest.raises(AuditError) as caught:
            other()
        assert "secret words" not in str(caught.value)
    del sys.modules["our_kms_hook"]


@pytest.mark.parametrize("said", ["", "env:", "hook:module", "hook::f", "kms", "file:x"])
def test_a_source_that_is_none_is_refused_by_the_settings(said: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match="expected"):
        Audit(master_key=said)
