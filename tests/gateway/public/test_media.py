# SPDX-License-Identifier: Apache-2.0
"""Labelled files at addresses of ours: served as what they are, without a list, for a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway.media_store import MediaStore
from gateway.public import public_routes

NOW = 1_780_000_000.0


def made(site: Any, tmp_path: Path) -> tuple[MediaStore, TestClient, list[float]]:
    """A store, and a site that serves it."""
    now = [NOW]
    store = MediaStore(tmp_path / "media", 3_600.0, 1 << 20, lambda: now[0])
    house = dataclasses.replace(site.house, media_store=store, clock=lambda: now[0])
    return store, TestClient(Starlette(routes=public_routes(house))), now


def test_a_file_is_served_as_what_it_is_and_as_nothing_else(site: Any, tmp_path: Path) -> None:
    """No browser guesses another type, no script in it runs, and pages of any site may show it."""
    store, client, _ = made(site, tmp_path)
    token = store.put(b"<svg/>", "image/svg+xml")
    response = client.get(f"/duty/media/{token}")
    assert (response.status_code, response.content) == (200, b"<svg/>")
    assert response.headers["content-type"].startswith("image/svg+xml")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "private, max-age=3601"
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"
    head = client.head(f"/duty/media/{token}")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "6")


def test_an_unknown_an_expired_and_a_missing_address_look_alike(site: Any, tmp_path: Path) -> None:
    """Nobody learns what was there."""
    store, client, now = made(site, tmp_path)
    token = store.put(b"data", "image/png")
    now[0] += 4_000
    answers = [client.get(f"/duty/media/{name}") for name in (token, "A" * 32, "x")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.json()["code"] for answer in answers} == {"no_such_medium"}
    assert client.get("/duty/media/").status_code == 404
    assert client.post(f"/duty/media/{token}").status_code == 405


def test_a_site_without_a_store_serves_none(site: Any) -> None:
    """As in a house that was put together without one."""
    assert site.client.get("/duty/media/" + "A" * 32).status_code == 404


def test_a_file_that_was_taken_down_is_gone(site: Any, tmp_path: Path) -> None:
    """With a problem document that says so; whoever takes it down need not wait until it expires."""
    withheld: set[str] = set()
    store = MediaStore(tmp_path / "media", 3_600.0, 1 << 20, lambda: NOW, is_withheld=withheld.__contains__)
    house = dataclasses.replace(site.house, media_store=store, clock=lambda: NOW)
    client = TestClient(Starlette(routes=public_routes(house)))
    token = store.put(b"data", "image/png", None, "record-1")
    assert client.get(f"/duty/media/{token}").status_code == 200
    withheld.add("record-1")
    response = client.get(f"/duty/media/{token}")
    assert (response.status_code, response.headers["content-type"]) == (410, "application/problem+json")
    assert b"data" not in response.content and response.json()["title"] == "This file was taken down"
