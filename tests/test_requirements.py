# SPDX-License-Identifier: Apache-2.0
"""What is installed is pinned with hashes, and no file of ours says from where."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PINNED = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

PIN = re.compile(
    r"([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,._-]+\])?==([0-9][^\s;]*)(?: ; [^\\]+)?((?: --hash=sha256:[0-9a-f]{64})+)"
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LOWER_BOUND = re.compile(r">=\s*([0-9][0-9.]*)")

REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("npmmirror", "com"),
        ("pypi", "tuna"),
        ("mirrors", "aliyun"),
        ("mirrors", "cloud"),
        ("conda", "anaconda", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("jfrog", "io"),
    )
)
"""Hosts that packages are fetched from; spelt so that this file names none."""

WORKING_FOLDERS = {"__pycache__", "node_modules", "build", "dist", "results"}
TEXT_BYTES = 2_000_000


def lines(path: Path) -> list[str]:
    """The requirements of a file, each on one line."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def pins(path: Path) -> dict[str, str]:
    """Names and versions of a file."""
    found = [PIN.fullmatch(line) for line in lines(path)]
    return {normalised(match[1]): match[2] for match in found if match is not None}


def normalised(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements: list[str]) -> dict[str, str]:
    """Requirements as people write them, by name."""
    found = ((NAME.match(line), line) for line in requirements)
    return {normalised(match[0]): line for match, line in found if match is not None}


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", text))


def wanted(path: Path) -> dict[str, str]:
    """What an `.in` file asks for."""
    written = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return named([line for line in written if line])


def test_there_are_pins() -> None:
    """Or nothing below would say anything."""
    assert {path.name for path in PINNED} >= {"main.txt", "dev.txt", "build.txt"}


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_line_is_one_version_with_its_hashes(path: Path) -> None:
    """No range, no URL, no option, no other file."""
    assert [line for line in lines(path) if PIN.fullmatch(line) is None] == []
    assert "://" not in path.read_text(encoding="utf-8")


def test_every_dependency_is_pinned_at_a_version_that_it_allows() -> None:
    """What `make run` installs is what the project asks for."""
    found = pins(ROOT / "requirements" / "main.txt")
    for name, line in named(PROJECT["project"]["dependencies"]).items():
        assert name in found, f"{name} is not pinned; run `make pins`"
        bound = LOWER_BOUND.search(line)
        assert bound is None or version(found[name]) >= version(bound[1]), line


@pytest.mark.parametrize("kind", ["dev", "build"])
def test_what_tests_and_builds_need_is_pinned(kind: str) -> None:
    """Every line of the `.in` file."""
    folder = ROOT / "requirements"
    assert (
        wanted(folder / f"{kind}.in").keys() - pins(folder / f"{kind}.txt").keys() - pins(folder / "main.txt").keys()
        == set()
    )


def test_what_builds_is_what_the_project_says() -> None:
    """A build without isolation uses the pinned tool."""
    asked = named(PROJECT["build-system"]["requires"]).keys()
    assert asked <= pins(ROOT / "requirements" / "build.txt").keys()


def test_no_two_files_pin_two_versions() -> None:
    """They are installed into one environment."""
    versions: dict[str, set[str]] = {}
    for path in PINNED:
        for name, pinned in pins(path).items():
            versions.setdefault(name, set()).add(pinned)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def committed() -> Iterator[tuple[Path, str]]:
    """The texts of the project's files; folders of tools and of running are left out."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".gitignore", ".dockerignore") for part in parts)
        if hidden or not path.is_file() or path.stat().st_size > TEXT_BYTES or WORKING_FOLDERS & set(parts):
            continue
        if any(part.endswith(".egg-info") for part in parts) or parts[0] == "dutybound-home":
            continue
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the business of whoever installs them."""
    found = [
        f"{path.relative_to(ROOT)}: {host}" for path, text in committed() for host in REGISTRIES if host in text.lower()
    ]
    assert found == []
