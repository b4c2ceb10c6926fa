# SPDX-License-Identifier: Apache-2.0
"""The settings tree: `dutybound.toml` < environment `DUTYBOUND_...` < flags.

Unknown keys are errors. Only this module reads the environment. Numbers that come from a law are not here but in
`gateway/policies/*.toml`; what stands here are an operator's choices. Secrets are named by environment variable and
never written into the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

CONFIG_NAME = "dutybound.toml"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(ValueError):
    """The configuration cannot be used; the message names the key, what was expected and the next step."""


class Section(BaseModel):
    """A table of the file: frozen, and a key nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Service(Section):
    """Who provides the service and what people are told about it (Interim Measures articles 4(5), 10, 17, 23)."""

    name: str = "Dutybound sample service"
    provider: str = "Example provider"
    provider_code: str = ""
    url: str = ""
    purpose: str = ""
    purpose_en: str = ""
    audience: str = ""
    audience_en: str = ""
    occasions: str = ""
    occasions_en: str = ""
    mechanism: str = ""
    mechanism_en: str = ""
    model: str = ""
    third_party_model: str = ""
    filing_number: str = ""
    licence_number: str = ""
    contact: str = ""
    agreement_url: str = ""
    rights: str = ""
    rights_en: str = ""


class PolicyUse(Section):
    """Which jurisdictions' policies apply, strictest number first."""

    use: tuple[str, ...] = ("cn",)

    @field_validator("use")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('expected at least one policy, for example use = ["cn"]')
        return value


class Upstream(Section):
    """The model API behind the gateway. `url` is its origin, with or without a trailing `/v1`."""

    url: str = "sample"
    api_key_env: str = ""
    connect_timeout_s: Seconds = 5.0
    first_byte_timeout_s: Seconds = 120.0
    idle_timeout_s: Seconds = 60.0
    max_connections: Annotated[int, Field(ge=1, le=65_535)] = 1_000
    ca_file: str = ""

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value != "sample" and not value.startswith(("http://", "https://")):
            raise ValueError('expected "sample" or an http:// or https:// URL')
        return value.rstrip("/")


class Disclosure(Section):
    """How a person is told, before first use, that they talk to an AI (Model Law article 34)."""

    mode: Literal["announce", "acknowledge", "interface"] = "announce"
    renew_after_days: Annotated[int, Field(ge=0, le=3_650)] = 0


