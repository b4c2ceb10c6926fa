# SPDX-License-Identifier: Apache-2.0
"""The lanes: direct, nginx, LiteLLM and Dutybound, each started on the server's core in front of the same models.

Every lane answers the same requests on two ports, one before the plain model and one before the paced one, because a
gateway has one upstream. What a lane needs and cannot have is `Unavailable`: the run goes on without it and says so.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import workload
from bench.processes import Cores, Started, Unavailable, free_port, last_line, start, wait_for_end, wait_for_port
from bench.tools import Tool, debian_tool, litellm

ROOT = Path(__file__).resolve().parent.parent
TERMS = 10_000


@dataclass(slots=True)
class Place:
    """Where a run happens: its cores, its secret, the ports of the two models, and two folders.

    `tools` keeps what was fetched from run to run; `folder` holds what one run writes and is emptied by the next.
    """

    tools: Path
    folder: Path
    cores: Cores
    secret: str
    plain_port: int = 0
    paced_port: int = 0
    may_fetch: bool = True
    may_install: bool = True


@dataclass(slots=True)
class Lane:
    """A way to the models. `started` are the processes on the server's core, plain's first; none for direct."""

    name: str
    plain_port: int
    paced_port: int
    about: str
    started: list[Started] = field(default_factory=list)
    proofs: dict[str, bool] = field(default_factory=dict)
    homes: list[Path] = field(default_factory=list)

    def cpu_s(self) -> float:
        """CPU seconds used so far by all its processes."""
        return sum(process.cpu_s() for process in self.started)

    def memory_bytes(self) -> int:
        """Resident memory of the instance before the plain model."""
        return self.started[0].memory_bytes() if self.started else 0

    def stop(self) -> None:
        """End its processes."""
        for process in self.started:
            process.stop()


# ---- the models


def start_models(place: Place, events: int, interval_ms: float) -> tuple[list[Started], str]:
    """Start the plain and the paced model on the upstream's core; gives them and what serves the plain answer."""
    log = place.folder / "paced.log"
    place.paced_port = free_port()
    beat = ["--events", events, "--interval-ms", interval_ms]
    command = [sys.executable, ROOT / "bench/paced.py", "--port", place.paced_port, *beat]
    started = [start(command, core=place.cores.upstream, log=log)]
    try:
        wait_for_port(started[0], place.paced_port, 10)
        try:
            tool = debian_tool("nginx", place.tools, may_fetch=place.may_fetch)
        except Unavailable as why:
            place.plain_port = place.paced_port
            return started, f"bench/paced.py, slower than nginx ({why})"
        place.plain_port = free_port()
        config = nginx_config(place.folder / "nginx-model", model_server(place.plain_port))
        started.append(_start_nginx(tool, config, place.cores.upstream))
        wait_for_port(started[1], place.plain_port, 10)
    except BaseException:
        for process in started:
            process.stop()
        raise
    return started, tool.version


def model_server(port: int) -> str:
    """An nginx server that answers every request with the completion."""
    text = workload.completion().decode()
    if "'" in text or "$" in text:
        raise ValueError("the completion holds a character that nginx would read as its own")
    return f"""
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        client_body_buffer_size 64k;
        location / {{ default_type application/json; return 200 '{text}'; }}
    }}"""


def proxy_server(port: int, upstream_port: int) -> str:
    """An nginx server that passes everything on over kept connections, without holding streams back."""
    return f"""
    upstream model_{upstream_port}_{port} {{
        server 127.0.0.1:{upstream_port};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        client_body_buffer_size 64k;
        location / {{
            proxy_pass http://model_{upstream_port}_{port};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}"""


def nginx_config(folder: Path, *servers: str) -> Path:
    """A configuration for one worker that writes nothing outside `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n".join(
        f"    {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
{temporary}
{"".join(servers)}
}}
"""
    )
    return config


def _start_nginx(tool: Tool, config: Path, core: int) -> Started:
    command = [tool.program, "-c", config, "-p", config.parent, "-e", "stderr"]
    return start(command, core=core, log=config.parent / "nginx.log", env=tool.env)


