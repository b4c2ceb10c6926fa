# SPDX-License-Identifier: Apache-2.0
"""The file, then the environment, then flags; an unknown key is an error; a secret is never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import Settings, SettingsError, effective, load, secret


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine that runs the tests is read."""
    for name in list(os.environ):
        if name.upper().startswith("DUTYBOUND_"):
            monkeypatch.delenv(name)


def file(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str = "", **flags: Any) -> str:
    """What is said about a configuration that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        load(file(folder, text), folder, flags)
    return str(caught.value)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    """Loopback, the sample model, nothing kept, the policy of China."""
    settings = load(None, tmp_path)
    assert (settings.server.host, settings.server.operator_host) == ("127.0.0.1", "127.0.0.1")
    assert (settings.upstream.url, settings.audit.bodies, settings.policy.use) == ("sample", "none", ("cn",))
    assert settings.home == tmp_path.resolve()


def test_the_environment_goes_over_the_file_and_flags_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key by key: what the stronger source does not say stays as it was said."""
    path = file(tmp_path, '[server]\nhost = "10.0.0.1"\nport = 1\noperator_port = 1\n[service]\nname = "文件"\n')
    monkeypatch.setenv("DUTYBOUND_SERVER__PORT", "2")
    monkeypatch.setenv("DUTYBOUND_SERVER__OPERATOR_PORT", "2")
    settings = load(path, tmp_path, {"server": {"operator_port": 3}})
    server = settings.server
    assert (server.host, server.port, server.operator_port) == ("10.0.0.1", 2, 3)
    assert settings.service.name == "文件"


def test_lists_come_from_the_environment_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pydantic-settings reads them."""
    monkeypatch.setenv("DUTYBOUND_CONTENT_FILTER__TERMS", '["a.tsv", "b.tsv"]')
    assert load(None, tmp_path).content_filter.terms == ("a.tsv", "b.tsv")


def test_the_data_folders_own_file_is_read_where_none_is_named(tmp_path: Path) -> None:
    """Relative paths then begin in the data folder."""
    (tmp_path / "dutybound.toml").write_text('[service]\nname = "own"\n')
    settings = load(None, tmp_path)
    assert settings.service.name == "own" and settings.base_dir == tmp_path.resolve()


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    """Not where the process was started."""
    folder = tmp_path / "etc"
    folder.mkdir()
    assert load(file(folder, ""), tmp_path).base_dir == folder.resolve()


def test_one_file_does_not_reach_into_the_next(tmp_path: Path) -> None:
    """Settings that were read before leave nothing behind, also where they were refused."""
    load(file(tmp_path, "[server]\nport = 7\n"), tmp_path)
    refused(tmp_path, "[server]\nport = -7\n")
    assert load(None, tmp_path / "none").server.port == 8080
    assert Settings().server.port == 8080


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[sever]\nport = 1\n", "sever"),
        ("port = 1\n", "port"),
        ("[identity.jwt]\nsecrte_env = 'X'\n", "identity.jwt.secrte_env"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path, text: str, key: str) -> None:
    """A typing mistake must not leave a default in force."""
    assert f"{key}: unknown key" in refused(tmp_path, text)


@pytest.mark.parametrize("name", ["DUTYBOUND_SERVER__PROT", "DUTYBOUND_SEVER__PORT", "DUTYBOUND_IDENTITY__JTW__ISSUER"])
def test_an_unknown_variable_is_an_error_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In the environment as in the file; variables that hold secrets have no double underscore."""
    monkeypatch.setenv("DUTYBOUND_JWT_SECRET", "x")
    monkeypatch.setenv("DUTYBOUND_HOME", "x")
    load(None, tmp_path)
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match="unknown key"):
        load(None, tmp_path)


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    """An operator mends them in one go."""
    said = refused(tmp_path, "[server]\nport = 70000\nworkers = 0\n[upstream]\nurl = 'ftp://x'\n")
    assert "server.port" in said and "server.workers" in said and "upstream.url" in said


