# SPDX-License-Identifier: Apache-2.0
"""Explicit labels: what people see or hear on the content itself (GB 45438-2025 chapter 5)."""

from __future__ import annotations

from labeling.explicit.image import ImageLabel, LabeledImage, label_image

__all__ = ["ImageLabel", "LabeledImage", "label_image"]
