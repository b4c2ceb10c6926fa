# SPDX-License-Identifier: Apache-2.0
"""The lanes are configured as they are described."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from bench import lanes, workload


def test_our_lane_has_every_duty_on() -> None:
    """The configuration has a policy, signed subjects and terms, and parses."""
    config = tomllib.loads(lanes.dutybound_config())
    assert config["policy"]["use"] == ["cn"] and config["content_filter"]["terms"] == ["terms.tsv"]
    assert config["identity"]["jwt"]["secret_env"] == "DUTYBOUND_JWT_SECRET"
    assert config["disclosure"]["mode"] == "interface" and len(config["service"]["provider_code"]) == 27


def test_nginx_writes_only_into_its_folder(tmp_path: Path) -> None:
    """No path of the system, one worker, connections kept to the model, streams not held back."""
    config = lanes.nginx_config(tmp_path / "n", lanes.proxy_server(1, 2), lanes.model_server(3)).read_text()
    assert "worker_processes 1;" in config and "keepalive 256;" in config and "proxy_buffering off;" in config
    assert (
        f"pid {tmp_path}/n/nginx.pid;" in config
        and "/var/" not in config
        and config.count("{")
        == config.count("}") + (workload.completion().decode().count("{") - workload.completion().decode().count("}"))
    )


def test_the_plain_model_says_the_completion() -> None:
    """nginx answers with the very bytes."""
    server = lanes.model_server(3)
    assert json.loads(server.partition("return 200 '")[2].partition("';")[0]) == json.loads(workload.completion())


def test_lanes_stand_in_the_order_of_the_table() -> None:
    """Direct comes first: what others add is added to it."""
    assert list(lanes.LANES) == ["direct", "nginx", "litellm", "dutybound"]
