# SPDX-License-Identifier: Apache-2.0
"""A data folder is made once and by nobody's mistake; its keys are for their owner."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from audit_log import AuditError, verify_home
from gateway.check import findings
from gateway.home import KEY_BYTES, Home, HomeError
from gateway.settings import load

KEYS = ("pseudonym", "disclosure", "complaints")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh data folder."""
    return Home.create(tmp_path / "home")[0]


def test_a_new_folder_has_keys_a_log_and_a_file_that_can_be_used(tmp_path: Path) -> None:
    """What `init` promises."""
    home, vkey = Home.create(tmp_path / "home", "audit.example.com/test")
    assert vkey.startswith("audit.example.com/test+")
    assert verify_home(home.audit).ok
    assert len({home.key(name) for name in KEYS}) == 3
    assert all(item.level == "warning" for item in findings(load(None, home.path)))


def test_nobody_else_can_read_it(home: Home) -> None:
    """Folder and keys."""
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    for name in KEYS:
        assert stat.S_IMODE((home.path / "keys" / f"{name}.key").stat().st_mode) == 0o400


def test_a_folder_is_not_made_over_another(home: Home) -> None:
    """Nothing of the old one changes."""
    before = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}
    with pytest.raises(HomeError, match="nothing was changed"):
        Home.create(home.path)
    assert {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()} == before


def test_a_name_that_cannot_name_a_log_is_refused(tmp_path: Path) -> None:
    """It would be for ever."""
    with pytest.raises(AuditError):
        Home.create(tmp_path / "home", "two words+")


def test_made_up_origins_differ_and_name_no_machine(tmp_path: Path) -> None:
    """A random part and the half-year."""
    first, second = (Home.create(tmp_path / name)[1].partition("+")[0] for name in "ab")
    assert first != second
    assert first.startswith("dutybound.local/") and first[-2:] in ("h1", "h2")
    assert os.uname().nodename not in first


def test_a_configuration_that_is_there_stays(tmp_path: Path) -> None:
    """Somebody wrote it before `init`."""
    (tmp_path / "dutybound.toml").write_text("# mine\n")
    Home.create(tmp_path)
    assert (tmp_path / "dutybound.toml").read_text() == "# mine\n"


@pytest.mark.parametrize("missing", ["", "audit", "keys/disclosure.key"])
def test_a_folder_that_is_none_is_refused(home: Home, missing: str, tmp_path: Path) -> None:
    """A wrong path must not begin a second history."""
    path = home.path
    if missing:
        (path / missing).rename(tmp_path / "moved")
    else:
        path = tmp_path / "wrong"
    with pytest.raises(HomeError, match="dutybound init"):
        Home.open(path)
    assert not (tmp_path / "wrong").exists()


def test_an_initialised_folder_opens(home: Home) -> None:
    """With the same keys."""
    again = Home.open(home.path)
    assert [again.key(name) for name in KEYS] == [home.key(name) for name in KEYS]
    assert len(again.key("disclosure")) == KEY_BYTES


def test_a_damaged_key_is_refused(home: Home) -> None:
    """A short key would sign with what is left."""
    path = home.path / "keys" / "pseudonym.key"
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(HomeError, match="restore it from a backup"):
        home.key("pseudonym")


def test_two_servers_never_share_a_folder(home: Home) -> None:
    """Each would believe that the other's open streams had crashed; when one ends the other may begin."""
    with home.locked(), pytest.raises(HomeError, match="in use by another"), Home.open(home.path).locked():
        pass
    with home.locked():
        pass


def test_a_lock_dies_with_its_process(home: Home) -> None:
    """After a crash nobody has to clean up."""
    code = (
        "import os, sys; from pathlib import Path; from gateway.home import Home\n"
        "home = Home.open(Path(sys.argv[1]))\n"
        "with home.locked(): os._exit(9)\n"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run((sys.executable, "-c", code, str(home.path)), cwd=root, timeout=60).returncode == 9
    with home.locked():
        pass


def test_a_watermark_key_comes_with_the_folder_or_is_made_once(home: Home) -> None:
    """A folder from before there were any gets one by a command; one that is there is never replaced."""
    made = home.watermark_key()
    assert len(made) == KEY_BYTES
    with pytest.raises(HomeError, match="there already"):
        home.make_watermark_key()
    path = home.path / "keys" / "watermark.key"
    path.unlink()
    assert Home.open(home.path).watermark_key() == b""
    assert home.make_watermark_key() == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert home.watermark_key() not in (b"", made)
