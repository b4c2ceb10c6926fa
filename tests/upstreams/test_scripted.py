# SPDX-License-Identifier: Apache-2.0
"""The scripted upstream does exactly what its script says: a test that builds on it must be able to trust it."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.upstreams.scripted import Script, ScriptedUpstream, Seen, scripted_in_thread, serve_scripted

PATH = "/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def with_upstream(script: Any, go: Callable[[ScriptedUpstream], Awaitable[Any]], **others: Any) -> Any:
    """What `go` returns when it runs beside an upstream with that script."""

    async def run() -> Any:
        async with serve_scripted(script, **others) as upstream:
            async with asyncio.timeout(20):
                return await go(upstream)

    return asyncio.run(run())


async def raw(upstream: ScriptedUpstream, request: dict[str, Any], *, whole: bool = True) -> bytes:
    """Every byte that comes back over a plain socket, until the server closes or has been silent for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    body = json.dumps(request).encode()
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    got = b""
    try:
        while data := await asyncio.wait_for(reader.read(65536), 5 if whole else 0.2):
            got += data
    except (TimeoutError, ConnectionResetError):
        pass
    writer.close()
    return got


def body_of(script: Any, request: dict[str, Any] | None = None) -> bytes:
    """The body that an honest client reads."""

    async def go(upstream: ScriptedUpstream) -> bytes:
        async with httpx.AsyncClient() as http:
            return (await http.post(upstream.url + PATH, json=request or ASK)).content

    result: bytes = with_upstream(script, go)
    return result


def sdk_chunks(script: Any, **fields: Any) -> list[Any]:
    """What the official SDK makes of a stream."""

    async def go(upstream: ScriptedUpstream) -> list[Any]:
        async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(**{**ASK, "stream": True, **fields})
            return [chunk async for chunk in stream]

    result: list[Any] = with_upstream(script, go)
    return result


def content(chunks: list[Any], index: int = 0, name: str = "content") -> str:
    """One channel of one choice."""
    return "".join(getattr(c.delta, name, None) or "" for chunk in chunks for c in chunk.choices if c.index == index)


def test_a_plain_answer_is_a_completion_of_the_sdk() -> None:
    """Content, reasoning, refusal, tools and logprobs stand where the SDK looks for them."""
    script = Script(
        text="你好", reasoning="想", logprobs=True, extra={"vendor": 1}, tool_calls=({"name": "f", "arguments": "{}"},)
    )

    async def go(upstream: ScriptedUpstream) -> Any:
        async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="none") as client:
            return await client.chat.completions.create(**{**ASK, "n": 2})  # type: ignore[call-overload]

    answer = with_upstream(script, go)
    message = answer.choices[1].message
    assert (message.content, message.reasoning_content, message.tool_calls[0].function.name) == ("你好", "想", "f")
    assert answer.choices[0].logprobs.content[0].token == "你好" and answer.vendor == 1
    assert answer.choices[0].finish_reason == "tool_calls" and answer.usage.total_tokens == 18
    refused = json.loads(body_of(Script(refusal="no")))["choices"][0]["message"]
    assert (refused["content"], refused["refusal"]) == (None, "no")


def test_given_deltas_come_in_the_given_order() -> None:
    """Choices, channels and cuts are the test's own, interleaved as written."""
    deltas = [
        "a",
        {"choice": 1, "channel": "reasoning_content", "text": "r"},
        {"choice": 0, "text": "b"},
        {"choice": 1, "channel": "tool", "id": "c1", "name": "f", "text": "{"},
        {"choice": 1, "channel": "tool", "text": "}"},
        {"choice": 0, "raw": {"content": "c", "strange": True}},
    ]
    chunks = sdk_chunks({"deltas": deltas, "finish": ["length", "tool_calls"]})
    order = [(c.index, next(iter(c.delta.model_dump(exclude_unset=True)))) for k in chunks[2:8] for c in k.choices]
    assert order == [(0, "content"), (1, "reasoning_content"), (0, "content")] + [(1, "tool_calls")] * 2 + [
        (0, "content")
    ]
    assert content(chunks) == "abc" and content(chunks, 1, "reasoning_content") == "r"
    assert [c.finish_reason for chunk in chunks[-2:] for c in chunk.choices] == ["length", "tool_calls"]


