# SPDX-License-Identifier: Apache-2.0
"""``verify.py`` as an auditor runs it: one file, in an environment that has nothing but ``cryptography``."""

import ast
import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from audit_log import verifier_file
from audit_log.commands import erase, export, hold_place, prune, rotate
from audit_log.holds import HoldScope
from audit_log.record import TYPES
from audit_log.retention import Retention, RetentionRule

BARE = ("cryptography", "cffi", "pycparser")


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment whose only package is cryptography, with what that needs."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    ours = Path(sysconfig.get_path("platlib"))
    for item in ours.iterdir():
        if item.name in BARE or item.name.startswith("_cffi_backend"):
            (packages / item.name).symlink_to(item)
    return folder / "bin" / "python"


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", "verify.py", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def unpacked(small: Path, tmp_path: Path) -> Path:
    """A bundle that an auditor has unpacked."""
    export(small, tmp_path / "b.zip", generator="test 1", bodies="opened", by="auditor", clock=lambda: 1.8e9)
    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        pack.extractall(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_it_runs_in_a_bare_environment(bare_python: Path, unpacked: Path, small: Path) -> None:
    """Nothing of ours is importable there; exit status 0, in words and as JSON."""
    foreign = subprocess.run([bare_python, "-I", "-c", "import orjson"], capture_output=True)
    assert foreign.returncode != 0
    vkey = (small / "log.vkey").read_text().strip()

    said = run(bare_python, unpacked, "--vkey", vkey)
    assert (said.returncode, said.stderr) == (0, "")
    assert "everything holds" in said.stdout
    shown = run(bare_python, unpacked, "../b.zip", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["ok"]) == (0, True)


def test_it_fails_and_names_the_first_bad_index(bare_python: Path, unpacked: Path) -> None:
    """Exit status 1."""
    path = unpacked / "records.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[12] = lines[12].replace(b"t1", b"t2")
    path.write_bytes(b"\n".join(lines))

    said = run(bare_python, unpacked)
    assert said.returncode == 1
    assert "first bad index 12" in said.stdout


def test_it_prints_an_opened_body_and_nothing_else(bare_python: Path, unpacked: Path) -> None:
    """After everything was checked; a record without one has none."""
    assert run(bare_python, unpacked, "--body", "5").stdout == "text 4"
    assert run(bare_python, unpacked, "--body", "6").returncode == 1
    assert run(bare_python, unpacked, "--body", "4000").returncode == 1


def test_a_log_that_lived_through_everything_verifies(bare_python: Path, long_home: Path, tmp_path: Path) -> None:
    """Pruned, under a hold, erased from, and signed by another key since; the auditor knows the first key alone."""

    def clock() -> float:
        return 1.9e9

    vkey = (long_home / "log.vkey").read_text().strip()
    rules = Retention((RetentionRule("all", TYPES, 0, None, "house-1"),))
    prune(long_home, rules, by="ops", upto="allowed", clock=clock)
    rotate(long_home, by="ops", clock=clock)
    scope = HoldScope(exchange="01a1ffcc-dd0f-78c7-a417-3d2fff91ac6e")
    hold_place(long_home, scope, reason="case-1", by="anna", role="legal", clock=clock)
    assert erase(long_home, "t", "p", rules, basis="pipl-47", by="desk", clock=clock)["state"] == "done"
    export(long_home, tmp_path / "b.zip", generator="test 1")
    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        pack.extractall(tmp_path / "bundle")

    said = run(bare_python, tmp_path / "bundle", "--vkey", vkey, "--json")
    found = json.loads(said.stdout)
    assert (said.returncode, found["problems"], found["first"], found["erased"]) == (0, [], 131_072, 1)
    path = tmp_path / "bundle" / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"event":"rotate"', b'"event":"rotatf"'))
    said = run(bare_python, tmp_path / "bundle", "--vkey", vkey)
    assert said.returncode == 1 and "first bad index 1313" in said.stdout


def test_it_is_one_file_that_imports_nothing_else(unpacked: Path) -> None:
    """Only the standard library and cryptography, whatever the modules import from each other."""
    tree = ast.parse((unpacked / "verify.py").read_text())
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    assert roots - {*sys.stdlib_module_names} == {"cryptography"}


def test_names_of_two_modules_may_not_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    """One would silently replace the other."""
    monkeypatch.setattr(verifier_file, "_MODULES", ("merkle", "chain", "record"))
    assert verifier_file.verifier_source()
    monkeypatch.setattr(verifier_file, "_MODULES", ("tiles", "record"))
    with pytest.raises(AssertionError, match="MAX_LEAF_BYTES"):
        verifier_file.verifier_source()


def test_the_verifier_that_the_documentation_shows_works(bare_python: Path, unpacked: Path, small: Path) -> None:
    """It is written anew there, with nothing of ours, and finds the same."""
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    own = unpacked.parent / "own.py"
    own.write_text(text.split("```python\n")[1].split("```")[0])
    vkey = (small / "log.vkey").read_text().strip()
    command = [bare_python, "-I", own, vkey, unpacked]

    said = subprocess.run(command, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "43 records are in the log audit.example.com/test\n")
    path = unpacked / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b"t1", b"t2", 1))
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 1 and "is not in the log" in said.stderr
