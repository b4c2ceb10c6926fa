# SPDX-License-Identifier: Apache-2.0
"""Names of states are kept in databases and reports, so they never change."""

from content_filter import incidents
from content_filter.incident_state import IncidentState, Transition


def test_the_states_are_the_six_of_the_workflow() -> None:
    """By their stored names."""
    assert [state.value for state in IncidentState] == [
        "open", "confirmed", "false_alarm", "contained", "reported", "closed",
    ]  # fmt: skip


def test_the_store_gives_the_same_types() -> None:
    """Whoever imports them from there gets these."""
    assert incidents.IncidentState is IncidentState
    assert incidents.Transition is Transition
