# SPDX-License-Identifier: Apache-2.0
"""An enum whose members carry a stored key and a label in each language the desk speaks.

The key is what goes to the store, to JSON and to the audit log and never changes; labels are what people read and may.
"""

import enum
from typing import Self

from complaints.errors import Invalid

LANGUAGES = ("zh", "en")


def parse_language(value: object) -> str:
    """Reduce a language tag (BCP 47) to one the desk speaks: `zh` for any Chinese, else `en`. Raises `Invalid`."""
    if not isinstance(value, str) or not 1 <= len(value) <= 35:
        raise Invalid("language", "expected a language tag such as zh or en")
    return "zh" if value.lower().replace("_", "-").split("-")[0] == "zh" else "en"


class Labelled(enum.Enum):
    """Base of the desk's enums: members are written `NAME = (key, zh label, en label)`."""

    def __init__(self, key: str, zh: str, en: str) -> None:
        self.key = key
        self.zh = zh
        self.en = en

    def label(self, language: str) -> str:
        """The label in `language`, any language tag; what is not Chinese gets English."""
        return self.zh if parse_language(language) == "zh" else self.en

    @classmethod
    def of(cls, key: str) -> Self:
        """The member stored under exactly this key. Raises `KeyError`: a stored key that is unknown is a defect."""
        for member in cls:
            if member.key == key:
                return member
        raise KeyError(f"{cls.__name__} has no such key")

    @classmethod
    def parse(cls, value: object, field: str) -> Self:
        """The member a person named by its key: case and `-`, `_` or space do not matter. Raises `Invalid`."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and len(value) <= 64:
            wanted = value.strip().casefold().replace("-", "_").replace(" ", "_")
            for member in cls:
                if member.key == wanted:
                    return member
        raise Invalid(field, "expected one of " + ", ".join(member.key for member in cls))
