# SPDX-License-Identifier: Apache-2.0
"""Alembic migrations of the case store. `complaints.store.CaseStore.open` runs them; nothing else has to.

A migration runs in the transaction that the store hands over, so several processes that start at once take turns and a
crash leaves either the old schema or the new one.
"""
