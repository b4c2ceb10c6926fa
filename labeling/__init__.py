# SPDX-License-Identifier: Apache-2.0
"""Labels on machine-made content: visible and hidden, on text and on files, and reading them back.

Implements 《人工智能生成合成内容标识办法》 and GB 45438-2025, both in force since 2025-09-01. The package stands
alone: it imports nothing of the gateway, and it labels a text or a file without one.
"""

from __future__ import annotations

from labeling.aigc import AigcLabel, AigcReading, Finding
from labeling.errors import DamagedFile, LabelError, LabelNotVerified, RefusedFile, UnsupportedFormat
from labeling.provider_code import ProviderCode
from labeling.text import LabelRun, TextLabel, TextLabeler, language_of

__all__ = [
    "AigcLabel",
    "AigcReading",
    "DamagedFile",
    "Finding",
    "LabelError",
    "LabelNotVerified",
    "LabelRun",
    "ProviderCode",
    "RefusedFile",
    "TextLabel",
    "TextLabeler",
    "UnsupportedFormat",
    "language_of",
]
