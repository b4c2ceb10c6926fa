# SPDX-License-Identifier: Apache-2.0
"""What the law asks, as data: one TOML file a jurisdiction, every number with its article and how sure we are of it.

Code never holds a number from a law; it asks `load(["cn"]).number("minors.daily_minutes_under_16")`.
"""

from gateway.policies.policy import Entry, Kind, Policy, PolicyError, available, duty_table, load

__all__ = ["Entry", "Kind", "Policy", "PolicyError", "available", "duty_table", "load"]