def test_split_interleaves_the_choices_and_usage_comes_when_asked() -> None:
    """A split text adds up again in every choice."""
    chunks = sdk_chunks({"texts": ["abcdef", "xyz"], "split": 2}, stream_options={"include_usage": True})
    assert (content(chunks), content(chunks, 1)) == ("abcdef", "xyz")
    assert [chunk.choices[0].index for chunk in chunks[2:6]] == [0, 1, 0, 1]
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 18


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("writes", [0, 1, 7, [3, 200, 201]])
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_however_an_answer_is_written_its_bytes_are_the_same(newline: str, writes: Any, framing: str) -> None:
    """Cuts, line ends and framing change nothing of what is said, with comments and other fields between."""
    script = {"text": "长江长江", "split": 1, "newline": newline, "comments": True, "event_fields": True, "bom": True}
    ask = {**ASK, "stream": True}
    whole = body_of(script, ask)
    assert body_of({**script, "writes": writes, "framing": framing}, ask) == whole
    assert whole.startswith(b"\xef\xbb\xbf: keep-alive" + newline.encode()) and b"retry: 1000" in whole
    assert whole.endswith(("data: [DONE]" + newline * 2).encode())


def test_a_cut_can_fall_inside_a_character_and_inside_a_chunk_size() -> None:
    """With one byte a write no packet holds a whole Chinese character, and the head is cut as well."""

    async def go(upstream: ScriptedUpstream) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        body = json.dumps({**ASK, "stream": True}).encode()
        writer.write(f"POST {PATH} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        pieces = []
        while not b"".join(pieces).endswith(b"0\r\n\r\n"):
            pieces.append(await reader.read(1 << 16))
        writer.close()
        return pieces

    pieces = with_upstream({"text": "好", "wire_writes": 2, "write_delay_s": 0.001}, go)
    assert pieces[0] == b"HT" and len(pieces) > 300 and not any("好".encode() in piece for piece in pieces)
    assert "好".encode() in b"".join(pieces)


def test_gzip_and_escapes_say_the_same() -> None:
    """A compressed stream is still one; escaped text parses to the same."""
    ask = {**ASK, "stream": True}
    plain = body_of({"text": "长江", "split": 1}, ask)
    assert body_of({"text": "长江", "split": 1, "gzip": True, "writes": 1}, ask) == plain
    assert rb"\ud83d\ude00" in body_of({"text": "😀", "ascii": True})


def test_errors_come_with_openai_s_body_and_retry_after() -> None:
    """The SDK raises its rate limit error."""

    async def go(upstream: ScriptedUpstream) -> openai.RateLimitError:
        async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="none", max_retries=0) as client:
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(**ASK)  # type: ignore[call-overload]
            return caught.value

    error = with_upstream({"status": 429, "error": "slow down", "retry_after_s": 7}, go)
    assert error.response.headers["retry-after"] == "7" and error.type == "rate_limit_error"


def test_breaking_off_ends_the_connection_inside_the_event() -> None:
    """What came before is there, half of the event too, and the end of the body is not."""
    ask = {**ASK, "stream": True}
    got = with_upstream({"text": "abc", "split": 1, "break_in_event": 2}, lambda upstream: raw(upstream, ask))
    assert got.count(b"data: ") == 3 and b'"b"' not in got and not got.endswith(b"0\r\n\r\n")
    got = with_upstream({"break_at": 10}, lambda upstream: raw(upstream, ASK))
    head, _, body = got.partition(b"\r\n\r\n")
    assert len(body) == 10 and int(head.rpartition(b"Content-Length: ")[2]) > 10
    with_upstream({"break_at": 10, "break_how": "rst"}, lambda upstream: raw(upstream, ASK))


