# SPDX-License-Identifier: Apache-2.0
"""Who is asking, what they were told, and where they complain, against a running gateway."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import httpx
import pytest

from tests.conftest import CONFIG, SECRET, RunningGateway, StartGateway, dutybound, running_redis
from tests.upstreams.scripted import ScriptedUpstream

CHAT = "/v1/chat/completions"


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A JWT made by hand, so that the gateway's library is not its own judge."""

    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    signed = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}"
    mark = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return f"{signed}.{mark if algorithm != 'none' else ''}"


def ask(gateway: RunningGateway, subject: str | None = None, *, stream: bool = False, **headers: str) -> httpx.Response:
    """A small question by `subject`."""
    if subject is not None:
        headers["Duty-Subject"] = subject
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "你好"}]}
    return httpx.post(gateway.url + CHAT, json=body, headers=headers, timeout=20)


def content(answer: httpx.Response) -> str:
    """What a plain answer says."""
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said


def zone_at(hour: int) -> str:
    """A time zone in which it is `hour` o'clock now, so that a real clock can be used."""
    for name in sorted(available_timezones()):
        if name.startswith("Etc/GMT") and datetime.now(ZoneInfo(name)).hour == hour:
            return name
    raise AssertionError("no zone has that hour")


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("garbage", "malformed_token"),
        (token(secret="another secret that is long enough", sub="u"), "untrusted_token"),
        (token(algorithm="none", sub="u"), "untrusted_token"),
        (token(sub="u", exp=1), "token_expired"),
        (token(sub=""), "malformed_claims"),
        (token(sub="u", birth_year="old"), "malformed_claims"),
    ],
)  # fmt: skip
def test_a_forged_or_expired_token_is_refused(
    shared_gateway: RunningGateway, upstream: ScriptedUpstream, subject: str, code: str
) -> None:
    """401 in the wire's format, a record, and nothing reaches the model."""
    upstream.reset()
    answer = ask(shared_gateway, subject)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"]["code"] in (code, "malformed_token")
    assert shared_gateway.record(answer.headers["duty-record"])["record"]["outcome"] == "refused"
    assert upstream.seen == []


def test_a_minor_is_refused_in_the_curfew_and_served_by_day(shared_gateway: RunningGateway) -> None:
    """22:00 to 06:00 in the person's own zone; adults are served at any hour."""
    night, day = zone_at(23), zone_at(12)
    refused = ask(shared_gateway, token(sub="kid", age_band="12-15", tz=night))
    assert refused.status_code == 200
    assert refused.json()["choices"][0]["finish_reason"] == "content_filter"
    record = shared_gateway.record(refused.headers["duty-record"])["record"]
    assert record["outcome"] == "refused"
    assert any(decision["reason"] == "curfew" for decision in record["decisions"])
    assert (
        ask(shared_gateway, token(sub="kid", age_band="12-15", tz=day)).json()["choices"][0]["finish_reason"] == "stop"
    )
    assert (
        ask(shared_gateway, token(sub="old", age_band="18+", tz=night)).json()["choices"][0]["finish_reason"] == "stop"
    )


def test_an_unsigned_hint_only_tightens(shared_gateway: RunningGateway) -> None:
    """A signed adult who is hinted to be a minor is protected; a signed minor stays one whatever is hinted."""
    night = zone_at(23)
    adult, kid = token(sub="a", age_band="18+", tz=night), token(sub="b", age_band="8-11", tz=night)
    hinted = ask(shared_gateway, adult, **{"Duty-Minor-Mode": "1"})
    assert hinted.json()["choices"][0]["finish_reason"] == "content_filter"
    loosened = ask(shared_gateway, kid, **{"Duty-Minor-Mode": "0", "Duty-Age-Band": "18+"})
    assert loosened.json()["choices"][0]["finish_reason"] == "content_filter"


def test_records_know_a_person_by_pseudonym_only(shared_gateway: RunningGateway) -> None:
    """The leaf holds neither the name nor the pseudonym; the index finds the record by both."""
    answer = ask(shared_gateway, token(sub="canary-person-7", tenant="acme", age_band="18+"))
    found = shared_gateway.records(subject="canary-person-7", tenant="acme")
    assert [item["id"] for item in found] == [answer.headers["duty-record"]]
    assert found[0]["subject"] not in json.dumps(found[0]["record"])
    for path in shared_gateway.home.rglob("*"):
        if path.is_file():
            assert b"canary-person-7" not in path.read_bytes(), path
    assert shared_gateway.records(subject="canary-person-7", tenant="other") == []


