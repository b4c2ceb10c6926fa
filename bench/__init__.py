# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: what the gateway and its parts cost, measured beside yardsticks in the same run."""