# ---- the lanes


def direct(place: Place) -> Lane:
    """No gateway: the load speaks to the models."""
    return Lane("direct", place.plain_port, place.paced_port, "the load speaks to the models themselves")


def nginx(place: Place) -> Lane:
    """nginx as a reverse proxy that does nothing else: what any gateway in the way must cost at least."""
    tool = debian_tool("nginx", place.tools, may_fetch=place.may_fetch)
    ports = free_port(), free_port()
    servers = [proxy_server(ports[0], place.plain_port), proxy_server(ports[1], place.paced_port)]
    started = _start_nginx(tool, nginx_config(place.folder / "nginx-proxy", *servers), place.cores.server)
    lane = Lane("nginx", *ports, f"{tool.version}, reverse proxy, one worker, kept connections", [started])
    return _ready(lane, [(started, ports[0]), (started, ports[1])], 10)


def litellm_proxy(place: Place) -> Lane:
    """LiteLLM's proxy with one worker, no database, no key check and no guard: at its fastest, it keeps no record."""
    tool = litellm(place.tools, may_fetch=place.may_fetch and place.may_install)
    port = free_port()
    config = place.folder / "litellm.yaml"
    models = {"bench-plain": place.plain_port, "bench-paced": place.paced_port}
    config.write_text(
        json.dumps(
            {
                "model_list": [
                    {
                        "model_name": name,
                        "litellm_params": {
                            "model": f"openai/{name}",
                            "api_base": f"http://127.0.0.1:{model_port}/v1",
                            "api_key": "none",
                        },
                    }
                    for name, model_port in models.items()
                ],
                "litellm_settings": {"telemetry": False},
            }
        )
    )
    env = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    arguments = ["--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    log = place.folder / "litellm.log"
    started = start([tool.program, *arguments], core=place.cores.server, log=log, env=env, cwd=place.folder)
    about = f"{tool.version}, one worker; no guard, no key check, no database: it keeps no record"
    return _ready(Lane("litellm", port, port, about, [started]), [(started, port)], 120)


def dutybound(place: Place) -> Lane:
    """Dutybound with all duties on: signed subjects, minors, 10,000 terms both ways, labels, durable records."""
    folder = place.folder / "dutybound"
    folder.mkdir()
    terms = workload.terms(TERMS)
    (folder / "terms.tsv").write_text(workload.term_file(TERMS), encoding="utf-8")
    config = folder / "dutybound.toml"
    config.write_text(dutybound_config(), encoding="utf-8")
    env = {"DUTYBOUND_JWT_SECRET": place.secret}
    cli = [sys.executable, "-m", "gateway.cli"]
    lane = Lane("dutybound", free_port(), free_port(), "all duties on, one worker, records durable before the answer")
    try:
        waits = []
        for name, port, model_port in (
            ("plain", lane.plain_port, place.plain_port),
            ("paced", lane.paced_port, place.paced_port),
        ):
            home = folder / name
            log = folder / f"{name}.log"
            made = start([*cli, "init", "--home", home], core=place.cores.server, log=log, env=env, cwd=ROOT)
            if wait_for_end(made, 60):
                raise Unavailable(f"`dutybound init` failed: {last_line(log)}")
            serve = [*cli, "serve", "--config", config, "--home", home, "--upstream", f"http://127.0.0.1:{model_port}"]
            listen = ["--host", "127.0.0.1", "--port", port, "--operator-port", free_port(), "--workers", 1]
            lane.started.append(start([*serve, *listen], core=place.cores.server, log=log, env=env, cwd=ROOT))
            lane.homes.append(home)
            waits.append((lane.started[-1], port))
        _ready(lane, waits, 60)
        lane.proofs = prove(lane, place.secret, terms[0])
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
        lane.stop()
        raise Unavailable(f"answered wrongly: {type(error).__name__}") from error
    except BaseException:
        lane.stop()
        raise
    return lane


def dutybound_config() -> str:
    """The configuration of the lane. The provider code is made up, with a right check digit."""
    return """[service]
name = "示例智能助手"
provider = "示例科技有限公司"
provider_code = "001191110000MA00000AAT10001"
[policy]
use = ["cn"]
[disclosure]
mode = "interface"
[identity.jwt]
secret_env = "DUTYBOUND_JWT_SECRET"
[content_filter]
terms = ["terms.tsv"]
"""


LANES: Mapping[str, Callable[[Place], Lane]] = {
    "direct": direct,
    "nginx": nginx,
    "litellm": litellm_proxy,
    "dutybound": dutybound,
}
"""In the order in which they are measured and shown."""


def _ready(lane: Lane, waits: list[tuple[Started, int]], timeout_s: float) -> Lane:
    try:
        for started, port in waits:
            wait_for_port(started, port, timeout_s)
            ask(port, _first_request(port), timeout_s)
    except BaseException as error:
        lane.stop()
        if isinstance(error, OSError | http.client.HTTPException):
            raise Unavailable(f"does not answer: {type(error).__name__}") from error
        raise
    return lane


def _first_request(port: int) -> workload.Request:
    body = {"model": "bench-plain", "messages": [{"role": "user", "content": "hello"}]}
    return workload.Request("", json.dumps(body).encode())


# ---- that the duties are on


def ask(port: int, request: workload.Request, timeout_s: float = 30.0) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (names in lower case) and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bench"}
    if request.token:
        headers["Duty-Subject"] = request.token
    try:
        connection.request("POST", workload.PATH, request.body, headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def prove(lane: Lane, secret: str, term: str) -> dict[str, bool]:
    """What can be seen from outside of the duties, each true where it is done. Raises where an answer is no answer."""
    now_s = time.time()
    requests = workload.requests(stream=False, secret=secret, now_s=now_s)
    status, headers, body = ask(lane.plain_port, requests[0])
    answer = json.loads(body)
    content = answer["choices"][0]["message"]["content"]
    model_says = json.loads(workload.completion())["choices"][0]["message"]["content"]
    proofs = {
        "answers": status == 200,
        "record named": bool(headers.get("duty-record")),
        "disclosure header": bool(headers.get("ai-disclosure")),
        "explicit label": content != model_says and model_says in content,
        "implicit label": isinstance(answer.get("aigc"), dict) and bool(answer["aigc"].get("ProduceID")),
    }
    minor = requests[workload.MINORS_EVERY - 1]
    proofs["minor by day answered"] = ask(lane.plain_port, minor)[0] == 200
    forged = workload.requests(stream=False, secret="not the secret of this run, but as long", now_s=now_s)[0]
    proofs["forged subject refused"] = ask(lane.plain_port, forged)[0] >= 400
    request: dict[str, Any] = json.loads(requests[1].body)
    request["messages"][-1]["content"] += term
    _, _, body = ask(lane.plain_port, workload.Request(requests[1].token, json.dumps(request).encode()))
    proofs["listed term refused"] = b"content_filter" in body and model_says[:20].encode() not in body
    _, headers, body = ask(lane.paced_port, workload.requests(stream=True, secret=secret, now_s=now_s)[0])
    events = [event for event in body.split(b"\n\n") if event.startswith(b"data: {")]
    proofs["stream labelled"] = b'"aigc"' in events[0] and b'"aigc"' in events[-1] if events else False
    proofs["stream record named"] = bool(headers.get("duty-record"))
    return proofs


def verify(home: Path, core: int, timeout_s: float) -> dict[str, Any]:
    """What `dutybound audit verify` says about the records that the run left behind."""
    log = home.parent / f"{home.name}-verify.log"
    began_s = time.monotonic()
    verifier = start(
        [sys.executable, "-m", "gateway.cli", "audit", "verify", "--home", home, "--json"], core=core, log=log, cwd=ROOT
    )
    code = wait_for_end(verifier, timeout_s)
    try:
        said = json.loads(log.read_text(errors="replace"))
    except ValueError:
        said = last_line(log)
    count = said.get("tree_size", 0) if isinstance(said, dict) else 0
    return {"holds": code == 0, "count": count, "seconds": round(time.monotonic() - began_s, 2), "said": said}
