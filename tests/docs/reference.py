# SPDX-License-Identifier: Apache-2.0
"""Writes the generated parts of the documents: the settings, the pipeline, the wires, the metrics, the policies.

A generated part stands between `<!-- name -->` and `<!-- /name -->`; the rest of a document is written by people.
`python -m tests.docs.reference` brings every part up to date; a test fails while one is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway import pipeline, policies
from gateway.metrics import FAMILIES, Kind
from gateway.settings import Settings
from gateway.wires import ROUTES

ROOT = Path(__file__).resolve().parents[2]
INTERNAL = ("base_dir", "home")
"""Members of the settings that no file and no variable sets."""

MEANINGS: Mapping[str, tuple[str, str]] = {
    "service.name": ("The service's name, as people read it", "服务名称，面向公众显示"),
    "service.provider": ("The provider's name", "提供者名称"),
    "service.provider_code": (
        "The 27 characters of the provider code that labels carry; your own, checked and never made up. "
        "Empty: labels carry the provider's name",
        "标识中的服务提供者编码（27 位）；须为自有编码，只校验、不编造。留空则标识写提供者名称",
    ),
    "service.url": ("The service's site, linked from the about page", "服务网址，显示在说明页"),
    "service.purpose": ("What the service is for (Chinese)", "用途（中文）"),
    "service.purpose_en": ("What the service is for (English)", "用途（英文）"),
    "service.audience": ("Whom it is for (Chinese)", "适用人群（中文）"),
    "service.audience_en": ("Whom it is for (English)", "适用人群（英文）"),
    "service.occasions": ("On which occasions (Chinese)", "适用场合（中文）"),
    "service.occasions_en": ("On which occasions (English)", "适用场合（英文）"),
    "service.mechanism": ("How it works, in plain words (Chinese)", "工作原理与机制（中文）"),
    "service.mechanism_en": ("How it works, in plain words (English)", "工作原理与机制（英文）"),
    "service.model": ("The model's name, as it is published", "公示的模型名称"),
    "service.third_party_model": ("A third party's model in use, if any", "所用第三方模型（如有）"),
    "service.filing_number": ("Filing number", "备案编号"),
    "service.licence_number": ("Licence number", "许可编号"),
    "service.contact": ("How people reach the provider", "联系方式"),
    "service.agreement_url": ("The service agreement", "服务协议网址"),
    "service.rights": ("Rights that you add to those of the law (Chinese)", "在法定权利之外补充的权利（中文）"),
    "service.rights_en": ("Rights that you add to those of the law (English)", "在法定权利之外补充的权利（英文）"),
    "policy.use": ("Policies in force; of several, the strictest number applies", "适用的策略；多个策略取最严的数值"),
    "upstream.url": (
        'Origin of the model API, with or without `/v1`; `"sample"` is the built-in model',
        '模型接口的地址，可带或不带 `/v1`；`"sample"` 为自带示例模型',
    ),
    "upstream.api_key_env": (
        "Environment variable with the key for the model. Empty: the client's own key is passed on",
        "存放模型密钥的环境变量名。留空则透传客户端自己的密钥",
    ),
    "upstream.connect_timeout_s": ("Longest time to connect", "连接超时"),
    "upstream.first_byte_timeout_s": ("Longest wait for the answer's first byte", "等待首字节的最长时间"),
    "upstream.idle_timeout_s": ("Longest silence within an answer", "回答过程中允许的最长静默"),
    "upstream.max_connections": ("Connections to the model, for each worker", "每个工作进程到模型的连接数上限"),
    "upstream.ca_file": ("Certificates (PEM) to trust instead of the system's", "替代系统证书的信任证书（PEM）"),
    "disclosure.mode": (
        "`announce`: the notice stands at the head of the first answer. `acknowledge`: 428 with a link until the "
        "person acknowledged it. `interface`: your own interface tells people, nothing in-band",
        "`announce`：首个回答开头给出提示；`acknowledge`：确认之前返回 428 与确认链接；"
        "`interface`：由您自己的界面告知，回答中不加提示",
    ),
    "disclosure.renew_after_days": (
        "Days after which a person is told again; 0: as long as the policy says",
        "多少天后再次告知；0 表示按策略",
    ),
    "identity.jwt.secret_env": ("Environment variable with the HS256 secret", "存放 HS256 密钥的环境变量名"),
    "identity.jwt.jwks_url": (
        "JWKS document with public keys, instead of a secret",
        "公钥 JWKS 文档地址（与密钥二选一）",
    ),
    "identity.jwt.jwks_cache_s": ("How long the JWKS document is kept", "JWKS 文档缓存时间"),
    "identity.jwt.issuer": ("`iss` that tokens must have; empty: any", "要求的 `iss`；留空不限"),
    "identity.jwt.audience": ("`aud` that tokens must have; empty: any", "要求的 `aud`；留空不限"),
    "identity.jwt.leeway_s": ("Allowance for clocks that differ", "允许的时钟误差"),
    "identity.required": ("Refuse requests without a token", "拒绝没有令牌的请求"),
    "identity.default_tz": (
        "Time zone of people whose token names none; days of complaints end in it",
        "令牌未注明时区者的时区；投诉期限也按此时区计算",
    ),
    "content_filter.terms": ("Term files, beside the configuration file", "词表文件，相对于配置文件所在目录"),
    "content_filter.check.url": (
        "Your service that judges texts in their context; empty: none",
        "结合上下文判断文本的自有服务地址；留空不启用",
    ),
    "content_filter.check.timeout_s": ("Longest wait for a verdict", "等待判断结果的最长时间"),
    "content_filter.check.release": (
        "When a stream's text leaves: `strict` after its verdict, `hold` with it or a bounded way behind, `concurrent` "
        "at once; an answer ends only after its last verdict",
        "流式文本何时放行：`strict` 判断后；`hold` 随判断放行，但滞后有上限；`concurrent` 立即放行。"
        "任何方式下，最后一个判断之后回答才结束",
    ),
    "content_filter.check.hold_chars": ("Most characters that `hold` keeps back", "`hold` 最多滞后的字符数"),
    "content_filter.check.hold_s": ("Longest time that `hold` keeps text back", "`hold` 最长滞后时间"),
    "minors.education": (
        "The service is for education: exempt from the daily minutes, not from the curfew",
        "教育类服务：免除每日时长限制，不免除宵禁",
    ),
    "minors.idle_gap_s": ("A longer pause ends a stretch of use and is not counted", "超过此时长的停顿不计入使用时间"),
    "label.position": (
        "Where the explicit label stands; `policy`: as the policy says",
        "显式标识的位置；`policy` 表示按策略",
    ),
    "label.image_words": (
        "Words of the visible label on pictures; must hold an AI element and a generation element",
        "图片显式标识的文字；须含人工智能要素与生成合成要素",
    ),
    "label.image_corner": ("Corner of the picture in which they stand", "图片显式标识所在的角"),
    "label.image_font": (
        "Font file for them, relative to the configuration file. Empty: an installed font, else our own outlines",
        "所用字体文件，相对于配置文件所在目录。留空则用系统字体，再无则用自带字形",
    ),
    "label.sound": (
        "`audible`: every sound carries its label audibly, and formats that cannot are refused. `interface`: your own "
        "interface says it all the time, sounds get hidden labels only",
        "`audible`：每段声音都带可听标识，无法写入的格式不予提供；`interface`：由您自己的界面持续提示，声音只写隐式标识",
    ),
    "label.voice_clip": (
        "Spoken label, a WAV file with 8- or 16-bit samples, relative to the configuration file. Empty: AI in Morse",
        "语音标识（8 或 16 位 WAV），相对于配置文件所在目录。留空则用“AI”的摩斯码节奏",
    ),
    "label.file_threads": ("Threads that label files, for each worker process", "每个工作进程中写文件标识的线程数"),
    "redis.url": (
        "Shared counters (`redis://`, `rediss://`, `unix://`). Empty: the file `state.db` of the data folder",
        "共享计数（`redis://`、`rediss://`、`unix://`）。留空则用数据目录中的 `state.db`",
    ),
    "redis.timeout_s": ("Longest time for one call to the counters", "单次计数操作的超时"),
    "audit.bodies": (
        "Which prompts and answers are kept, encrypted: none, those of refused, stopped or masked exchanges, or all",
        "加密留存哪些提示与回答：不留存、仅被拒绝/中止/遮盖的，或全部",
    ),
    "audit.max_pending": (
        "Records that may wait for the disk, for each worker; beyond it requests are refused",
        "每个工作进程可等待落盘的记录数，超出即拒绝请求",
    ),
    "limits.request_body_bytes": ("Largest request body", "请求体上限"),
    "limits.answer_body_bytes": ("Largest plain answer of the model", "模型非流式回答的上限"),
    "limits.event_bytes": ("Largest event of a stream", "流式回答单个事件的上限"),
    "limits.body_timeout_s": ("Longest time for a request body to arrive", "请求体到达的最长时间"),
    "limits.keep_alive_s": (
        "A stream that is silent for so long gets a line that means nothing, so that its connection stays open",
        "流式回答静默超过此时间时，发送无含义的保活内容",
    ),
    "server.host": ("Address of the public listener", "公共监听地址"),
    "server.port": ("Port of the public listener; 0: any free one", "公共监听端口；0 表示任意空闲端口"),
    "server.operator_host": ("Address of the operator listener", "运维监听地址"),
    "server.operator_port": ("Port of the operator listener; 0: any free one", "运维监听端口；0 表示任意空闲端口"),
    "server.workers": ("Worker processes", "工作进程数"),
    "server.public_url": (
        "Where the world reaches the public listener; links in notices and receipts begin with it",
        "公众访问本服务的地址，提示与回执中的链接以此开头",
    ),
    "logging.level": ("Least severe line that is logged", "日志级别"),
    "logging.format": ("`auto`: plain on a terminal, else JSON", "`auto`：终端上为文本，否则为 JSON"),
}
"""What each key means, in English and Chinese; a key that is missing here must describe itself in the schema."""


def main() -> None:
    """Bring every generated part of every document up to date."""
    for path in documents():
        old = path.read_text(encoding="utf-8")
        new = regenerated(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))
    for path, text in policy_pages().items():
        path.write_text(text, encoding="utf-8")


def documents() -> list[Path]:
    """Every document for people."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def regenerated(text: str) -> str:
    """`text` with its generated parts made anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + begin + make() + end + rest.partition(end)[2]
    return text


def policy_pages() -> dict[Path, str]:
    """The page of each policy."""
    return {
        ROOT / f"docs/policy-{name}.md": policies.duty_table(policies.load([name])) for name in policies.available()
    }


# The settings.


def settings() -> str:
    """A table for each section of the configuration file."""
    return "\n".join(_section(name, about, keys) for name, about, keys in _sections())


def setting_keys() -> list[str]:
    """Every key, as `section.key`."""
    return [f"{name}.{key}" for name, _, keys in _sections() for key in keys]


def meaning(key: str, schema: Mapping[str, Any]) -> tuple[str, str]:
    """What `key` means, in English and Chinese. Raises `KeyError` where nobody said."""
    if key in MEANINGS:
        return MEANINGS[key]
    if "description" in schema:
        return str(schema["description"]), ""
    raise KeyError(f"{key}: say what it means in tests/docs/reference.py")


def _sections() -> Iterator[tuple[str, str, dict[str, Any]]]:
    schema = Settings.model_json_schema()
    yield from _walk("", schema, schema["$defs"])


def _walk(prefix: str, table: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    keys: dict[str, Any] = {}
    below = []
    for name, item in table["properties"].items():
        if "$ref" in item:
            below.append((f"{prefix}{name}", defs[item["$ref"].rpartition("/")[2]]))
        elif prefix or name not in INTERNAL:
            keys[name] = item
    if keys:
        yield prefix.rstrip("."), " ".join(table.get("description", "").split()), keys
    for name, inner in below:
        yield from _walk(f"{name}.", inner, defs)


def _section(name: str, about: str, keys: Mapping[str, Any]) -> str:
    lines = [f"## [{name}]", "", about, "", "| key | value | default | meaning | 说明 |", "|---|---|---|---|---|"]
    for key, schema in keys.items():
        en, zh = meaning(f"{name}.{key}", schema)
        default = _literal(schema.get("default"))
        lines.append(f"| `{key}` | {_value(schema)} | `{default}` | {_cell(en)} | {_cell(zh)} |")
    return "\n".join(lines) + "\n"


def _value(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{item}`" for item in schema["enum"])
    if schema.get("type") == "array":
        return "list of texts"
    name = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}[schema["type"]]
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if low is None:
        return name
    above = "more than " if "exclusiveMinimum" in schema else ""
    return f"{name}, {above}{low} to {schema['maximum']}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return str(value)


# The wires and the metrics.

_PLACEHOLDER = re.compile(r"\[[^\]]*\](?:\{[0-9,]+\}|[+*])?|\((?:\?[:P][^)]*|[^)]*)\)(?:\{[0-9,]+\}|[+*?])?")


def wires() -> str:
    """The model APIs that are spoken, from the table that requests are matched with."""
    rows: dict[tuple[str, bool], list[str]] = {}
    for route in ROUTES:
        path = _PLACEHOLDER.sub("{…}", route.path).replace("\\", "") if route.is_pattern else route.path
        rows.setdefault((route.wire.name, route.wire.is_generative), []).append(f"`{route.method} {path}`")
    lines = ["| wire | address | answers |", "|---|---|---|"]
    for (name, is_generative), places in rows.items():
        kind = "a model's" if is_generative else "passed on, recorded"
        lines.append(f"| `{name}` | {'<br>'.join(dict.fromkeys(places))} | {kind} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric, from the registry."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in FAMILIES:
        kind = "gauge" if family.kind is Kind.WATCHED else family.kind.value
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.full_name}` | {kind} | {labels} | {_cell(family.help)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PARTS: Mapping[str, Callable[[], str]] = {
    "pipeline": pipeline.table,
    "settings": settings,
    "wires": wires,
    "metrics": metrics,
}

if __name__ == "__main__":
    main()
