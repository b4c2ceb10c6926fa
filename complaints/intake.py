# SPDX-License-Identifier: Apache-2.0
"""Takes what strangers send and lets through what the desk can keep. Every function raises `Invalid` and nothing else.

Arguments are `object` because they come straight from JSON or a form. Words keep their meaning: line ends become one
newline, other control characters fall away, the rest stays as written. What is kept in clear (tenant, record,
officer) has a narrow form, so that no prose with personal data can hide there.
"""

import re
import unicodedata

from complaints.errors import Invalid

_RECORD = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII)
_IDENTIFIER = re.compile(r"[\w.:/@|-]{1,100}")
_KEPT_CONTROLS = "\n\t"


def clean_text(value: object, field: str, chars_max: int) -> str:
    """Words of 1 to `chars_max` characters after control characters and outer white space are gone."""
    if not isinstance(value, str):
        raise Invalid(field, "expected text")
    unified = value.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c for c in unified if c in _KEPT_CONTROLS or unicodedata.category(c) != "Cc").strip()
    if not 1 <= len(kept) <= chars_max:
        raise Invalid(field, f"expected 1 to {chars_max} characters")
    if not _is_unicode(kept):
        raise Invalid(field, "expected whole Unicode characters, found half of a surrogate pair")
    return kept


def clean_contact(value: object, chars_max: int) -> str | None:
    """One line by which to reach the complainant, or `None`: a complaint needs no name."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    contact = clean_text(value, "contact", chars_max)
    if isinstance(value, str) and any(unicodedata.category(c) == "Cc" for c in value.strip()):
        raise Invalid("contact", "expected one line without control characters")
    return contact


def clean_record(value: object) -> str | None:
    """The id of the exchange complained about, as a lower-case UUID with hyphens, or `None`."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _RECORD.fullmatch(value.strip().lower()):
        raise Invalid("record", "expected a record id, which looks like a UUID")
    digits = value.strip().lower().replace("-", "")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def clean_tenant(value: object) -> str | None:
    """The tenant's identifier, or `None`."""
    return None if value is None or value == "" else _identifier(value, "tenant")


def clean_officer(value: object) -> str:
    """The officer's identifier, as the operator's tokens or login give it."""
    return _identifier(value, "officer")


def _identifier(value: object, field: str) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value) or not _is_unicode(value):
        raise Invalid(field, "expected an identifier of 1 to 100 letters, digits or . : / @ | _ -")
    return value


def _is_unicode(text: str) -> bool:
    return not any(unicodedata.category(c) == "Cs" for c in text)
