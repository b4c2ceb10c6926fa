# SPDX-License-Identifier: Apache-2.0
"""Gets what the tests need and no wheel carries: exiftool, unpacked from Debian's package, not installed.

`make test` runs this once and says what it got. Without it the tests that need it are skipped, loudly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent / ".tools"
_PACKAGE = "libimage-exiftool-perl"


def exiftool() -> tuple[str, ...] | None:
    """The command that runs exiftool, or None where it is not to be had."""
    found = shutil.which("exiftool")
    if found is not None:
        return (found,)
    script = _ROOT / "debian" / "usr" / "bin" / "exiftool"
    if script.exists():
        return ("perl", f"-I{_ROOT / 'debian' / 'usr' / 'share' / 'perl5'}", str(script))
    return None


def fetch() -> str:
    """Fetch and unpack the package; gives what happened, in one line."""
    if exiftool() is not None:
        return "exiftool is there"
    if shutil.which("apt-get") is None:
        return "exiftool is missing and this is no Debian: its tests will be skipped"
    _ROOT.mkdir(exist_ok=True)
    download = ["apt-get", "download", "--quiet", _PACKAGE]
    fetched = _run(download)
    if not fetched and os.geteuid() == 0:
        # A container starts without package lists; only root may fetch them.
        fetched = _run(["apt-get", "update", "--quiet"]) and _run(download)
    if not fetched:
        return f"exiftool could not be fetched: its tests will be skipped (`apt-get install {_PACKAGE}` gets it)"
    for package in _ROOT.glob(f"{_PACKAGE}_*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(_ROOT / "debian")])
    return "got exiftool from Debian's package" if exiftool() is not None else "exiftool could not be unpacked"


def _run(command: list[str]) -> bool:
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, timeout=300, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    print(fetch(), file=sys.stderr)
