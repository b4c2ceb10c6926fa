# SPDX-License-Identifier: Apache-2.0
"""The machine-readable disclosure."""

from __future__ import annotations

from typing import Any

from gateway.policies import load
from gateway.public.document import PATH, unstated
from gateway.settings import Settings


def test_the_document_names_what_the_law_asks(make_site: Any) -> None:
    """Provider, service, number, model, purpose, mechanism, audience, rights, complaints, policy, notice."""
    site = make_site(public_url="https://ai.example/")
    document = site.client.get(PATH).json()
    house = site.house

    assert document["provider"]["name"] == "示例科技有限公司"
    assert document["service"]["name"] == "示例智能助手"
    assert document["filing_number"] == "Example-2026-1"
    assert document["licence_number"] is None
    assert document["model"]["name"] == "example-1"
    assert document["purpose"] == {"zh": "日常问答", "en": "Everyday questions"}
    assert document["audience"] == {"zh": "公众", "en": "公众"}
    assert document["mechanism"]["zh"] == "大语言模型逐字生成回答"
    assert len(document["rights"]["zh"]) == len(document["rights"]["en"]) == 3
    assert document["complaints"]["url"] == "https://ai.example/duty/complaints"
    assert document["complaints"]["answer_working_days"] == 15
    assert document["about_url"] == "https://ai.example/duty/about"
    assert document["policy"]["id"] == "cn"
    assert document["policy"]["digest"] == house.policy.digest
    assert document["policy"]["version"] == house.policy.version
    assert document["notice"]["version"] == house.disclosure.notice.version
    assert document["notice"]["zh"] == house.disclosure.notice.zh
    assert document["languages"] == ["zh-Hans", "en"]


def test_what_the_provider_did_not_write_is_null(make_site: Any) -> None:
    """Nothing is made up."""
    document = make_site(service={"name": "S", "provider": "P"}).client.get(PATH).json()

    assert (
        document["purpose"] is document["mechanism"] is document["filing_number"] is document["model"]["name"] is None
    )


def test_the_provider_may_add_to_the_rights_of_the_law(make_site: Any) -> None:
    """And never replaces them."""
    document = make_site(service={"rights": "可以退款"}).client.get(PATH).json()

    assert len(document["rights"]["zh"]) == 4
    assert document["rights"]["zh"][-1] == "可以退款"


def test_any_site_may_read_it_and_caches_may_keep_it(site: Any) -> None:
    """CORS, a short life and an entity tag."""
    first = site.client.get(PATH)

    assert first.headers["access-control-allow-origin"] == "*"
    assert first.headers["cross-origin-resource-policy"] == "cross-origin"
    assert first.headers["cache-control"] == "public, max-age=300"
    again = site.client.get(PATH, headers={"if-none-match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert site.client.get(PATH, headers={"if-none-match": '"other"'}).status_code == 200


def test_what_only_the_provider_can_say_is_listed_until_it_is_said() -> None:
    """For the check of the configuration: these duties wait for words."""
    policy = load(["cn"])
    silent = Settings.model_validate({"service": {"name": "S", "provider": "P"}})
    spoken = Settings.model_validate(
        {"service": {"purpose": "a", "audience": "b", "occasions_en": "c", "mechanism": "d", "licence_number": "e"}}
    )

    assert set(unstated(silent, policy)) == {"purpose", "audience", "occasions", "mechanism", "registration"}
    assert unstated(spoken, policy) == ()
