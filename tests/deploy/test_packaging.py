# SPDX-License-Identifier: Apache-2.0
"""Container, compose, provisioning and unit files: they load, refer to what exists, and give nothing away."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNIT = (DEPLOY / "systemd/dutybound.service").read_text()
EXAMPLE = dict(
    line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if re.match(r"[A-Z_]+=", line)
)


def is_setting(variable: str) -> bool:
    """Whether `DUTYBOUND_A__B` names a field of the settings."""
    model: Any = Settings
    for part in variable.removeprefix("DUTYBOUND_").lower().split("__"):
        if not (isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields):
            return False
        model = model.model_fields[part].annotation
    return not (isinstance(model, type) and issubclass(model, BaseModel))


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in (".yml", ".yaml")], ids=lambda path: path.name
)
def test_every_yaml_file_loads(path: Path) -> None:
    """And is not empty."""
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_a_registry_or_another_host(path: Path) -> None:
    """Addresses are those of the services beside each other; images have plain names."""
    urls = re.findall(r"https?://[^\s\"'/]+", path.read_text())

    assert set(urls) <= {"http://prometheus:9090", "http://127.0.0.1:8080"}


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"DUTYBOUND_[A-Z0-9_]+", DOCKERFILE + str(COMPOSE)))))
def test_every_variable_is_a_setting(variable: str) -> None:
    """A variable that nobody knows would stop the gateway at start."""
    assert is_setting(variable)


def test_the_check_of_variables_can_fail() -> None:
    """Sections and misspellings are no settings."""
    assert is_setting("DUTYBOUND_SERVER__PORT")
    assert not is_setting("DUTYBOUND_SERVER")
    assert not is_setting("DUTYBOUND_SERVER__PROT")


def test_every_value_a_compose_file_asks_for_is_in_the_example() -> None:
    """And the reverse: nothing in the example is without effect."""
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))

    assert asked == set(EXAMPLE)


def test_the_example_holds_no_secret() -> None:
    """Passwords and keys are empty, so that nobody goes live with ours."""
    for name, value in EXAMPLE.items():
        if re.search(r"KEY|SECRET|PASSWORD", name):
            assert value == ""


def test_compose_refers_to_files_volumes_and_services_that_exist() -> None:
    """Every mount, every dependency, every profile."""
    services = COMPOSE["services"]
    for name, service in services.items():
        assert service["profiles"], name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).is_dir()
            else:
                assert source in COMPOSE["volumes"]
        for needed in service.get("depends_on", ()):
            assert needed in services
    build = services["gateway"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert {name for name, service in services.items() if "minimal" in service["profiles"]} == {"gateway"}
    assert {name for name, service in services.items() if "full" in service["profiles"]} == {
        "gateway",
        "redis",
        "prometheus",
        "grafana",
    }


def test_a_service_that_only_the_full_size_has_is_not_required_by_the_minimal_one() -> None:
    """The gateway starts without Redis."""
    for needed, how in COMPOSE["services"]["gateway"]["depends_on"].items():
        assert "minimal" in COMPOSE["services"][needed]["profiles"] or how["required"] is False


def test_only_the_public_listener_may_leave_the_machine() -> None:
    """Operator listener, Prometheus and Grafana are published on the loopback address alone."""
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            is_public = name == "gateway" and port.startswith("${PUBLIC_BIND:-127.0.0.1}:")
            assert is_public or port.startswith("127.0.0.1:")


def test_images_have_plain_names_and_a_version() -> None:
    """No registry host, no moving `latest`; our own image is built here."""
    images = {service["image"] for service in COMPOSE["services"].values()} - {"dutybound"}
    images |= set(re.findall(r"^ARG BASE=(\S+)", DOCKERFILE, re.MULTILINE))

    for image in images:
        assert re.fullmatch(r"(?:[a-z]+/)?[a-z]+:v?\d[\w.-]+", image), image


def test_the_container_runs_without_rights() -> None:
    """Not as root, on a read-only file system, without capabilities."""
    gateway = COMPOSE["services"]["gateway"]

    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in gateway["security_opt"]


def test_the_image_is_made_of_pinned_requirements_and_checks_its_health() -> None:
    """Hashes for everything that is installed, then the package without looking for more."""
    installs = re.findall(r"pip install ((?:[^\n]|(?<=\\)\n)*)", DOCKERFILE)

    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]
    for name in re.findall(r"-r (\S+)", DOCKERFILE):
        assert (ROOT / name).is_file()
    assert "/livez" in DOCKERFILE and "HEALTHCHECK" in DOCKERFILE


def test_secrets_and_history_stay_out_of_the_image() -> None:
    """The context leaves out what must not be copied."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()

    assert {".git", "**/.env", "**/*.key", "**/*.db"} <= set(ignored)


def test_prometheus_asks_the_operator_listener() -> None:
    """The target is the service of compose, on the port that the container opens."""
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    [job] = config["scrape_configs"]

    assert job["job_name"] == "dutybound"
    assert job["static_configs"] == [{"targets": ["gateway:9090"]}]
    assert "EXPOSE 8080 9090" in DOCKERFILE
    for name in config["rule_files"]:
        assert (DEPLOY / "prometheus" / name).is_file()


def test_grafana_finds_its_dashboard_and_its_source() -> None:
    """The folder that is provisioned is the folder that is mounted."""
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/dutybound.yml").read_text())["providers"][0]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    mounts = dict(mount.split(":")[:2] for mount in COMPOSE["services"]["grafana"]["volumes"])

    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["url"] == "http://prometheus:9090"


def test_the_unit_starts_what_the_container_starts_and_is_shut_in() -> None:
    """One command on both; the unit writes nowhere but in its own folder."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT)
    service = unit["Service"]

    assert re.search(r"/dutybound serve .*--home /var/lib/dutybound$", service["ExecStart"])
    assert '"serve", "--home", "/var/lib/dutybound"' in DOCKERFILE
    assert service["User"] == "dutybound"
    shut = ("ProtectSystem", "NoNewPrivileges", "CapabilityBoundingSet", "StateDirectoryMode")
    assert [service[name] for name in shut] == ["strict", "yes", "", "0700"]