@pytest.mark.parametrize(("length_error", "raises"), [(5, True), (-5, False)])
def test_a_length_can_be_a_lie(length_error: int, raises: bool) -> None:
    """Too much promised looks like a broken answer, too little like a cut one."""

    async def go(upstream: ScriptedUpstream) -> bytes:
        async with httpx.AsyncClient() as http:
            return (await http.post(upstream.url + PATH, json=ASK)).content

    script = {"length_error": length_error}
    if raises:
        with pytest.raises(httpx.RemoteProtocolError):
            with_upstream(script, go)
    else:
        assert with_upstream(script, go) == body_of(Script())[:-5]


@pytest.mark.parametrize(
    ("garbage", "wanted"),
    [
        ("http", b"this is no HTTP"),
        ("json", b"[oops"),
        ("sse", b"data: {this is"),
        ("chunk", b"\r\nzz\r\n"),
        ("utf8", b"\xff"),
    ],
)
def test_garbage_is_garbage(garbage: str, wanted: bytes) -> None:
    """Each kind of nonsense arrives as it was ordered."""
    ask = {**ASK, "stream": garbage != "utf8"}
    got = with_upstream({"garbage": garbage, "close": True}, lambda upstream: raw(upstream, ask))
    assert wanted in got


@pytest.mark.parametrize(
    ("hang", "stream", "starts", "lacks"),
    [
        ("before", True, b"", b"HTTP"),
        ("head", True, b"HTTP/1.1 200", b"data:"),
        ("middle", True, b"HTTP/1.1 200", b"[DONE]"),
        ("end", True, b"HTTP/1.1 200", b"\r\n0\r\n\r\n"),
        ("end", False, b"HTTP/1.1 200", b"}}\r\n"),
    ],
)
def test_hanging_stops_where_it_was_told_and_a_client_that_leaves_is_seen(
    hang: str, stream: bool, starts: bytes, lacks: bytes
) -> None:
    """Silence lasts until the client goes, and then the server knows it was cancelled."""

    async def go(upstream: ScriptedUpstream) -> tuple[bytes, Seen]:
        got = await raw(upstream, {**ASK, "stream": stream}, whole=False)
        return got, await upstream.ended(0)

    got, seen = with_upstream({"hang": hang}, go)
    assert got.startswith(starts) and lacks not in got
    assert seen.was_cancelled and seen.finished_s is None
    if hang == "end" and stream:
        assert b"[DONE]" in got


def test_what_was_seen_is_kept() -> None:
    """Headers, body, connection and times of every request, and no cancellation where there was none."""

    async def go(upstream: ScriptedUpstream) -> ScriptedUpstream:
        async with httpx.AsyncClient(headers={"X-Test": "1"}) as http:
            await http.post(upstream.url + PATH, json=ASK)
            await http.post(upstream.url + PATH, json={**ASK, "n": 2})
            assert len(upstream.connections) == 1
        return upstream

    seen = with_upstream(None, go).seen
    assert [entry.json.get("n") for entry in seen] == [None, 2]
    assert seen[0].header("x-test") == "1" and seen[0].path == PATH and seen[0].connection == seen[1].connection == 1
    assert all(entry.finished_s is not None and not entry.was_cancelled and entry.sent_bytes > 100 for entry in seen)


