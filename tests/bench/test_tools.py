# SPDX-License-Identifier: Apache-2.0
"""A tool is found, or it is said in one line why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import tools
from bench.processes import Unavailable


def program(path: Path, text: str) -> Path:
    """A program that says its version on standard error, as nginx does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    path.chmod(0o755)
    return path


def test_the_system_s_own_tool_comes_first(tmp_path: Path) -> None:
    """Its version is as it says it, without what is around it."""
    program(tmp_path / "bin/nginx", "nginx version: nginx/1.22.1")
    tool = tools.debian_tool("nginx", tmp_path, places=[str(tmp_path / "bin")])
    assert (tool.program, tool.version, tool.env) == (tmp_path / "bin/nginx", "nginx/1.22.1", {})


def test_an_unpacked_tool_finds_its_libraries(tmp_path: Path) -> None:
    """What was fetched before is used again, and only its own libraries are added."""
    program(tmp_path / "debian/usr/bin/wrk", "wrk 4.1.0 [epoll] Copyright (C) 2012")
    (tmp_path / "debian/usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    tool = tools.debian_tool("wrk", tmp_path, may_fetch=False, places=[])
    assert tool.version == "wrk 4.1.0"
    assert tool.env == {"LD_LIBRARY_PATH": str(tmp_path / "debian/usr/lib/x86_64-linux-gnu")}


def test_a_tool_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    """Nothing is fetched where that is not allowed."""
    with pytest.raises(Unavailable, match=r"nginx is not installed; .*apt-get install nginx"):
        tools.debian_tool("nginx", tmp_path, may_fetch=False, places=[])
    with pytest.raises(Unavailable, match="LiteLLM is not installed yet"):
        tools.litellm(tmp_path, may_fetch=False)


def test_a_failed_fetch_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the package manager's own error line."""
    fake = tmp_path / "fake"
    program(fake / "apt-get", "E: Unable to locate package nginx").write_text(
        "#!/bin/sh\necho 'Reading'\necho 'E: Unable to locate package' >&2\nexit 100\n"
    )
    monkeypatch.setenv("PATH", str(fake))
    with pytest.raises(Unavailable, match="nginx could not be fetched from Debian: E: Unable to locate package"):
        tools.debian_tool("nginx", tmp_path, places=[])


def test_litellm_that_is_ready_is_not_installed_again(tmp_path: Path) -> None:
    """Only a finished installation counts."""
    home = tmp_path / f"litellm-{tools.LITELLM}"
    home.mkdir()
    with pytest.raises(Unavailable):
        tools.litellm(tmp_path, may_fetch=False)
    (home / "ready").touch()
    assert tools.litellm(tmp_path, may_fetch=False).program == home / "bin/litellm"
