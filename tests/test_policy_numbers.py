# SPDX-License-Identifier: Apache-2.0
"""Numbers and words of a law stand in the policy with their article, and nowhere in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.policies import load

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "labeling", "content_filter", "audit_log", "complaints")
POLICY = load(["cn"])
ENTRIES = {entry.key: entry for entry in POLICY.entries()}

SPELT_ELSEWHERE = {
    "AIGC": "the name of the metadata field is part of a file format, which labeling implements",
}
"""Words that stand in code for a reason of their own."""

DUTIES = ("gateway/minors.py", "gateway/disclosure.py", "gateway/admission.py", "gateway/text_labels.py",
          "gateway/notices.py", "gateway/filtering.py", "gateway/public/desk.py", "complaints/deadlines.py",
          "complaints/workflow.py", "gateway/recording.py")  # fmt: skip
"""Modules whose every number would be suspicious: they do what a law asks."""

CONVERSIONS = {0, 1, 2, 60, 1_000, 3_600, 86_400}
"""Counting and units of time."""

KNOWN = {
    ("gateway/minors.py", 1_024): "the size of a cache",
    ("gateway/disclosure.py", 32): "the bytes of a key; the first printable character",
    ("gateway/disclosure.py", 126): "the last printable character",
    ("gateway/disclosure.py", 12): "how much of a digest names a version",
    ("gateway/disclosure.py", 4): "base64, and the fields of a link",
    ("gateway/filtering.py", 10_000): "certainty in basis points",
    ("complaints/deadlines.py", 5): "a week's working days come first",
}
"""Numbers that are no law's."""

STATUSES = range(200, 600)
"""HTTP statuses that a duty answers with."""


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of the packages, by its path."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def constants(tree: ast.AST) -> Iterator[ast.Constant]:
    """The literals of a module that are no documentation."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation and not isinstance(node.value, bool):
            yield node


def telling() -> dict[object, str]:
    """Values of the policy that in code could mean nothing else: times of day, labels, addresses, odd numbers."""
    found: dict[object, str] = {}
    for key, entry in ENTRIES.items():
        value = entry.value
        if isinstance(value, bool):
            continue
        if isinstance(value, (int, float)):
            if value > 31 and value % 10:
                found[value] = key
        elif isinstance(value, str):
            if entry.unit == "time of day" or len(value) > 5:
                found[value] = key
        elif key.startswith("label.text."):
            found |= {word: key for word in value if not word.isascii()}
    return found


def test_the_policy_has_values_that_tell() -> None:
    """Or the next test would find nothing for a wrong reason."""
    assert {"22:00", "06:00", 184, 1_096} <= telling().keys()
    assert any("生成" in str(value) for value in telling())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_value_of_the_policy_is_written_in_code(package: str) -> None:
    """A law changes in one file."""
    values = telling()
    found = [
        f"{path}:{node.lineno}: {node.value!r} is {values[node.value]}"
        for path, tree in modules(package)
        for node in constants(tree)
        if node.value in values and not SPELT_ELSEWHERE.get(str(node.value))
    ]
    assert found == []


@pytest.mark.parametrize("path", DUTIES)
def test_a_module_that_does_a_duty_has_no_numbers_of_its_own(path: str) -> None:
    """But those with a name, which say what they bound, and those that count or convert."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    named = {
        id(node)
        for statement in tree.body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None
        for node in ast.walk(statement.value)
    }
    found = [
        f"{path}:{node.lineno}: {node.value!r}"
        for node in constants(tree)
        if isinstance(node.value, (int, float)) and id(node) not in named
        and node.value not in CONVERSIONS and node.value not in STATUSES and (path, node.value) not in KNOWN
    ]  # fmt: skip
    assert found == [], "read it from the policy, or give it a name that says what it bounds"


def asked() -> Iterator[tuple[str, str, str]]:
    """Every key that the code asks a policy for: place, method, key."""
    for path, tree in modules("gateway"):
        if path.startswith("gateway/policies/"):
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("number", "text", "texts", "flag")
                and isinstance(node.func.value, (ast.Name, ast.Attribute))
                and "policy" in ast.unparse(node.func.value)
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield f"{path}:{node.lineno}", node.func.attr, str(node.args[0].value)


def test_every_key_that_the_code_asks_for_is_in_the_policy() -> None:
    """A service must not find out while it answers."""
    keys = list(asked())
    assert len(keys) > 10
    assert [f"{place}: {key}" for place, _, key in keys if key not in ENTRIES] == []


def test_every_key_is_asked_for_as_what_it_is() -> None:
    """A number as a number, texts as texts."""
    kinds = {"number": (int, float), "text": str, "texts": tuple, "flag": bool}
    wrong = [
        f"{place}: {key}" for place, method, key in asked() if not isinstance(ENTRIES[key].value, kinds[method])
    ]  # fmt: skip
    assert wrong == []
