# SPDX-License-Identifier: Apache-2.0
"""Addresses in answers: which are asked, which never, and what a client is given instead."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.media_links import (
    LinkedMedia,
    LinkHosts,
    LinkRefused,
    address,
    data_url,
    is_data_url,
    name_of,
    read_data_url,
)
from gateway.media_store import MediaStore

HOSTS = LinkHosts("https://api.example.com/v1", ["cdn.example.net", "*.oss.example.org", "http://127.0.0.1:9000"])


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/files/1",
        "https://api.example.com:443/files/1?sig=x",
        "https://API.example.com/files/1",
        "https://cdn.example.net/a.png",
        "https://bucket.oss.example.org/a.png?Expires=1",
        "http://127.0.0.1:9000/a.png",
    ],
)
def test_the_upstream_and_the_listed_hosts_may_be_asked(url: str) -> None:
    """By name, by everything below a name, by origin."""
    HOSTS.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/files/1",
        "https://api.example.com:8443/files/1",
        "http://cdn.example.net/a.png",
        "https://oss.example.org/a.png",
        "https://evil.example/a.png",
        "https://evilcdn.example.net/a.png",
        "https://cdn.example.net.evil.example/a.png",
        "http://127.0.0.1:9001/a.png",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_no_other_host_is_asked(url: str) -> None:
    """Neither another port nor scheme, nor a name that only looks alike, nor this machine's neighbours."""
    with pytest.raises(LinkRefused) as caught:
        HOSTS.check(url)
    assert caught.value.reason == "link_host"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://api.example.com/a",
        "https://user@api.example.com/a",
        "https://api.example.com\\@evil.example/a",
        "https://api.example.com/a b",
        "https://api.example.com/\n",
        "https:///a",
        "https://[::1/a",
        "https://api.example.com:99999/a",
        "a.png",
        "",
        "https://api.example.com/" + "a" * 9_000,
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    """Before anybody asks where it leads."""
    with pytest.raises(LinkRefused) as caught:
        HOSTS.check(url)
    assert caught.value.reason == "bad_link"


@pytest.mark.parametrize("host", ["", "a b", "ftp://a", "*", "a*.example.com", "cdn.example.com/path", "https://u@h"])
def test_a_setting_that_names_no_host_is_an_error(host: str) -> None:
    """At the start, not at the first picture."""
    with pytest.raises(ValueError, match=r"cdn\.example\.com"):
        LinkHosts("https://api.example.com", [host])


def test_only_the_upstreams_own_origin_is_its_own() -> None:
    """It alone gets the key."""
    assert HOSTS.is_own("https://api.example.com/files/1")
    assert not HOSTS.is_own("https://cdn.example.net/a.png")


def test_a_data_address_is_the_file_itself() -> None:
    """Written and read; percent signs and missing padding are read, too."""
    made = data_url("image/png", b"\x89PNG")
    assert is_data_url(made) and read_data_url(made) == ("image/png", b"\x89PNG")
    assert read_data_url("DATA:Image/PNG;base64,iVBORw%3D%3D") == ("image/png", b"\x89PNG")
    assert read_data_url("data:image/png;base64,iVBORw") == ("image/png", b"\x89PNG")
    assert read_data_url("data:image/svg+xml;utf8,%3Csvg/%3E") == ("image/svg+xml", b"<svg/>")
    for wrong in ("data:image/png;base64,!!!", "data:image/png"):
        with pytest.raises(LinkRefused):
            read_data_url(wrong)


@pytest.mark.parametrize(
    ("public_url", "host", "expected"),
    [
        ("https://ai.example.com/", b"other", "https://ai.example.com/duty/media/T"),
        ("", b"ai.example.com:8080", "http://ai.example.com:8080/duty/media/T"),
        ("", b"[::1]:8080", "http://[::1]:8080/duty/media/T"),
        ("", b"evil/../x", "/duty/media/T"),
        ("", b'a"b', "/duty/media/T"),
        ("", b"", "/duty/media/T"),
    ],
)
def test_the_clients_address_is_the_configured_one_or_the_one_it_used(
    public_url: str, host: bytes, expected: str
) -> None:
    """A `Host` that is none does not get into an answer."""
    assert address(public_url, host, "T") == expected


def test_one_file_asked_for_twice_has_one_name() -> None:
    """Whatever signature its address has by then; another file, or another task, has another."""
    one = name_of("/tasks/1", "https://cdn/a.png?sig=1", b"data")
    assert one == name_of("/tasks/1", "https://cdn/a.png?sig=2", b"data")
    assert one != name_of("/tasks/2", "https://cdn/a.png?sig=1", b"data")
    assert one != name_of("/tasks/1", "https://cdn/b.png?sig=1", b"data")
    assert one != name_of("/tasks/1", "https://cdn/a.png?sig=1", b"other")


def test_a_kept_file_is_given_out_again_while_it_lasts_a_good_while(tmp_path: Path) -> None:
    """A client that polls does not get an address that dies in its hands."""
    now = [1_000.0]
    store = MediaStore(tmp_path / "media", 100.0, 1 << 20, lambda: now[0])
    links = LinkedMedia(None, HOSTS, store, "", 1, 1.0, 100.0, lambda: now[0])  # type: ignore[arg-type]

    async def scene() -> list[bool]:
        found = [await links.kept(b"n") is None]
        token = await links.keep(b"data", "image/png", b"n", "record-1")
        found.append(await links.kept(b"n") == token)
        now[0] += 60
        return [*found, await links.kept(b"n") is None, store.get(token) is not None]

    assert asyncio.run(scene()) == [True, True, True, True]
