# SPDX-License-Identifier: Apache-2.0
"""The bench of the duties about people measures what it says."""

from __future__ import annotations

import asyncio

from bench.people import measure


def test_a_request_is_one_round_trip_and_people_fit(redis_url: str) -> None:
    """One batch to Redis a request though three stages ask; a million people within 500 MB."""
    *costs, memory, trips = asyncio.run(measure(2_000, redis_url, 50))
    assert all(float(line.split()[-2]) > 0 for line in costs) and len(costs) == 2
    assert trips.endswith(" 1.00")
    assert float(memory.split()[-2]) <= 2_000 * 500 / 1_000_000 + 1
