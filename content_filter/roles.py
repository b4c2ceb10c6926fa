# SPDX-License-Identifier: Apache-2.0
"""Whose text is judged: the one word that everything in this package which judges has in common."""

from enum import StrEnum


class Role(StrEnum):
    """Whose text is judged."""

    PROMPT = "prompt"
    ANSWER = "answer"
