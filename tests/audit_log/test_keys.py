# SPDX-License-Identifier: Apache-2.0
"""Key files: made once, readable by their owner alone, never replaced."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit_log.errors import LogNotInitialised, LogRefused
from audit_log.keys import create_log_key, create_master_key, load_log_key, load_master_key, read_vkeys, write_secret


def test_a_log_key_is_read_back(tmp_path: Path) -> None:
    """The same key, from a file with mode 0400."""
    made = create_log_key(tmp_path / "log.key")

    assert made.private_bytes_raw() == load_log_key(tmp_path / "log.key").private_bytes_raw()
    assert stat.S_IMODE((tmp_path / "log.key").stat().st_mode) == 0o400


def test_a_log_key_may_be_a_pem(tmp_path: Path) -> None:
    """As other tools make them."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    write_secret(tmp_path / "log.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    assert bytes(32) == load_log_key(tmp_path / "log.key").private_bytes_raw()


def test_a_master_key_is_read_back(tmp_path: Path) -> None:
    """32 bytes."""
    assert create_master_key(tmp_path / "body.key") == load_master_key(tmp_path / "body.key")


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    """Losing the old key would orphan the log."""
    create_log_key(tmp_path / "log.key")
    kept = (tmp_path / "log.key").read_bytes()
    with pytest.raises(LogRefused, match="exists"):
        create_log_key(tmp_path / "log.key")

    assert kept == (tmp_path / "log.key").read_bytes()


@pytest.mark.parametrize("load", [load_log_key, load_master_key])
def test_a_missing_key_file_says_so(load: Callable[[Path], object], tmp_path: Path) -> None:
    """Most likely the path is wrong or the log was not created."""
    with pytest.raises(LogNotInitialised, match="missing"):
        load(tmp_path / "some.key")


@pytest.mark.parametrize("load", [load_log_key, load_master_key])
def test_a_key_that_others_may_read_is_refused(load: Callable[[Path], object], tmp_path: Path) -> None:
    """With the command that repairs it."""
    write_secret(tmp_path / "some.key", bytes(32))
    (tmp_path / "some.key").chmod(0o440)
    with pytest.raises(LogRefused, match="chmod 0400"):
        load(tmp_path / "some.key")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(31),
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ],
)
def test_another_kind_of_file_is_refused(raw: bytes, tmp_path: Path) -> None:
    """Neither a seed nor an Ed25519 PEM; no byte of it in the message."""
    write_secret(tmp_path / "some.key", raw)
    with pytest.raises(LogRefused):
        load_log_key(tmp_path / "some.key")
    with pytest.raises(LogRefused):
        load_master_key(tmp_path / "some.key")


def test_a_key_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder in its place, for one."""
    (tmp_path / "some.key").mkdir(mode=0o700)
    with pytest.raises(LogRefused, match="cannot be read"):
        load_log_key(tmp_path / "some.key")


def test_all_keys_that_a_log_had_are_read_the_newest_last(home: Path) -> None:
    """From two files; a missing or damaged one is told."""
    now = (home / "log.vkey").read_text().strip()
    assert [one.vkey for one in read_vkeys(home)] == [now]
    (home / "retired.vkeys").write_text("not a key\n")
    with pytest.raises(LogRefused, match="restore"):
        read_vkeys(home)
    (home / "log.vkey").unlink()
    with pytest.raises(LogNotInitialised):
        read_vkeys(home)
