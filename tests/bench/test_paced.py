# SPDX-License-Identifier: Apache-2.0
"""The paced model is a chat completions stream that keeps its beat."""

from __future__ import annotations

import asyncio

import httpx
import openai

from bench import paced, workload


def test_a_stream_is_one_of_openai_s_and_says_when_each_event_was_sent() -> None:
    """The SDK reads it; so many events say when they were sent, and then it ends."""

    async def run() -> list[str]:
        server = await paced.serve(0, 5, 0.01)
        port = server.sockets[0].getsockname()[1]
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            chunks = [chunk async for chunk in stream]
        server.close()
        assert chunks[-1].choices[0].finish_reason == "stop"
        return [chunk.choices[0].delta.content or "" for chunk in chunks[1:-1]]

    sent_ns = [int(text.removeprefix(" at ").removesuffix(".")) for text in asyncio.run(run())]
    assert len(sent_ns) == 5
    assert sent_ns == sorted(sent_ns)


def test_a_plain_request_gets_the_plain_answer() -> None:
    """For machines without nginx."""

    async def run() -> bytes:
        server = await paced.serve(0, 1, 0.01)
        async with httpx.AsyncClient() as http:
            response = await http.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", json={"model": "m"})
        server.close()
        return response.content

    assert asyncio.run(run()) == workload.completion()
