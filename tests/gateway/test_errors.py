# SPDX-License-Identifier: Apache-2.0
"""Problem details of our own endpoints (RFC 9457)."""

from __future__ import annotations

import json

from gateway.errors import MEDIA_TYPE, Problem


def test_a_problem_has_type_title_status_and_code() -> None:
    """The detail only where there is one."""
    assert json.loads(Problem(404, "not_found", "There is no such page.").body()) == {
        "type": "urn:dutybound:problem:not_found",
        "title": "There is no such page.",
        "status": 404,
        "code": "not_found",
    }


def test_detail_and_extension_members_stand_beside_them() -> None:
    """RFC 9457 section 3.2."""
    document = json.loads(Problem(400, "c", "t", "Do this.", (("fields", ["a"]),)).body())
    assert (document["detail"], document["fields"]) == ("Do this.", ["a"])


def test_the_response_says_what_it_is() -> None:
    """Media type, status and the headers that were asked for."""
    response = Problem(429, "c", "t").response({"Retry-After": "7"})
    assert (response.status_code, response.media_type, response.headers["retry-after"]) == (429, MEDIA_TYPE, "7")
    assert response.body == Problem(429, "c", "t").body()
