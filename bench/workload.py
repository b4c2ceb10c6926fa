# SPDX-License-Identifier: Apache-2.0
"""What the benchmark sends and what it scans for: prompts, signed subjects, terms and the model's plain answer.

Everything is made from a fixed seed, so that two runs send the same bytes (but for the times inside the tokens). No
term occurs in a prompt or an answer: the benchmark measures answers that pass every duty, not refusals.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = "/v1/chat/completions"
PROMPT_BYTES = 2_000
PROMPTS = 16
SUBJECTS = 256
MINORS_EVERY = 10
"""One subject in so many is a minor of 16 or 17 for whom it is noon, so that the minors' duty counts and lets pass."""
CLASSES = ("A1a", "A1c", "A1d", "A1f", "A1g", "A2a", "A2e", "A3a", "A4a", "A4c", "A4e")

_SENTENCES = (
    "请帮我把下面这段会议纪要整理成一份条理清楚的周报，并且标出每一项任务的负责人和截止日期。",
    "今年的雨季来得比往年早一些，江边的步道已经关闭，市民可以改走上面的绿道。",
    "我们打算在周末带孩子去博物馆看青铜器展览，想知道怎样安排路线比较省力。",
    "这份合同的第三条写得不够明确，请用普通人能读懂的话解释双方各自要做什么。",
    "Summarise the following report in five points and keep every number exactly as it is written.",
    "The train leaves at half past seven, so we should have breakfast before six and pack tonight.",
    "Explain to a child of ten why the sky is blue in the morning and red in the evening.",
    "Our team has moved the release to Thursday because two tests still fail on older machines.",
)
_ANSWER = (
    "好的，下面是整理之后的内容。第一，本周完成了接口的联调，负责人是小李，周五之前交付文档。"
    "第二，测试环境已经换成新的机器，旧机器保留到月底。第三，下周一上午开会讨论预算，请大家提前准备材料。"
    "Everything else stays as planned: the review is on Tuesday, the release on Thursday, the notes go out on Friday. "
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the subject's token and the JSON body."""

    token: str
    body: bytes


def completion() -> bytes:
    """The model's plain answer, a chat completion of about 1.2 KB."""
    document = {
        "id": "chatcmpl-bench0000000000000000000000",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _ANSWER * 2, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 612, "completion_tokens": 240, "total_tokens": 852},
        "system_fingerprint": "fp_bench",
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def prompts() -> list[str]:
    """The prompts, each about 2 KB of mixed Chinese and English."""
    made = []
    for number in range(PROMPTS):
        chance = random.Random(number)
        text = ""
        while len(text.encode()) < PROMPT_BYTES:
            text += chance.choice(_SENTENCES)
        made.append(text)
    return made


def terms(count: int) -> list[str]:
    """So many different terms, four of five Chinese, none of which occurs in what the benchmark says."""
    chance = random.Random(31)
    said = "".join(prompts()) + _ANSWER
    made: dict[str, None] = {}
    while len(made) < count:
        if chance.random() < 0.8:
            # The common characters of GB 2312, level one: real term lists share characters with real prompts.
            codes = [
                bytes((chance.randrange(0xB0, 0xD7), chance.randrange(0xA1, 0xFA))) for _ in range(chance.randint(2, 6))
            ]
            term = b"".join(codes).decode("gb2312")
        else:
            term = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(8, 12)))
        if term not in said:
            made[term] = None
    return list(made)


def term_file(count: int) -> str:
    """The same as a term file: term, tab, class."""
    return "".join(f"{term}\t{CLASSES[at % len(CLASSES)]}\n" for at, term in enumerate(terms(count)))


def signed(claims: Mapping[str, Any], secret: str) -> str:
    """A JWT with HS256 (RFC 7519)."""
    head = {"alg": "HS256", "typ": "JWT"}
    parts = [_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims)]
    signature = hmac.new(secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join((*parts, _base64url(signature)))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def requests(*, stream: bool, secret: str, now_s: float) -> list[Request]:
    """One request for each subject. The same go to every lane; those who do not ask who it is ignore the token."""
    texts = prompts()
    made = []
    for number in range(SUBJECTS):
        is_minor = number % MINORS_EVERY == MINORS_EVERY - 1
        claims = {
            "sub": f"bench-{number}",
            "age_band": "16-17" if is_minor else "18+",
            "minor_mode": is_minor,
            "verified": True,
            "tz": noon_zone(now_s) if is_minor else "Asia/Shanghai",
            "iat": int(now_s),
            "exp": int(now_s) + 86_400,
        }
        model = "bench-paced" if stream else "bench-plain"
        system = {"role": "system", "content": "You are a helpful assistant. 请如实回答。"}
        body: dict[str, Any] = {
            "model": model,
            "messages": [system, {"role": "user", "content": texts[number % PROMPTS]}],
        }
        if stream:
            body["stream"] = True
        made.append(Request(signed(claims, secret), json.dumps(body, ensure_ascii=False).encode()))
    return made


def noon_zone(now_s: float) -> str:
    """The time zone in which it is between 12 and 13 o'clock (its sign is the other way round, as POSIX has it)."""
    ahead = 12 - time.gmtime(now_s).tm_hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def write(file: Path, made: list[Request]) -> None:
    """The requests as the load generators read them: a line each, token, tab, body."""
    file.write_bytes(b"".join(request.token.encode() + b"\t" + request.body + b"\n" for request in made))


def read(file: Path) -> list[Request]:
    """What `write` wrote."""
    lines = (line.partition(b"\t") for line in file.read_bytes().splitlines())
    return [Request(token.decode(), body) for token, _, body in lines]
