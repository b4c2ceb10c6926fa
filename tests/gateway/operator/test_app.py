# SPDX-License-Identifier: Apache-2.0
"""The listener as a whole: what exists, what every answer has, and how it fails."""

from __future__ import annotations

from typing import Any

from gateway.operator.tokens import Role


def test_every_answer_may_be_neither_sniffed_nor_kept(listener: Any) -> None:
    """Good answers, refusals and problems alike."""
    for path, role in (("/api/version", Role.ADMIN), ("/api/version", None), ("/nowhere", None), ("/metrics", None)):
        answer = listener.get(path, role)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
