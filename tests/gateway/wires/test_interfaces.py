# SPDX-License-Identifier: Apache-2.0
"""What every wire of the table keeps, whichever protocol it speaks."""

from __future__ import annotations

import pytest

from gateway.wires import ROUTES
from gateway.wires.interfaces import BadAnswer, BadRequest, Call, Wire

WIRES = list({route.wire.name: route.wire for route in ROUTES}.values())


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_every_wire_has_a_name_that_records_can_hold(wire: Wire) -> None:
    """One fixed word, in leaves and metrics."""
    assert wire.name.isascii() and wire.name.replace("_", "").isalnum() and wire.name == wire.name.lower()
    assert isinstance(wire.is_generative, bool)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 428, 429, 501, 502, 503, 504])
def test_every_wire_speaks_every_status_as_json(wire: Wire, status: int) -> None:
    """With the code or at least the message, so that an operator finds what happened."""
    body = wire.error(status, "a_code", "A fact and the next step.", "a.b")
    assert b"A fact and the next step." in body
    assert body.startswith(b"{") and body.endswith(b"}")


def test_errors_carry_fixed_words_only() -> None:
    """`str()` of either is its code: what is logged holds no text of anybody's."""
    assert str(BadRequest("invalid_type", "messages must be an array.", param="messages")) == "invalid_type"
    assert str(BadAnswer("incomplete")) == "incomplete"


def test_a_call_is_json_with_a_bearer_token_unless_its_wire_says_otherwise() -> None:
    """What OpenAI's protocol does."""
    call = Call("POST", "/v1/x", b"{}")
    assert (call.content_type, call.key_header, call.key_parameter) == ("application/json", "authorization", "")
