# SPDX-License-Identifier: Apache-2.0
"""`/.well-known/ai-disclosure.json`: what the provider tells about the service, for machines.

Interim Measures articles 4(5), 10, 15, 17; Model AI Law article 34 paragraph 3. The page for people shows the same
facts, made from `service_facts`. A text that the provider did not write is null here and "not stated" there: it is
never made up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.language import LANGUAGES
from gateway.policies import Policy
from gateway.public.house import House
from gateway.settings import Settings

PATH = "/.well-known/ai-disclosure.json"
COMPLAINTS_PATH = "/duty/complaints"
FORMAT_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Bilingual:
    """A text of the provider in both languages; English falls back to Chinese, and empty means not stated."""

    zh: str
    en: str

    @classmethod
    def of(cls, zh: str, en: str) -> Bilingual:
        """The pair; whichever is missing is the other."""
        return cls(zh or en, en or zh)

    def text(self, language: str) -> str:
        """The text in `language`."""
        return self.en if language == "en" else self.zh

    def as_json(self) -> dict[str, str] | None:
        """Both, or None where nothing is stated."""
        return {"zh": self.zh, "en": self.en} if self.zh else None


def service_facts(settings: Settings) -> dict[str, Bilingual]:
    """What the provider wrote about the service, by the names that the policy uses for it."""
    service = settings.service
    registration = service.filing_number or service.licence_number
    return {
        "purpose": Bilingual.of(service.purpose, service.purpose_en),
        "audience": Bilingual.of(service.audience, service.audience_en),
        "occasions": Bilingual.of(service.occasions, service.occasions_en),
        "mechanism": Bilingual.of(service.mechanism, service.mechanism_en),
        "registration": Bilingual.of(registration, registration),
    }


def rights(settings: Settings, policy: Policy, language: str) -> tuple[str, ...]:
    """What people may do, in `language`: what the law gives, and what the provider adds."""
    added = Bilingual.of(settings.service.rights, settings.service.rights_en).text(language)
    return (*policy.texts(f"disclosure.rights.{language}"), *((added,) if added else ()))


def unstated(settings: Settings, policy: Policy) -> tuple[str, ...]:
    """What the policy asks the provider to publish and the settings leave empty; `registration` is either number.

    For `config check` and the start of the service: these are duties that only the provider's own words fulfil.
    """
    facts = service_facts(settings)
    asked = (*policy.texts("disclosure.items"), *policy.texts("disclosure.further_items"))
    return tuple(name for name in asked if name in facts and not facts[name].zh)


class Document:
    """The document, made once: what it says changes only with the settings and the policy."""

    def __init__(self, house: House) -> None:
        self._body = orjson.dumps(disclosure_document(house), option=orjson.OPT_INDENT_2)
        self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'

    async def get(self, request: Request) -> Response:
        """The document, or 304 for who has it."""
        headers = {"cache-control": "public, max-age=300", "etag": self._etag}
        if self._etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self._body, headers=headers, media_type="application/json")


def disclosure_document(house: House) -> dict[str, object]:
    """The members of the document. Names do not change; new ones may come."""
    service, policy, notice = house.settings.service, house.policy, house.disclosure.notice
    facts = service_facts(house.settings)
    base = house.public_url
    return {
        "version": FORMAT_VERSION,
        "is_ai": True,
        "mode": "machine-generated",
        "provider": {
            "name": service.provider or None,
            "code": service.provider_code or None,
            "contact": service.contact or None,
        },
        "service": {
            "name": service.name,
            "url": service.url or None,
            "agreement_url": service.agreement_url or None,
        },
        "model": {"name": service.model or None, "third_party": service.third_party_model or None},
        "filing_number": service.filing_number or None,
        "licence_number": service.licence_number or None,
        **{name: facts[name].as_json() for name in ("purpose", "audience", "occasions", "mechanism")},
        "rights": {language: rights(house.settings, policy, language) for language in LANGUAGES},
        "labels": {
            "zh": policy.text("label.text.zh"),
            "en": policy.text("label.text.en"),
            "metadata_field": policy.text("label.aigc.field"),
        },
        "complaints": {
            "url": f"{base}{COMPLAINTS_PATH}",
            "contact": service.contact or None,
            "answer_working_days": policy.number("complaints.close_working_days"),
            "triage_hours": policy.number("complaints.triage_hours"),
            "authority": {
                "zh": policy.text("complaints.authority.name_zh"),
                "en": policy.text("complaints.authority.name_en"),
                "url": policy.text("complaints.authority.url"),
                "phone": policy.text("complaints.authority.phone"),
            },
        },
        "about_url": house.disclosure.about_url,
        "notice": {
            "version": notice.version,
            "mode": house.disclosure.mode,
            "zh": notice.zh,
            "en": notice.en,
            "readings": notice.readings(),
        },
        "policy": {
            "id": policy.id,
            "version": policy.version,
            "digest": policy.digest,
            "title": {"zh": policy.title_zh, "en": policy.title},
        },
        "languages": ["zh-Hans", "en"],
    }
