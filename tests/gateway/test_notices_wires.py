# SPDX-License-Identifier: Apache-2.0
"""Notices reach the client on every wire that generates: in a document, and in an event of a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wires import Table
from tests.conformance.model import Asked, Said
from tests.conformance.wires.table import WIRES
from tests.gateway.wires.driver import answer, ask

NOTICE = {"kind": "incident", "incident": "inc_1", "text": "发生了 It happened."}


def documents(body: bytes) -> list[Any]:
    """Every JSON document of a body: one, one an event, or one a line."""
    try:
        whole = json.loads(body)
    except ValueError:
        lines = (line.removeprefix("data:").strip() for line in body.decode().splitlines())
        return [json.loads(line) for line in lines if line.startswith("{")]
    return whole if isinstance(whole, list) else [whole]


def held(tree: Any) -> list[Any]:
    """Every `notices` in a document, wherever it stands."""
    if isinstance(tree, list):
        return [found for item in tree for found in held(item)]
    if not isinstance(tree, dict):
        return []
    own = [tree["notices"]] if "notices" in tree else []
    return own + [found for item in tree.values() for found in held(item)]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name", sorted(WIRES))
def test_an_answer_carries_its_notices(name: str, is_stream: bool) -> None:
    """And without any there is no such member."""
    adapter = WIRES[name]()
    asked = Asked(stream=is_stream)
    request = adapter.request(asked)
    path, _, query = request.path.partition("?")
    wire = Table().find("POST", path)
    assert wire is not None
    headers = tuple((key.lower().encode(), value.encode()) for key, value in request.headers.items())
    body = request.body if isinstance(request.body, bytes) else json.dumps(request.body).encode()
    for notices in ([NOTICE], []):
        exchange = ask(wire, path, body, query, headers=headers, notices=list(notices))
        told = adapter.tell(asked, Said.of("It is sunny today."))
        got = answer(wire, exchange, [told.body]).body
        found = [item for document in documents(got) for item in held(document)]
        assert bool(found) is bool(notices), got
        assert all(item == notices for item in found)