@pytest.mark.parametrize(
    "text",
    [
        "[upstream]\nurl = 'ftp://hunter2@x'\n",
        "[server]\nport = 'hunter2'\n",
        "[limits]\nkeep_alive_s = 'hunter2'\n",
        "[policy]\nuse = []\n",
        "[disclosure]\nmode = 'hunter2'\n",
        "[server]\nhost = 'a\n",
        "[identity]\nrequired = 'hunter2'\n",
        "[identity.jwt]\nsecret_env = 'hunter2'\njwks_url = 'https://hunter2'\n",
        "[identity.jwt]\njwks_url = 'hunter2'\n",
        "[content_filter.guard_model]\nkind = 'http'\nurl = 'hunter2'\n",
        "[content_filter.guard_model]\nurl = 'https://hunter2/'\n",
        "[content_filter.guard_model]\nkind = 'http'\nurl = 'https://x/'\noutcomes = ['hunter2']\n",
        "[content_filter.classifier]\nclasses = ['hunter2 prompt block pass now']\n",
        "[content_filter.pictures]\nplugins = ['hunter2']\n",
    ],
)
def test_what_is_wrong_is_refused_without_repeating_the_value(tmp_path: Path, text: str) -> None:
    """It may be a secret in the wrong place."""
    said = refused(tmp_path, text)
    assert "hunter2" not in said


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """Or the defaults would serve instead of what was meant."""
    with pytest.raises(SettingsError, match="no configuration file at"):
        load(tmp_path / "missing.toml", tmp_path)


def test_settings_do_not_change_while_they_are_in_force(tmp_path: Path) -> None:
    """What the boot record says stays true."""
    settings = load(None, tmp_path)
    with pytest.raises(ValidationError):
        settings.server.port = 1  # type: ignore[misc]


def test_the_effective_tree_masks_credentials_in_every_url(tmp_path: Path) -> None:
    """Wherever somebody put them."""
    text = (
        "[redis]\nurl = 'redis://:hunter2@r:6379/0'\n[upstream]\nurl = 'https://u:hunter2@m/v1'\n"
        "[identity.jwt]\njwks_url = 'https://u:hunter2@keys/jwks.json'\n"
        "[content_filter.guard_model]\nkind = 'http'\nurl = 'https://u:hunter2@c/judge'\n"
        "[service]\nurl = 'https://example.org/a'\n"
    )
    tree = effective(load(file(tmp_path, text), tmp_path))
    assert "hunter2" not in str(tree)
    assert tree["redis"]["url"] == "redis://***@r:6379/0"
    assert tree["service"]["url"] == "https://example.org/a"


def test_a_secret_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows itself to nobody who prints it."""
    monkeypatch.setenv("DUTYBOUND_X_SECRET", "hunter2")
    value = secret("DUTYBOUND_X_SECRET", "a.b")
    assert value.get_secret_value() == "hunter2" and "hunter2" not in repr(value)


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_is_an_error_with_its_next_step(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """An empty one is none."""
    if value is not None:
        monkeypatch.setenv("DUTYBOUND_X_SECRET", value)
    with pytest.raises(SettingsError, match=r"a\.b: environment variable DUTYBOUND_X_SECRET is not set; export it"):
        secret("DUTYBOUND_X_SECRET", "a.b")


def test_what_people_are_told_may_stand_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`service.toml` beside the configuration wins over its table, the environment over both."""
    (tmp_path / "dutybound.toml").write_text('[service]\nname = "old"\ncontact = "a@example.org"\n')
    (tmp_path / "service.toml").write_text('name = "new"\npurpose = "问答"\nmodel = "m"\n')
    monkeypatch.setenv("DUTYBOUND_SERVICE__MODEL", "of the environment")
    service = load(None, tmp_path).service
    assert (service.name, service.contact, service.purpose) == ("new", "a@example.org", "问答")
    assert service.model == "of the environment"
    (tmp_path / "dutybound.toml").unlink()
    assert load(None, tmp_path).service.name == "new"


@pytest.mark.parametrize(
    ("text", "said"), [('nmae = "x"\n', "service.nmae: unknown key"), ("name = \n", "service.toml:")]
)
def test_a_wrong_service_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Like the configuration itself."""
    (tmp_path / "service.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load(None, tmp_path)
    (tmp_path / "service.toml").unlink()
    load(None, tmp_path)
