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
from audit_log.commands import export

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