def test_announce_tells_each_person_once(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """At the head of the first answer, streamed or plain, also after a restart; strangers are told every time."""
    config = CONFIG.replace('mode = "interface"', 'mode = "announce"')
    running = gateway(upstream.url, config=config)
    person = token(sub="p1", age_band="18+")
    first = content(ask(running, person))
    assert first.index("人工智能") < first.index("Hello.")
    assert "人工智能" not in content(ask(running, person)).replace("本内容由AI生成", "")
    streamed = ask(running, token(sub="p2", age_band="18+"), stream=True).text
    assert "人工智能" in streamed
    for _ in range(2):
        assert "人工智能" in content(ask(running))
    assert running.stop() == 0
    again = gateway(upstream.url, config=config, home=running.home)
    assert "人工智能" not in content(ask(again, person)).replace("本内容由AI生成", "")


def test_acknowledge_asks_first(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """428 with a link; the page's button opens the service; the acknowledgement has a record."""
    running = gateway(upstream.url, config=CONFIG.replace('mode = "interface"', 'mode = "acknowledge"'))
    person = token(sub="p1", age_band="18+")
    refused = ask(running, person)
    assert refused.status_code == 428
    link = refused.headers["link"].partition("<")[2].partition(">")[0]
    page = httpx.get(running.url + link if link.startswith("/") else link, headers={"Accept": "text/html"})
    assert page.status_code == 200
    ack = link.partition("ack=")[2]
    done = httpx.post(running.url + "/duty/about/acknowledge", data={"ack": ack}, headers={"Accept": "text/html"})
    assert done.status_code in (200, 303), done.text
    assert ask(running, person).status_code == 200
    assert ask(running, token(sub="p2", age_band="18+")).status_code == 428
    assert [item["record"]["event"] for item in running.records(type="notice")] == ["acknowledged"]


def test_the_disclosure_document_and_page_say_who_provides(shared_gateway: RunningGateway) -> None:
    """Interim Measures article 10 and Model Law article 34, for machines and for people."""
    document = httpx.get(shared_gateway.url + "/.well-known/ai-disclosure.json").json()
    assert "示例科技有限公司" in json.dumps(document, ensure_ascii=False)
    page = httpx.get(shared_gateway.url + "/duty/about", headers={"Accept-Language": "zh"})
    assert page.headers["content-type"].startswith("text/html")
    assert "示例智能助手" in page.text
    assert "script" not in page.text


def test_a_complaint_is_filed_seen_and_answered(shared_gateway: RunningGateway) -> None:
    """Receipt and due date at once; state at the receipt's address; listed and answered through the operator API."""
    record = ask(shared_gateway).headers["duty-record"]
    complaint = {"category": "inaccurate", "text": "回答有误", "contact": "someone@example.com", "record": record}
    filed = httpx.post(shared_gateway.url + "/duty/complaints", json=complaint)
    assert filed.status_code == 201
    receipt = filed.json()
    assert set(receipt) >= {"receipt", "secret", "due", "url"}
    status = httpx.get(receipt["url"], headers={"Duty-Secret": receipt["secret"], "Accept": "application/json"})
    assert status.status_code == 200
    assert httpx.get(receipt["url"], headers={"Duty-Secret": "wrong"}).status_code in (403, 404)
    officer = {"Authorization": f"Bearer {shared_gateway.token('officer')}"}
    listed = httpx.get(shared_gateway.operator_url + "/api/complaints", headers=officer).json()
    case = next(item for item in listed["complaints"] if item["receipt"] == receipt["receipt"])
    answered = httpx.post(
        f"{shared_gateway.operator_url}/api/complaints/{case['receipt']}/answer",
        json={"decision": "upheld", "text": "已更正"},
        headers=officer,
    )
    assert answered.status_code == 200, answered.text
    status = httpx.get(receipt["url"], headers={"Duty-Secret": receipt["secret"], "Accept": "application/json"})
    assert "已更正" in status.text
    events = [item["record"]["event"] for item in shared_gateway.records(type="complaint", limit="1000")]
    assert "file" in events
    assert "answer" in events
    for path in (shared_gateway.home / "complaints.db", shared_gateway.home / "complaints.db-wal"):
        assert not path.exists() or b"someone@example.com" not in path.read_bytes()


def test_the_operator_listener_wants_the_right_role(shared_gateway: RunningGateway) -> None:
    """No token, a forged token, a token without the right: refused as problems."""
    for headers, status in (({}, 401), ({"Authorization": "Bearer dbt_forged"}, 401)):
        assert httpx.get(shared_gateway.operator_url + "/api/records", headers=headers).status_code == status
    operator = {"Authorization": f"Bearer {shared_gateway.token('operator')}"}
    refused = httpx.get(shared_gateway.operator_url + "/api/complaints", headers=operator)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"


def test_metrics_count_what_happened(shared_gateway: RunningGateway) -> None:
    """Prometheus reads them on the operator listener only."""
    ask(shared_gateway)
    text = httpx.get(shared_gateway.operator_url + "/metrics").text
    assert 'dutybound_requests_total{outcome="completed",wire="openai_chat"}' in text
    assert 'dutybound_labels_applied_total{kind="explicit",media="text"}' in text
    assert "dutybound_audit_tree_size" in text
    assert httpx.get(shared_gateway.url + "/metrics").status_code == 404


def test_the_tiles_of_the_log_are_served(shared_gateway: RunningGateway) -> None:
    """C2SP paths on the operator listener."""
    ask(shared_gateway)
    note = httpx.get(shared_gateway.operator_url + "/log/checkpoint").text
    origin, size, *_ = note.splitlines()
    assert origin.startswith("dutybound.local/")
    partial = int(size) % 256
    tile = httpx.get(f"{shared_gateway.operator_url}/log/tile/0/000" + (f".p/{partial}" if int(size) < 256 else ""))
    assert tile.status_code == 200
    assert len(tile.content) % 32 == 0


def test_counters_are_shared_through_redis(gateway: StartGateway, upstream: ScriptedUpstream, redis_url: str) -> None:
    """Two workers, one person: told once, whichever worker answers."""
    config = CONFIG.replace('mode = "interface"', 'mode = "announce"') + f'[redis]\nurl = "{redis_url}"\n'
    running = gateway(upstream.url, config=config, workers=2)
    person = token(sub="shared", age_band="18+")
    assert "人工智能" in content(ask(running, person))
    for _ in range(6):
        assert "人工智能" not in content(ask(running, person)).replace("本内容由AI生成", "")
    assert running.stop() == 0


def test_without_its_redis_a_minor_is_refused_at_once_and_everybody_soon(
    gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """The failure rule of the pipeline: a duty that cannot be done refuses. Nobody can count a minor's minutes then; a
    pause that was just placed is missed after `orders.stale_after_s` at the latest."""
    config = CONFIG + "[orders]\nstale_after_s = 8\n[redis]\ntimeout_s = 0.2\n"
    with running_redis() as (url, redis):
        running = gateway(upstream.url, config=f'{config}url = "{url}"\n')
        adult = token(sub="old", age_band="18+")
        assert ask(running, adult).status_code == 200
        redis.kill()
        refused = ask(running, token(sub="kid", age_band="16-17", tz=zone_at(12)))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "duty_failed")
        assert ask(running, adult).status_code == 200
        deadline = time.monotonic() + 30
        while (late := ask(running, adult)).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert (late.status_code, late.json()["error"]["code"]) == (503, "duty_failed")


def test_a_reload_of_terms_is_recorded(gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """SIGHUP reads the files anew; a broken file leaves the old terms in force."""
    running = gateway(upstream.url)
    body = {"model": "m", "messages": [{"role": "user", "content": "a newterm here"}]}

    def is_refused() -> bool:
        answer = httpx.post(running.url + CHAT, json=body).json()
        return bool(answer["choices"][0]["finish_reason"] == "content_filter")

    assert not is_refused()
    terms = running.home.parent / "terms.tsv"
    terms.write_text("newterm\tA1a\n")
    running.process.send_signal(1)
    deadline = time.monotonic() + 10
    while not is_refused():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    terms.write_text("newterm\tnoclass\n")
    running.process.send_signal(1)
    time.sleep(0.5)
    assert is_refused()
    assert [item["record"]["event"] for item in running.records(type="config")] == ["terms"]


def test_init_and_serve_refuse_what_would_begin_a_second_history(tmp_path: Any) -> None:
    """A folder that was not initialised, one that is there already, a configuration nobody can read."""
    home = str(tmp_path / "home")
    refused = dutybound("serve", "--home", home, check=False)
    assert refused.returncode == 2
    assert "dutybound init" in refused.stderr
    assert dutybound("init", "--home", home).returncode == 0
    assert dutybound("init", "--home", home, check=False).returncode == 2
    broken = tmp_path / "broken.toml"
    broken.write_text('[upstream]\nurl = "ftp://x"\nnonsense = 1\n')
    said = dutybound("config", "check", "--home", home, "--config", str(broken), check=False)
    assert said.returncode == 2
    assert "upstream.nonsense: unknown key" in said.stderr
    assert "Traceback" not in said.stderr
    missing = tmp_path / "missing.toml"
    missing.write_text('[identity.jwt]\nsecret_env = "NOT_SET_ANYWHERE"\n[content_filter]\nterms = ["none.tsv"]\n')
    said = dutybound("config", "check", "--home", home, "--config", str(missing), check=False)
    assert said.returncode == 1
    assert "NOT_SET_ANYWHERE" in said.stderr
    assert dutybound("audit", "verify", "--home", home).returncode == 0
    assert dutybound("token", "new", "--role", "auditor", "--home", home).stdout.split()[-1].startswith("dbt_")
    assert "+" in dutybound("keys", "show", "--home", home).stdout.split()[-1]
    schema = json.loads(dutybound("config", "schema").stdout)
    assert "upstream" in schema["properties"]
