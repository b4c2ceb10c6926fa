# SPDX-License-Identifier: Apache-2.0
"""``verify.py``: the verifier of a bundle as one file, put together from this package's own modules.

What must hold: no second copy of the logic exists anywhere; the file needs Python 3.11 and ``cryptography`` alone; it
reads from top to bottom as the modules do. Names of different modules must not clash, which is checked here.
"""

import ast
import sys
from importlib import import_module
from inspect import getsource

_MODULES = (
    "errors",
    "merkle",
    "note",
    "checkpoint",
    "cosignature",
    "trust",
    "tiles",
    "proof",
    "chain",
    "view",
    "sealing",
    "receipt",
    "timestamp",
    "sample",
    "bundle",
    "bundle_command",
)
_HEAD = '''\
#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks an audit bundle of Dutybound without trusting whoever made it, and without a network.

    python verify.py [BUNDLE] [--vkey KEY] [--checkpoint FILE] [--policy FILE] [--json]

Needs Python 3.11 or newer and the package ``cryptography``. Exit status 0 only where everything holds. This file came
with the bundle: for a check that trusts nobody, take it from a source of your own, or read it.
"""
'''
_FOOT = """
if __name__ == "__main__":
    sys.exit(check_bundle(sys.argv[1:], Path(__file__).resolve().parent))
"""


def verifier_source() -> bytes:
    """The text of ``verify.py``."""
    imports: dict[str, set[str]] = {}
    parts: list[str] = []
    owners: dict[str, str] = {}
    for module in _MODULES:
        source = getsource(import_module(f"audit_log.{module}"))
        tree = ast.parse(source)
        for name in _top_level_names(tree):
            if owners.setdefault(name, module) != module:
                raise AssertionError(f"{name} is defined in both {owners[name]} and {module}")
        parts.append(_body_of(module, source, tree, imports))
    return "\n".join((_HEAD, *_import_lines(imports), *parts, _FOOT)).encode()


def _body_of(module: str, source: str, tree: ast.Module, imports: dict[str, set[str]]) -> str:
    """A module's text without its imports, which are collected, and with its docstring as a comment."""
    lines = source.split("\n")
    docstring = tree.body[0]
    dropped = {*range(docstring.lineno - 1, docstring.end_lineno or docstring.lineno)}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            dropped.update(range(node.lineno - 1, node.end_lineno or node.lineno))
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports.setdefault(alias.name, set())
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("audit_log"):
            imports.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    about = [f"# {line}".rstrip() for line in (ast.get_docstring(tree) or "").split("\n")]
    kept = [line for at, line in enumerate(lines) if at not in dropped and not line.startswith("# SPDX-")]
    text = "\n".join(kept).strip("\n")
    return "\n".join(("", f"# ---- {module} " + "-" * (100 - len(module)), "#", *about, "", "", text, ""))


def _import_lines(imports: dict[str, set[str]]) -> list[str]:
    plain = [f"import {module}" for module, names in sorted(imports.items()) if not names]
    named = {
        module: f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items()) if names
    }
    standard = [line for module, line in named.items() if module.split(".")[0] in sys.stdlib_module_names]
    return [*plain, *standard, "", *(line for line in named.values() if line not in standard)]


def _top_level_names(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names.extend(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return names