def test_where_a_script_comes_from() -> None:
    """Metadata before header before model before queue before default."""

    async def go(upstream: ScriptedUpstream) -> list[str]:
        async with httpx.AsyncClient(base_url=upstream.url) as http:

            async def said(request: dict[str, Any], **headers: str) -> str:
                answer = (await http.post(PATH, json={**ASK, **request}, headers=headers)).json()
                return str(answer["choices"][0]["message"]["content"])

            queued = {"script": {"text": "queued"}, "once": True}
            assert (await http.post("/_script", json=queued)).status_code == 200
            assert (await http.post("/_script", json={"script": {"text": "named"}, "model": "n"})).status_code == 200
            by_metadata = {"metadata": {"script": json.dumps({"text": "metadata"})}, "model": "n"}
            got = [
                await said(by_metadata, **{"X-Script": '{"text": "header"}'}),
                await said({"model": "n"}, **{"X-Script": '{"text": "header"}'}),
                await said({"model": "n"}),
                await said({"model": "given"}),
                await said({}),
                await said({}),
            ]
            await http.post("/_script", json={"script": {"text": "new default"}})
            got.append(await said({}))
            assert len((await http.get("/_seen")).json()) == 7
            await http.post("/_reset")
            assert (await http.get("/_seen")).json() == []
            return [*got, await said({"model": "n"})]

    said = with_upstream({"text": "default"}, go, scripts={"given": {"text": "given"}})
    assert said == ["metadata", "header", "named", "given", "queued", "default", "new default", "Hello."]


@pytest.mark.parametrize("script", ['{"txt": 1}', "[1]", "{", '{"deltas": [{"channel": "x"}]}', '{"framing": "x"}'])
def test_a_broken_script_is_an_error_and_not_a_hang(script: str) -> None:
    """A test that mistypes a key learns it."""

    async def go(upstream: ScriptedUpstream) -> httpx.Response:
        async with httpx.AsyncClient() as http:
            return await http.post(upstream.url + PATH, json=ASK, headers={"X-Script": script})

    response = with_upstream(None, go)
    assert response.status_code == 500 and "broken script" in response.text


def test_raw_bodies_and_events_are_sent_as_they_are() -> None:
    """Other wires and other nonsense need no code here."""
    assert body_of({"raw_base64": base64.b64encode(b"\x00\xff").decode()}) == b"\x00\xff"
    events = body_of({"raw_events": ['{"a": 1}', "two\nlines"], "cut_tail": True}, {**ASK, "stream": True})
    assert events == b'data: {"a": 1}\n\ndata: two\ndata: lines'
    assert json.loads(body_of({"body": [1, 2], "status": 201}, {**ASK, "stream": True})) == [1, 2]
    assert body_of({"answers_as": "stream"}).startswith(b"data: ")
    assert len(body_of({"huge": 300_000, "text": "ab"})) > 300_000


def test_delays_stand_where_they_were_asked_for() -> None:
    """Before the head, before the body and before an event."""
    script = {
        "deltas": ["a", {"text": "b", "delay_s": 0.05}],
        "delay_s": 0.05,
        "first_delay_s": 0.05,
        "event_delay_s": 0.01,
    }

    async def go(upstream: ScriptedUpstream) -> Seen:
        await raw(upstream, {**ASK, "stream": True, "metadata": {"script": {**script, "close": True}}})
        return await upstream.ended(0)

    seen = with_upstream(None, go)
    assert seen.finished_s - seen.arrived_s >= 0.05 * 3 + 0.01 * 3


def test_it_runs_in_a_thread() -> None:
    """A test without a loop uses it with a blocking client."""
    with scripted_in_thread({"text": "threaded"}) as upstream:
        response = httpx.post(upstream.url + PATH, json=ASK)
        assert response.json()["choices"][0]["message"]["content"] == "threaded"
        assert httpx.get(upstream.url + "/v1/models").json()["data"][0]["id"] == "scripted"
    assert len(upstream.seen) == 2


def test_it_runs_as_a_process_that_prints_its_port() -> None:
    """`python tests/upstreams/scripted.py --port 0` answers on the port of its first line."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("scripted.py")),
        "--port",
        "0",
        "--script",
        '{"text": "own"}',
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            response = httpx.post(f"http://127.0.0.1:{port}{PATH}", json=ASK)
            assert response.json()["choices"][0]["message"]["content"] == "own"
        finally:
            process.terminate()
