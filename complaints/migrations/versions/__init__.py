# SPDX-License-Identifier: Apache-2.0
"""One module a schema change, oldest first: `v0001_...`, `v0002_...`. A published one is never edited."""
