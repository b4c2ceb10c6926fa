# SPDX-License-Identifier: Apache-2.0
"""All rooms of one worker: put together or refused, and given back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from audit_log import verify_home
from content_filter import FilterError
from gateway import policies
from gateway.filters import term_paths
from gateway.home import Home
from gateway.house import House, producer, text_labels
from gateway.policies import PolicyError
from gateway.settings import Settings, SettingsError

CODE = "001191110000MA00000AAT10001"
T = TypeVar("T")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder."""
    return Home.create(tmp_path_factory.mktemp("house") / "home", "audit.example.com/house")[0].path


def within(folder: Path, act: Callable[[House], Awaitable[T]], **sections: Any) -> T:
    """What `act` gives in a house with these settings; the house is closed behind it."""

    async def scene() -> T:
        house = House(Settings(base_dir=folder, home=folder, **sections), Home.open(folder))
        try:
            return await act(house)
        finally:
            await house.close()

    return asyncio.run(scene())


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The leaves of one type."""

    async def read(house: House) -> list[dict[str, Any]]:
        leaves = (orjson.loads(house.log.reader.leaf(index)) for index in range(house.log.reader.size()))
        return [leaf for leaf in leaves if leaf["type"] == kind]

    return within(folder, read)


def test_what_was_in_force_is_in_the_boot_record(folder: Path) -> None:
    """Version, settings, policy, terms, notice; and the log of a house that was closed holds."""

    async def facts(house: House) -> dict[str, Any]:
        return {
            "policy": house.policy.digest,
            "terms": house.filter.current.digest,
            "notice": house.disclosure.notice.version,
        }

    wanted = within(folder, facts)
    boot = records(folder, "boot")[-2]
    assert {key: boot["config"][key] for key in wanted} == wanted
    assert boot["config"]["settings"].startswith("sha256:") and boot["version"]
    assert verify_home(Home.open(folder).audit).ok


def test_records_of_our_own_keep_the_person_out_of_the_leaf(folder: Path) -> None:
    """The subject goes to the index; what is not known is left out."""

    async def act(house: House) -> str:
        return await house.record({"type": "notice", "subject": "p_1", "tenant": "school", "kind": None})

    record_id = within(folder, act)
    (leaf,) = [leaf for leaf in records(folder, "notice") if leaf["id"] == record_id]
    assert "subject" not in leaf and "kind" not in leaf and leaf["tenant"] == "school"


def test_every_check_must_hold_before_requests_are_taken(folder: Path) -> None:
    """A log that takes no more records takes the house out of service."""

    async def act(house: House) -> tuple[dict[str, bool], dict[str, bool]]:
        well = house.checks()
        house.log._problem = "the disk is away"
        return well, house.checks()

    well, ill = within(folder, act)
    assert all(well.values()) and not ill["audit_log"]


def test_a_change_of_terms_is_recorded_and_a_bad_file_changes_nothing(folder: Path) -> None:
    """Once for each change, by digest."""
    path = folder / "terms.tsv"
    path.write_text("one\tA1a\n")

    async def act(house: House) -> tuple[str, str]:
        before = house.filter.current.digest
        await house.reload_terms()
        path.write_text("one\tA1a\ntwo\tA1a\n")
        await house.reload_terms()
        after = house.filter.current.digest
        path.write_text("two\tnonsense\n")
        with pytest.raises(FilterError):
            await house.reload_terms()
        assert house.filter.current.digest == after
        return before, after

    before, after = within(folder, act, content_filter={"terms": ("terms.tsv",)})
    changes = [leaf for leaf in records(folder, "config") if leaf["event"] == "terms"]
    assert [(leaf["before"], leaf["after"]) for leaf in changes] == [(before, after)]


def test_what_cannot_be_put_together_refuses(folder: Path) -> None:
    """Nothing is made up for what is missing."""
    for sections, error in (
        ({"policy": {"use": ("nowhere",)}}, PolicyError),
        ({"content_filter": {"terms": ("missing.tsv",)}}, FilterError),
        ({"identity": {"jwt": {"secret_env": "DUTYBOUND_TEST_NOT_SET"}}}, SettingsError),
        ({"service": {"provider_code": "123"}}, SettingsError),
    ):
        with pytest.raises(error):
            House(Settings(base_dir=folder, home=folder, **sections), Home.open(folder))  # type: ignore[arg-type]


def test_the_two_sides_of_the_house_share_its_rooms(folder: Path) -> None:
    """The same desk, the same policy, the same log."""

    async def act(house: House) -> bool:
        public, operator = house.public(), house.operator()
        return public.desk is operator.desk and operator.log is house.log and public.policy is operator.policy

    assert within(folder, act)


def test_the_address_of_the_sample_model_overrides_the_settings(folder: Path) -> None:
    """It gets its port late."""

    async def scene() -> str:
        house = House(Settings(home=folder), Home.open(folder), upstream_url="http://127.0.0.1:7")
        await house.close()
        return house.upstream._base

    assert asyncio.run(scene()) == "http://127.0.0.1:7"


def test_nothing_is_owed_to_the_log_of_a_house_where_nothing_failed(folder: Path) -> None:
    """The desk's facts reached it at once."""

    async def act(house: House) -> int:
        return await house.record_owed()

    assert within(folder, act) == 0


def test_term_files_lie_beside_the_configuration(tmp_path: Path) -> None:
    """Or where their absolute path says."""
    settings = Settings(base_dir=tmp_path, content_filter={"terms": ("a.tsv", "/etc/b.tsv")})  # type: ignore[arg-type]
    assert term_paths(settings) == [tmp_path / "a.tsv", Path("/etc/b.tsv")]


def test_the_producer_is_the_code_or_the_name_in_ascii() -> None:
    """Annex E of GB 45438 allows either; a code that is none is refused."""
    assert producer(Settings(service={"provider_code": CODE})) == CODE  # type: ignore[arg-type]
    named = producer(Settings(service={"provider": '示例 Co. "A"'}))  # type: ignore[arg-type]
    assert named.isascii() and " " not in named and '"' not in named
    with pytest.raises(SettingsError, match=r"service\.provider_code"):
        producer(Settings(service={"provider_code": CODE[:-1] + "2x"}))  # type: ignore[arg-type]


@pytest.mark.parametrize("position", ["start", "end", "both"])
def test_the_settings_may_place_the_label_where_the_policy_leaves_it_open(position: str) -> None:
    """`policy` takes what the policy says."""
    policy = policies.load(["cn"])
    chosen = text_labels(Settings(label={"position": position}), policy)  # type: ignore[arg-type]
    labeler = chosen.labeler("你好")
    assert bool(labeler.head()) == (position != "end") and bool(labeler.tail()) == (position != "start")
    assert text_labels(Settings(), policy).labeler("x").head() or text_labels(Settings(), policy).labeler("x").tail()


def test_a_label_holds_the_standards_elements_in_every_language() -> None:
    """Clause 5 of GB 45438: an AI element and a generation element."""
    policy = policies.load(["cn"])
    labels = text_labels(Settings(label={"position": "end"}), policy)  # type: ignore[arg-type]
    for text in ("hello", "你好"):
        words = labels.labeler(text).tail()
        assert any(word in words for word in policy.texts("label.text.ai_elements"))
        assert any(word in words for word in policy.texts("label.text.generation_elements"))
    assert json.dumps(labels.envelope("0199a000-0000-7000-8000-000000000001")).isascii()
