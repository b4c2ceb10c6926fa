# SPDX-License-Identifier: Apache-2.0
"""The table of wires: what this gateway serves, and that it serves nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.wires import ROUTES, Route, Table
from gateway.wires.openai_chat import OpenAIChat
from gateway.wires.openai_models import OpenAIModels


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/chat/completions", "openai_chat"),
        ("GET", "/v1/models", "openai_models"),
        ("GET", "/v1/models/gpt-4o", "openai_models"),
        ("GET", "/v1/models/org/model:tag", "openai_models"),
    ],
)
def test_a_path_has_its_wire(method: str, path: str, name: str) -> None:
    """Exact paths by one look-up, patterns after that."""
    wire = Table().find(method, path)
    assert wire is not None and wire.name == name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1/chat/completions/../files"),
        ("DELETE", "/v1/models/gpt-4o"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/../files/f/content"),
        ("GET", "/v1/models/a/../../responses/r"),
        ("GET", "/v1/models/.."),
        ("GET", "/v1/models/./a"),
        ("GET", "/v1/models/a b"),
        ("GET", "/v1/models/a\nb"),
        ("GET", "/v1/models/" + "x" * 257),
        ("POST", "/v1/fine_tuning/jobs"),
        ("GET", "/"),
        ("POST", ""),
    ],
)
def test_what_is_not_known_has_no_wire(method: str, path: str) -> None:
    """Its duties could not be done."""
    assert Table().find(method, path) is None


def test_a_path_knows_its_methods() -> None:
    """For 405 and its `Allow`."""
    assert Table().methods("/v1/chat/completions") == ["POST"]
    assert "GET" in Table().methods("/v1/models/gpt-4o")
    assert Table().methods("/nothing") == Table().methods("/v1/models/../files") == []


def test_no_place_is_served_twice() -> None:
    """Two wires for one path would be one too many."""
    assert [place for place, count in Counter((r.method, r.path) for r in ROUTES).items() if count > 1] == []


def test_a_wire_has_one_name_and_a_name_one_kind() -> None:
    """Records and metrics tell wires apart by name."""
    kinds: dict[str, set[bool]] = {}
    for route in ROUTES:
        kinds.setdefault(route.wire.name, set()).add(route.wire.is_generative)
    assert [name for name, found in kinds.items() if len(found) > 1] == []


def test_an_exact_path_goes_before_a_pattern() -> None:
    """Whatever the order of the routes."""
    exact, pattern = OpenAIChat(), OpenAIModels()
    table = Table([Route("GET", "/a/.*", pattern, is_pattern=True), Route("GET", "/a/b", exact)])
    assert table.find("GET", "/a/b") is exact
    assert table.find("GET", "/a/c") is pattern
    assert table.methods("/a/b") == ["GET"]
