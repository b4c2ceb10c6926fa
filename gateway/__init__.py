# SPDX-License-Identifier: Apache-2.0
"""The gateway: composes the four rooms of the house into one service before a model API.

`gateway` is the only package that imports `audit_log`, `content_filter`, `labeling` and `complaints`.
Read `app.py` (what exists), `pipeline.py` (in which order) and `exchange.py` (what is known about one request).
"""

__version__ = "0.1.0"
