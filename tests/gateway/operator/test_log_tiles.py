# SPDX-License-Identifier: Apache-2.0
"""The transparency log over HTTP: a reader that knows only C2SP can follow and check it."""

from __future__ import annotations

import base64
import time
from typing import Any

from audit_log.checkpoint import Checkpoint, open_checkpoint
from audit_log.merkle import leaf_hash
from audit_log.note import Verifier
from audit_log.tiles import TileTree
from gateway.operator.tokens import Role


def covered(listener: Any, size: int) -> Checkpoint:
    """The published checkpoint once it covers `size` leaves."""
    deadline = time.monotonic() + 20
    while True:
        note = listener.get("/log/checkpoint", None).content
        checkpoint = open_checkpoint(note, "audit.example.com/test", [Verifier.from_vkey(listener.vkey)])
        if checkpoint.size >= size:
            return checkpoint
        assert time.monotonic() < deadline, "no checkpoint covers the records"
        time.sleep(0.05)  # the log signs by its own clock


def test_the_whole_log_can_be_checked_through_the_listener(listener: Any) -> None:
    """Tiles lead to the checkpoint's root, entry bundles to the tiles."""
    for _ in range(300):
        listener.remember()
    checkpoint = covered(listener, 301)

    def fetch(path: str) -> bytes | None:
        answer = listener.get(f"/log/{path}", Role.AUDITOR if "entries" in path else None)
        return answer.content if answer.status_code == 200 else None

    tree = TileTree(fetch, checkpoint.size)
    leaves = tree.entries(0) + tree.entries(1)

    assert tree.root() == checkpoint.root
    assert [leaf_hash(leaf) for leaf in leaves] == tree.tile(0, 0) + tree.tile(0, 1)
    assert len(leaves) == checkpoint.size


def test_types_and_caching_are_those_of_the_specification(listener: Any) -> None:
    """A checkpoint is asked for anew; a tile is kept for ever, records only by their reader."""
    size = covered(listener, 1).size

    checkpoint = listener.get("/log/checkpoint", None)
    tile = listener.get(f"/log/tile/0/000.p/{size}", None)
    entries = listener.get(f"/log/tile/entries/000.p/{size}")

    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "no-cache"
    assert tile.headers["content-type"] == entries.headers["content-type"] == "application/octet-stream"
    assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert entries.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert len(tile.content) == 32 * size


def test_records_in_entry_bundles_need_a_token_that_may_read_records(listener: Any) -> None:
    """Hashes are open, records are not; a log reader carries the token in its URL."""
    size = covered(listener, 1).size
    path = f"/log/tile/entries/000.p/{size}"
    basic = base64.b64encode(f"reader:{listener.token(Role.AUDITOR)}".encode()).decode()

    assert listener.get(path, None).status_code == 401
    assert listener.get(path, Role.OPERATOR).status_code == 403
    assert listener.client.get(path, headers={"Authorization": f"Basic {basic}"}).status_code == 200


NO_TILES = (
    "tile/0/999",
    "tile/0/000.p/256",
    "tile/0/0",
    "tile/64/000",
    "tile/x/000",
    "tile/0/../../log.key",
    "tile/0/%2e%2e/log.key",
    "tile/entries/..%2f..%2flog.key",
    "tile/",
    "tile/0/000/",
    "tile/0/x000/000",
    "log.key",
    "",
)


def test_nothing_else_of_the_folder_can_be_reached(listener: Any) -> None:
    """Names that no tile has do not exist, whatever they point at."""
    covered(listener, 1)

    found = {path: listener.get(f"/log/{path}", Role.ADMIN).status_code for path in NO_TILES}

    assert found == dict.fromkeys(NO_TILES, 404)


def test_a_head_request_is_answered_without_a_body(listener: Any) -> None:
    """As static files would."""
    covered(listener, 1)

    answer = listener.client.head("/log/checkpoint")

    assert answer.status_code == 200
    assert answer.content == b""
