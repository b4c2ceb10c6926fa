# SPDX-License-Identifier: Apache-2.0
"""The 27-character code that names a generative-AI service provider in an implicit label.

Implements the structure of 《网络安全标准实践指南 人工智能生成合成内容标识 服务提供者编码规则》 (2025-03-14):

======== ====== ======================================================================
position length meaning
======== ====== ======================================================================
1-2      2      code format, ``00``
3        1      kind of subject, ``1`` an organisation
4        1      how the subject is named, ``1`` by its unified social credit code
5-22     18     unified social credit code (GB 32100-2015, last character is a check)
23       1      kind of service, ``1`` generation, ``2`` dissemination
24-27    4      the provider's own code of a model or an app
======== ====== ======================================================================

A provider that does not use the extension writes ``00000`` in positions 23 to 27.
A code is issued and registered; it is read from the operator's settings and never made up here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from labeling.errors import LabelError

LENGTH = 27

# GB 32100-2015, table of character values: digits and letters without I, O, S, V and Z.
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_CODE_ALPHABET = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NEXT_STEP = "copy the code from the registration as it stands"


def uscc_check_character(first_17: str) -> str:
    """The 18th character of a unified social credit code, from its first 17 (GB 32100-2015, ISO 7064 style, mod 31).

    Raises :class:`LabelError` where a character is outside the code's alphabet or the length differs.
    """
    if len(first_17) != 17:
        raise LabelError(f"a credit code has 17 characters before its check character, got {len(first_17)}")
    total = 0
    weight = 1
    for position, character in enumerate(first_17, start=1):
        value = _USCC_VALUE.get(character)
        if value is None:
            raise LabelError(
                f"character {position} of the unified social credit code is not a digit or a letter that it may use "
                f"(no I, O, S, V, Z); {_NEXT_STEP}"
            )
        total += value * weight
        weight = weight * 3 % 31
    return _USCC_ALPHABET[-total % 31]


@dataclass(frozen=True, slots=True)
class ProviderCode:
    """A checked provider code. Make it with :meth:`parse`; ``str()`` gives the 27 characters back."""

    format_code: str
    subject_type: str
    binding: str
    subject_code: str
    service_type: str
    model_code: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a code and check all of its structure.

        Raises :class:`LabelError` that says which position is wrong and what was expected there.
        """
        if len(text) != LENGTH:
            raise LabelError(f"a provider code has {LENGTH} characters, got {len(text)}; {_NEXT_STEP}")
        for position, character in enumerate(text, start=1):
            if character not in _CODE_ALPHABET:
                raise LabelError(f"character {position} of the provider code is not one of 0-9 and A-Z; {_NEXT_STEP}")
        if text[0:2] != "00":
            raise LabelError(f"positions 1-2 of the provider code must be the format 00, got {text[0:2]}; {_NEXT_STEP}")
        if text[2] != "1":
            raise LabelError(f"position 3 of the provider code must be 1 (organisation), got {text[2]}; {_NEXT_STEP}")
        if text[3] != "1":
            raise LabelError(
                f"position 4 of the provider code must be 1 (unified social credit code), got {text[3]}; {_NEXT_STEP}"
            )
        subject = text[4:22]
        expected = uscc_check_character(subject[:17])
        if subject[17] != expected:
            raise LabelError(
                f"position 22 of the provider code, the check character of the unified social credit code, "
                f"must be {expected}, got {subject[17]}; one of positions 5-22 is mistyped: {_NEXT_STEP}"
            )
        service = text[22]
        if service not in "12" and text[22:] != "00000":
            raise LabelError(
                f"position 23 of the provider code must be 1 (generation) or 2 (dissemination), "
                f"or positions 23-27 all 0, got {text[22:]}; {_NEXT_STEP}"
            )
        return cls(text[0:2], text[2], text[3], subject, service, text[23:27])

    @property
    def is_for_generation(self) -> bool:
        """Whether the code names a generation service, or no kind of service at all (extension 00000)."""
        return self.service_type in "10"

    @property
    def is_for_dissemination(self) -> bool:
        """Whether the code names a dissemination service, or no kind of service at all (extension 00000)."""
        return self.service_type in "20"

    def __str__(self) -> str:
        kind = self.format_code + self.subject_type + self.binding
        return kind + self.subject_code + self.service_type + self.model_code
