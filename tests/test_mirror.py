# SPDX-License-Identifier: Apache-2.0
"""Tests mirror the packages: whoever reads a module knows where its tests are, and the other way round.

`gateway/x/y.py` is tested in `tests/gateway/x/test_y.py`. Further rules, so that the exceptions stay few:
- a package's `__init__` may be tested as `test_<package>.py` beside the package's own folder;
- a module's further aspects may have files of their own, `test_<module>_<aspect>.py`;
- the parts of one wire (`openai_chat`, `openai_chat_answer`) may be tested together, through the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "labeling", "content_filter", "audit_log", "complaints")
WIRES = Path("gateway/wires")
PARTS = ("answer", "writer", "errors", "parts", "request")

TESTED_IN = {
    "gateway/operator/house.py": "tests/gateway/operator/test_app.py",
    "gateway/public/house.py": "tests/gateway/test_app.py",
    "gateway/public/routes.py": "tests/gateway/test_app.py",
    "gateway/policies/policy.py": "tests/gateway/test_policies.py",
    "gateway/wires/anthropic_errors.py": "tests/gateway/wires/test_anthropic_messages.py",
}
"""Modules without a mirrored file, and where they are tested instead: protocols and lists that their users show."""

CROSS_CUTTING = {
    "tests/gateway/wires/test_junk_answers.py": "what every codec owes to an upstream that talks nonsense",
    "tests/gateway/wires/test_fuzz.py": "what every codec owes to inputs nobody thought of",
    "tests/gateway/wires/test_bad_streams.py": "what every codec owes to streams that are wrong in known ways",
    "tests/labeling/test_bad_files.py": "what every label owes to files that are broken, hostile or signed",
    "tests/labeling/implicit/test_implicit.py": "what every format of a label in metadata keeps",
}
"""Tests of no single module."""

ELSEWHERE = ("bench", "clients", "conformance", "deploy", "docs", "e2e", "simulation", "upstreams")
"""Folders of tests that mirror no package."""


def modules() -> Iterator[Path]:
    """Every module that holds something to test."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if not relative.name.startswith("_") and "migrations" not in relative.parts:
                yield relative


def mirrored(module: Path) -> Path:
    """Where a module's tests belong."""
    return Path("tests") / module.parent / f"test_{module.name}"


def places(module: Path) -> Iterator[Path]:
    """Where a module may be tested."""
    yield mirrored(module)
    if module.parent == WIRES:
        stem = module.stem
        while (whole := next((stem.removesuffix(f"_{part}") for part in PARTS if stem.endswith(f"_{part}")), "")) != "":
            yield mirrored(WIRES / f"{whole}.py")
            stem = whole


def is_about(test: Path, known: set[str]) -> bool:
    """Whether a test file names a module or a package, or an aspect of one, at its own place."""
    name = test.stem.removeprefix("test_")
    folder = test.parent.relative_to("tests")
    while name:
        if f"{folder.as_posix()}/{name}.py" in known or (ROOT / folder / name / "__init__.py").is_file():
            return True
        name = name.rpartition("_")[0]
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_its_tests(package: str) -> None:
    """At the mirrored place, or where this file says."""
    missing = [
        module.as_posix()
        for module in modules()
        if module.parts[0] == package
        and module.as_posix() not in TESTED_IN
        and not any((ROOT / place).is_file() for place in places(module))
    ]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_test_has_its_module(package: str) -> None:
    """A file that was renamed or removed takes its tests along."""
    known = {module.as_posix() for module in modules()}
    tests = (path.relative_to(ROOT) for path in sorted((ROOT / "tests" / package).rglob("test_*.py")))
    assert [
        path.as_posix() for path in tests if not is_about(path, known) and path.as_posix() not in CROSS_CUTTING
    ] == []


def test_the_exceptions_are_still_true() -> None:
    """Each names a module without a file of its own, and a file that is there."""
    for module, test in TESTED_IN.items():
        assert (ROOT / module).is_file() and (ROOT / test).is_file(), module
        assert not (ROOT / mirrored(Path(module))).is_file(), (
            f"{module} has tests of its own now; strike it from this list"
        )
    for test in CROSS_CUTTING:
        assert (ROOT / test).is_file(), test


def test_every_folder_of_tests_is_known() -> None:
    """A new one is a package's mirror or says here that it is not."""
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert folders - set(PACKAGES) - set(ELSEWHERE) == set()


def test_folders_of_tests_are_no_packages() -> None:
    """They are imported by path."""
    assert [path.as_posix() for path in (ROOT / "tests").rglob("__init__.py")] == []
