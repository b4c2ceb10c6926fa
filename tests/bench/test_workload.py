# SPDX-License-Identifier: Apache-2.0
"""The benchmark sends what it says it sends, and nothing that a term would stop."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from bench import workload
from content_filter.taxonomy import CLASSES

SECRET = "a secret for tests that is long enough for HS256"
NOW_S = 1_800_000_000.0


def test_no_term_occurs_in_what_is_said() -> None:
    """A refusal would be faster than an answer and make the figures a lie."""
    terms = workload.terms(3_000)
    said = workload.completion().decode() + "".join(workload.prompts())
    assert len(set(terms)) == 3_000 and terms == workload.terms(3_000)
    assert not [term for term in terms if term in said]


def test_the_term_file_has_a_known_class_on_each_line() -> None:
    """The content filter takes the file as it is."""
    lines = [line.split("\t") for line in workload.term_file(50).splitlines()]
    assert len(lines) == 50 and all(len(line) == 2 and line[1] in CLASSES for line in lines)


def test_sizes_are_those_of_the_published_figures() -> None:
    """An answer of about 1.2 KB to a prompt of about 2 KB."""
    assert 1_000 <= len(workload.completion()) <= 1_400
    assert all(2_000 <= len(prompt.encode()) <= 2_300 for prompt in workload.prompts())


@pytest.mark.parametrize("stream", [False, True])
def test_requests_carry_subjects_that_verify(stream: bool) -> None:
    """Each has a token of its own that a JWT library accepts; one in ten is a minor."""
    made = workload.requests(stream=stream, secret=SECRET, now_s=NOW_S)
    claims = [jwt.decode(one.token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims for one in made]
    assert len({claim["sub"] for claim in claims}) == len(made) == workload.SUBJECTS
    assert sum(claim["minor_mode"] for claim in claims) == workload.SUBJECTS // workload.MINORS_EVERY
    assert all(json.loads(one.body).get("stream", False) is stream for one in made)


@pytest.mark.parametrize("hour", range(24))
def test_it_is_noon_for_minors_at_every_hour(hour: int) -> None:
    """The night's curfew must not turn the benchmark into one of refusals."""
    now_s = NOW_S - NOW_S % 86_400 + hour * 3_600 + 61
    assert datetime.fromtimestamp(now_s, ZoneInfo(workload.noon_zone(now_s))).hour == 12


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The load generators get the very bytes."""
    made = workload.requests(stream=False, secret=SECRET, now_s=NOW_S)
    workload.write(tmp_path / "file", made)
    assert workload.read(tmp_path / "file") == made