class Jwt(Section):
    """Who may say who a person is: a shared secret (HS256) or a JWKS document (asymmetric keys)."""

    secret_env: str = ""
    jwks_url: str = ""
    jwks_cache_s: Seconds = 300.0
    issuer: str = ""
    audience: str = ""
    leeway_s: Annotated[float, Field(ge=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _one_source(self) -> Jwt:
        if self.secret_env and self.jwks_url:
            raise ValueError("expected either secret_env or jwks_url, got both: one key source prevents key confusion")
        if self.jwks_url and not self.jwks_url.startswith(("http://", "https://", "file://")):
            raise ValueError("expected jwks_url to be an http, https or file URL")
        return self


class Identity(Section):
    """Who is asking. Without a key source every person is anonymous."""

    jwt: Jwt = Jwt()
    required: bool = False
    default_tz: str = "Asia/Shanghai"


class ContextCheckSettings(Section):
    """A service that judges texts in their context, and how answers wait for it.

    `release` is strict (text leaves after its verdict), hold (at most `hold_chars` characters or `hold_s` seconds
    behind), or concurrent (text leaves at once; a late verdict stops the answer and names what to take back).
    """

    url: str = ""
    timeout_s: Seconds = 5.0
    release: Literal["strict", "hold", "concurrent"] = "strict"
    hold_chars: Annotated[int, Field(ge=1, le=100_000)] = 200
    hold_s: Seconds = 1.0

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an http:// or https:// URL, or nothing")
        return value


class ContentFilterSettings(Section):
    """The term files, relative to the configuration file, and what people read when an answer is stopped."""

    terms: tuple[str, ...] = ()
    check: ContextCheckSettings = ContextCheckSettings()


class Minors(Section):
    """Minors' mode (numbers come from the policy)."""

    education: bool = False
    idle_gap_s: Seconds = 300.0


class Label(Section):
    """Explicit labels: where they stand in text, and how files show or sound them.

    `sound` is `audible` (the rhythm, or `voice_clip`, in every sound; formats that cannot hold it are refused) or
    `interface` (your own interface says beside the sound, all the time, that it is machine-made).
    """

    position: Literal["policy", "start", "end", "both"] = "policy"
    image_words: str = "AI生成"
    image_corner: Literal["bottom-right", "bottom-left", "top-right", "top-left"] = "bottom-right"
    image_font: str = ""
    sound: Literal["audible", "interface"] = "audible"
    voice_clip: str = ""
    file_threads: Annotated[int, Field(ge=1, le=64)] = 2


class Redis(Section):
    """Counters that replicas share. Empty: this machine's own."""

    url: str = ""
    timeout_s: Seconds = 1.0


class Audit(Section):
    """The log. `bodies` says which prompts and answers are kept, sealed: none, those of blocked exchanges, or all."""

    bodies: Literal["none", "blocked", "all"] = "none"
    max_pending: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000


class Limits(Section):
    """Bounds on what one client or one upstream may make us hold."""

    request_body_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 20 * 1024 * 1024
    answer_body_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 64 * 1024 * 1024
    event_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 16 * 1024 * 1024
    body_timeout_s: Seconds = 60.0
    keep_alive_s: Seconds = 15.0


class Server(Section):
    """Where the two listeners stand. They are never mixed."""

    host: str = "127.0.0.1"
    port: Port = 8080
    operator_host: str = "127.0.0.1"
    operator_port: Port = 9090
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    public_url: str = ""


class Logging(Section):
    """Operational logs: JSON, or plain lines on a terminal. They are not audit records."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class _Sources(BaseSettings):
    """Reads the file and the environment; `Settings` below is what the rest of the house sees."""

    model_config = SettingsConfigDict(
        env_prefix="DUTYBOUND_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    service: Service = Service()
    policy: PolicyUse = PolicyUse()
    upstream: Upstream = Upstream()
    disclosure: Disclosure = Disclosure()
    identity: Identity = Identity()
    content_filter: ContentFilterSettings = ContentFilterSettings()
    minors: Minors = Minors()
    label: Label = Label()
    redis: Redis = Redis()
    audit: Audit = Audit()
    limits: Limits = Limits()
    server: Server = Server()
    logging: Logging = Logging()


class Settings(_Sources):
    """The effective settings. `base_dir` is the folder of the configuration file: relative paths start there."""

    base_dir: Path = Path(".")
    home: Path = Path(".")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the environment, the environment over the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if _config_file is not None:
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=_config_file),)
        return sources


_config_file: Path | None = None
"""The file that `load` is reading: pydantic-settings asks for sources on the class, not on the call."""


def load(config: Path | None, home: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings from `config` (or `home`/dutybound.toml where that exists), the environment and `flags`.

    `flags` is a nested mapping like the file. Raises `SettingsError` naming every wrong key.
    """
    global _config_file
    path = config if config is not None else home / CONFIG_NAME
    if config is not None and not path.is_file():
        raise SettingsError(f"no configuration file at {path}; write one or run `dutybound init --home DIR`")
    unknown = _unknown_variables()
    if unknown:
        lines = "\n  ".join(f"{name}: unknown key" for name in unknown)
        raise SettingsError(f"configuration refused, in the environment:\n  {lines}")
    _config_file = path if path.is_file() else None
    base_dir = (path.parent if _config_file else home).resolve()
    try:
        return Settings(base_dir=base_dir, home=home.resolve(), **dict(flags or {}))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:  # tomllib and the environment's JSON both raise ValueError subclasses
        raise SettingsError(f"{path}: {error}") from None
    finally:
        _config_file = None


def _unknown_variables() -> list[str]:
    """Variables that look like settings and belong to no section; what is wrong inside a section is found with it."""
    prefix, delimiter = "DUTYBOUND_", "__"
    names = (name for name in os.environ if name.upper().startswith(prefix) and delimiter in name)
    return sorted(
        name for name in names if name[len(prefix) :].partition(delimiter)[0].lower() not in _Sources.model_fields
    )


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in item["loc"]) or "(file)"
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{key}: {message}")
    return "configuration refused:\n  " + "\n  ".join(lines)


def secret(variable: str, purpose: str) -> SecretStr:
    """The secret in environment variable `variable`. Raises `SettingsError` where it is missing or empty."""
    value = os.environ.get(variable, "")
    if not value:
        raise SettingsError(
            f"{purpose}: environment variable {variable} is not set; export it before `dutybound serve`"
        )
    return SecretStr(value)


def effective(settings: Settings) -> dict[str, Any]:
    """The effective tree for people, with credentials inside URLs masked."""
    tree: dict[str, Any] = settings.model_dump(mode="json")
    return {key: _masked(value) for key, value in tree.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, str):
        scheme, separator, rest = value.partition("://")
        if separator and "@" in rest:
            return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return value
