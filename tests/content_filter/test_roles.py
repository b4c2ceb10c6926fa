# SPDX-License-Identifier: Apache-2.0
"""Roles have the names that records carry."""

from content_filter import filter as whole_filter
from content_filter.roles import Role


def test_there_are_two_roles_and_one_type() -> None:
    """Prompt and answer, the same wherever they are imported from."""
    assert [role.value for role in Role] == ["prompt", "answer"]
    assert whole_filter.Role is Role
