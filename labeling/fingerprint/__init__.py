# SPDX-License-Identifier: Apache-2.0
"""Fingerprints: how a copy without any label is still found, as long as it looks, sounds or reads like the work.

A fingerprint is a hash of what is perceived, not of bytes. It is kept by whoever made the work and compared with that
of a file that turns up; nothing is put into the file, and from the fingerprint nothing can be made again. A hit says
"likely", never "proven".
"""

from __future__ import annotations

from labeling.fingerprint.sketch import LEAST_LIKENESS, Kind, Print

__all__ = ["LEAST_LIKENESS", "Kind", "Print"]
