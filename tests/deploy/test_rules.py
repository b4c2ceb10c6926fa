# SPDX-License-Identifier: Apache-2.0
"""Alerts, recording rules and dashboards ask only for numbers that exist, in expressions that can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from gateway.metrics import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BUILT_IN = {"up"}
"""What Prometheus itself knows of a target."""

GRAFANA = {"$__rate_interval": "5m", "$__range": "6h", "$job": ".+", "$instance": ".+"}

LABELS = {name: set(family.labels) for family in FAMILIES for name in family.sample_names}
ADDED_BY_PROMETHEUS = {"job", "instance", "le"}


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every rule file that Prometheus loads."""
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    for name in config["rule_files"]:
        for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]:
            yield from group["rules"]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/dutybound.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
SHOWN = [
    (panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]
]  # fmt: skip
EXPRESSIONS = [*((rule["alert"], rule["expr"]) for rule in ALERTS), *RECORDED.items(), *SHOWN]


def readable(expression: str) -> str:
    """The expression as Prometheus gets it, Grafana's variables filled in."""
    for variable, value in GRAFANA.items():
        expression = expression.replace(variable, value)
    return expression


def selectors(node: Any) -> Iterator[Any]:
    """Every vector selector below a node of the syntax tree."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "args", "vector_selector", "param"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else [below]:
            if child is not None and not isinstance(child, str | int | float):
                yield from selectors(child)


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS)
def test_every_expression_asks_for_what_exists(name: str, expression: str) -> None:
    """Each selector names a metric of ours, of Prometheus or of a recording rule, and labels which that has."""
    found = list(selectors(promql_parser.parse(readable(expression))))

    assert found
    for selector in found:
        assert selector.name in LABELS or selector.name in RECORDED or selector.name in BUILT_IN, selector.name
        if selector.name in LABELS:
            asked = {matcher.name for matcher in selector.matchers.matchers}
            assert asked <= LABELS[selector.name] | ADDED_BY_PROMETHEUS


def test_every_grouping_names_labels_that_exist() -> None:
    """A misspelt label in `without` is silently ignored by Prometheus."""
    known = set().union(*LABELS.values()) | ADDED_BY_PROMETHEUS
    for _, expression in EXPRESSIONS:
        for group in re.findall(r"(?:without|by) \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= known


def test_every_metric_is_shown_or_watched_somewhere() -> None:
    """What nobody looks at need not be counted."""
    asked = {selector.name for _, text in EXPRESSIONS for selector in selectors(promql_parser.parse(readable(text)))}
    unseen = {family.name for family in FAMILIES if not asked & set(family.sample_names)}

    assert unseen == {"build_info"}  # the dashboard's variables come from it
    assert "dutybound_build_info" in json.dumps(dashboard()["templating"])


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """CamelCase, a severity, words for people, and a runbook entry that is there in both languages."""
    assert re.fullmatch(r"(?:[A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    sections = {part.split("\n", 1)[0].lower(): part for part in (ROOT / path).read_text().split("\n## ")[1:]}
    assert anchor == rule["alert"].lower()
    for words in ("**Meaning.**", "**Do.**", "**含义。**", "**处置。**"):
        assert words in sections[anchor]


def test_every_runbook_entry_belongs_to_an_alert() -> None:
    """No entry outlives its alert, and no name is given twice."""
    names = re.findall(r"^## (.+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)

    assert names == [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))


def test_recording_rules_follow_the_naming_convention() -> None:
    """level:metric:operations."""
    for name in RECORDED:
        assert re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", name)


def test_every_panel_can_be_understood_alone() -> None:
    """Title, description, unit, legend; the data source and the targets are variables."""
    titles = [(panel["title"], panel["type"]) for panel in panels()]
    assert len(titles) == len(set(titles))
    for panel in panels():
        assert panel["title"] and panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert '$job"' in target["expr"]
            assert "[5m]" not in target["expr"]


def test_the_dashboard_can_be_loaded_again_and_again() -> None:
    """A fixed uid, variables for source, job and instance, panel ids once, no place taken twice."""
    board = dashboard()

    assert board["uid"] == "dutybound"
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", "instance"]
    assert all(variable.get("allValue", ".+") == ".+" for variable in board["templating"]["list"])
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        taken |= cells
