# SPDX-License-Identifier: Apache-2.0
"""The settings tree: `dutybound.toml` < environment `DUTYBOUND_...` < flags.

Unknown keys are errors. Only this module reads the environment. Numbers that come from a law are not here but in
`gateway/policies/*.toml`; what stands here are an operator's choices. Secrets are named by environment variable and
never written into the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_NAME = "dutybound.toml"
SERVICE_NAME = "service.toml"
"""What people are told about the service, where those who write it are not those who run it."""

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
    agreement_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
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
    notices: Literal["beside", "text"] = "beside"
    renew_after_days: Annotated[int, Field(ge=0, le=3_650)] = 0
    session_minutes: Annotated[int, Field(ge=0, le=10_080)] = 0


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


class IdentityProxy(Section):
    """A proxy that vouches for people by an HMAC over their claims. `peers` are its addresses or networks."""

    secret_env: str = ""
    peers: tuple[str, ...] = ()
    skew_s: Annotated[float, Field(ge=1, le=600)] = 30.0

    @model_validator(mode="after")
    def _complete(self) -> IdentityProxy:
        if bool(self.secret_env) != bool(self.peers):
            raise ValueError("expected secret_env and peers, or neither")
        return self


class IdentityClaims(Section):
    """How your claims are called, in tokens and in what a proxy says."""

    sub: str = "sub"
    age_band: str = "age_band"
    birth_year: str = "birth_year"
    minor_mode: str = "minor_mode"
    verified: str = "verified"
    tz: str = "tz"
    tenant: str = "tenant"

    @model_validator(mode="after")
    def _distinct(self) -> IdentityClaims:
        names = list(self.model_dump().values())
        if not all(names) or len(set(names)) != len(names):
            raise ValueError("expected another name for each claim")
        return self


class Identity(Section):
    """Who is asking. Without a key source every person is anonymous."""

    jwt: Jwt = Jwt()
    proxy: IdentityProxy = IdentityProxy()
    claims: IdentityClaims = IdentityClaims()
    required: bool = False
    api_keys: Literal["off", "accept", "require"] = "accept"
    require_verified: Literal["policy", "always", "never"] = "policy"
    default_tz: str = "Asia/Shanghai"


Meets = Literal["refuse", "flag", "pass"]
"""What is done about a finding: a prompt is refused or an answer stopped, it is noted, or nothing is done."""


class ClassifierSettings(Section):
    """The classifier that judges meaning. Its scores fall into three bands: pass, middle, block.

    `classes` holds exceptions for single classes, each as class, `prompt` or `answer`, band and what it meets, such as
    `"A5b answer middle pass"`. A middle band meets a guard model first, where one is set.
    """

    use: bool = True
    weights: str = ""
    second: Literal["auto", "off", "on"] = "auto"
    prompt_block: Meets = "refuse"
    prompt_middle: Meets = "flag"
    answer_block: Meets = "refuse"
    answer_middle: Meets = "flag"
    classes: tuple[str, ...] = ()
    trusted_roles: tuple[str, ...] = ()
    threads: Annotated[int, Field(ge=1, le=16)] = 1
    long_chars: Annotated[int, Field(ge=100, le=100_000)] = 1_000
    most_chars: Annotated[int, Field(ge=1_000, le=100_000_000)] = 1_000_000

    @field_validator("classes")
    @classmethod
    def _exceptions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            words = line.split()
            if (
                len(words) != 4
                or words[1] not in ("prompt", "answer")
                or words[2] not in ("middle", "block")
                or words[3] not in ("refuse", "flag", "pass")
            ):
                raise ValueError('expected entries such as "A5b answer middle pass"')
        return value


class GuardModelSettings(Section):
    """A guard model or moderation service, asked for a second opinion.

    `ask` is `middle` (for what the classifier leaves open) or `all`. `when_unavailable` is `refuse`, `flag` or what the
    policy says. `template`, `pattern`, `outcomes`, `labels` and `default_class` are for the kind `chat_template`.
    """

    kind: Literal["", "qwen3guard", "llama_guard", "shieldgemma", "openai_moderation", "chat_template", "http"] = ""
    url: str = ""
    model: str = ""
    api_key_env: str = ""
    timeout_s: Seconds = 5.0
    ask: Literal["middle", "all"] = "middle"
    when_unavailable: Literal["policy", "refuse", "flag"] = "policy"
    strict: bool = False
    template: str = ""
    pattern: str = ""
    outcomes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    default_class: str = "A1h"
    breaker_failures: Annotated[int, Field(ge=1, le=1_000)] = 5
    breaker_rest_s: Seconds = 30.0
    cache_s: Annotated[float, Field(ge=0, le=86_400)] = 3_600.0
    cache_entries: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000

    @model_validator(mode="after")
    def _reachable(self) -> GuardModelSettings:
        if self.kind and not self.url.startswith(("http://", "https://")):
            raise ValueError("expected url to be an http:// or https:// URL, because kind is set")
        if self.url and not self.kind:
            raise ValueError("expected kind, because url is set")
        for line in (*self.outcomes, *self.labels):
            if not all(part.strip() for part in line.partition("=")):
                raise ValueError('expected outcomes such as "unsafe=block" and labels such as "violence=A1f"')
        return self


class PersonalDataSettings(Section):
    """Personal data in prompts and answers. `mask` puts `*` in place of each character."""

    kinds: tuple[Literal["id_card", "mobile", "bank_card", "passport", "email", "address"], ...] = (
        "id_card", "mobile", "bank_card", "passport", "email", "address",
    )  # fmt: skip
    prompt: Literal["pass", "flag", "mask", "refuse"] = "pass"
    answer: Literal["pass", "flag", "mask", "refuse"] = "pass"


class PictureCheckSettings(Section):
    """Checks of pictures in prompts and plain answers: known ones by perceptual hash, an ONNX model, words in them.

    `model_classes` names the class of each of the model's outputs, `-` for a harmless one. `plugins` are checks of your
    own, as `module:name`. `links` says what becomes of pictures in prompts that are only an address: nobody here can
    look at them.
    """

    hashes: tuple[str, ...] = ()
    hash_radius: Annotated[int, Field(ge=0, le=16)] = 6
    model: str = ""
    model_classes: tuple[str, ...] = ()
    model_block_bp: Annotated[int, Field(ge=1, le=10_000)] = 8_000
    model_flag_bp: Annotated[int, Field(ge=1, le=10_000)] = 5_000
    words: Literal["", "rapidocr", "pytesseract"] = ""
    plugins: tuple[str, ...] = ()
    links: Literal["pass", "refuse"] = "pass"
    prompt: Literal["refuse", "flag"] = "refuse"
    answer: Literal["refuse", "flag"] = "refuse"
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    timeout_s: Seconds = 10.0
    most_pixels: Annotated[int, Field(ge=10_000, le=1_000_000_000)] = 50_000_000
    most_pictures: Annotated[int, Field(ge=1, le=1_000)] = 50

    @field_validator("plugins")
    @classmethod
    def _places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(module and name for module, _, name in (place.partition(":") for place in value)):
            raise ValueError('expected places such as "package.module:name"')
        return value


class ContentFilterSettings(Section):
    """What judges texts: term files, relative to the configuration file, and how answers wait for checks.

    `release` is hold (text leaves as soon as the checks that need no waiting have looked at it, at most `hold_s`
    seconds or `hold_chars` characters behind), strict (a sentence leaves after its verdict), or concurrent (text leaves
    at once; a late verdict stops the answer and names what to take back).
    """

    terms: tuple[str, ...] = ()
    context_terms: tuple[str, ...] = ()
    own_terms: bool = True
    release: Literal["strict", "hold", "concurrent"] = "hold"
    hold_chars: Annotated[int, Field(ge=1, le=100_000)] = 200
    hold_s: Seconds = 0.1
    classifier: ClassifierSettings = ClassifierSettings()
    guard_model: GuardModelSettings = GuardModelSettings()
    personal: PersonalDataSettings = PersonalDataSettings()
    pictures: PictureCheckSettings = PictureCheckSettings()


class Minors(Section):
    """Minors' mode (numbers come from the policy).

    `strict_classes` are classes of which a minor's exchange passes nothing that a check of meaning would only note.
    `consent` and `suspect` say where a guardian's consent is asked for and where signs in what people write count:
    `companion` means in services of sustained emotional interaction only.
    """

    education: bool = False
    idle_gap_s: Seconds = 300.0
    consent: Literal["companion", "always", "off"] = "companion"
    suspect: Literal["companion", "always", "off"] = "companion"
    strict_classes: tuple[str, ...] = ("A1d", "A1f", "A4a")


class Companion(Section):
    """Services of sustained emotional interaction (Order 21, SB 243, GBL article 47).

    `is_companion` says that this is one; its reminders, exit words and crisis protocol hold then. `crisis` may switch
    the crisis protocol on for any other service.
    """

    is_companion: bool = False
    crisis: Literal["companion", "always"] = "companion"


class Label(Section):
    """Explicit labels: where they stand in text, and how files show or sound them.

    `sound` is `audible` (the rhythm, or `voice_clip`, in every sound; formats that cannot hold it are refused) or
    `interface` (your own interface says beside the sound, all the time, that it is machine-made).

    `watermark` is the invisible mark of pictures: `on` where the picture can hold one, `required` refuses those that
    cannot. `watermark_method` is `waves`, or what an installed package offers. `fingerprints` says of what a hash is
    kept, by which a copy without labels is found again: everything, pictures and sounds, or nothing.

    `links` says what becomes of media that an answer names by an address: `relabel` fetches them from the upstream's
    own origin and from `link_hosts`, labels them and serves them for `link_keep_s`; `refuse` lets none out.
    """

    position: Literal["policy", "start", "end", "both"] = "policy"
    image_words: str = "AI生成"
    image_corner: Literal["bottom-right", "bottom-left", "top-right", "top-left"] = "bottom-right"
    image_font: str = ""
    sound: Literal["audible", "interface"] = "audible"
    voice_clip: str = ""
    file_threads: Annotated[int, Field(ge=1, le=64)] = 2
    signer: Annotated[str, Field(pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$")] = ""
    timestamp_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    text_manifest: bool = False
    films: Literal["label", "refuse"] = "label"
    film_most_s: Annotated[float, Field(ge=1, le=14_400)] = 600.0
    film_timeout_s: Seconds = 600.0
    links: Literal["relabel", "refuse"] = "relabel"
    link_hosts: tuple[str, ...] = ()
    link_timeout_s: Seconds = 60.0
    link_keep_s: Annotated[float, Field(ge=60, le=2_592_000)] = 86_400.0
    link_store_bytes: Annotated[int, Field(ge=1_048_576, le=1_099_511_627_776)] = 10 * 1024**3
    watermark: Literal["on", "required", "off"] = "on"
    watermark_method: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = "waves"
    fingerprints: Literal["all", "media", "off"] = "all"
    fingerprint_days: Annotated[int, Field(ge=0, le=36_525)] = 0


class Redis(Section):
    """Counters that replicas share. Empty: this machine's own."""

    url: str = ""
    timeout_s: Seconds = 1.0


class OrdersSettings(Section):
    """Pauses, measures against people and other orders that every process follows.

    `poll_s` bounds how long a process may not know of a change, `stale_after_s` how long it may go by what it knows.
    """

    poll_s: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    stale_after_s: Annotated[float, Field(ge=1, le=600)] = 10.0


class IncidentSettings(Section):
    """Incidents. `operator_kind` says which law's clock runs: of an ordinary operator, one of critical infrastructure,
    or a central state organ."""

    operator_kind: Literal["ordinary", "critical", "state_organ"] = "ordinary"


class DeliverySettings(Section):
    """Where reports about incidents are sent: a webhook, a mailbox, or both."""

    webhook_url: str = ""
    webhook_secret_env: str = ""
    mail_host: str = ""
    mail_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    mail_tls: Literal["starttls", "tls", "none"] = "starttls"
    mail_user: str = ""
    mail_password_env: str = ""
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    give_up_after_h: Annotated[float, Field(gt=0, le=8_760)] = 72.0

    @field_validator("webhook_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an http:// or https:// URL, or nothing")
        return value


class MeasuresSettings(Section):
    """The ladder of measures against people (numbers come from the policy).

    `automatic_up_to` is the highest step that the gateway takes by itself; people take every step.
    """

    automatic_up_to: Literal["none", "warn", "restrict", "suspend", "terminate"] = "suspend"
    count: Literal["prompts", "both"] = "both"


class Audit(Section):
    """The log: where it lies, what it keeps, for how long, and who may read what is sealed.

    `bodies` says which prompts and answers are kept, sealed: none, those of blocked exchanges, a sample, or all.
    `master_key` is `file`, `env:NAME` or `hook:MODULE:FUNCTION` (see docs/audit.md). Days of 0: no limit of that kind.
    """

    url: str = ""
    schema_name: str = "dutybound_audit"
    spool_mb: Annotated[int, Field(ge=0, le=1_048_576)] = 64
    spool_s: Seconds = 300.0
    max_pending: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    bodies: Literal["none", "blocked", "sampled", "all"] = "none"
    sample_bp: Annotated[int, Field(ge=1, le=10_000)] = 100
    master_key: str = "file"
    two_person_reading: bool = True
    reading_hours: Annotated[int, Field(ge=1, le=8_760)] = 24
    keep_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    keep_risk_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    keep_body_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    hold_body_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    delete_after_days: Annotated[int, Field(ge=0, le=365)] = 7
    disk_free_min_mb: Annotated[int, Field(ge=0, le=1_073_741_824)] = 1_024
    census_every_s: Seconds = 3_600.0

    @field_validator("url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("expected a postgresql:// URL, or nothing for a log in the data folder")
        return value

    @field_validator("master_key")
    @classmethod
    def _known_source(cls, value: str) -> str:
        kind, _, rest = value.partition(":")
        module, _, function = rest.partition(":")
        if not (value == "file" or (kind == "env" and rest) or (kind == "hook" and module and function)):
            raise ValueError('expected "file", "env:NAME" or "hook:MODULE:FUNCTION"')
        return value


class Timestamps(Section):
    """Time-stamps of the log's checkpoints by an outside authority (RFC 3161). Without `url`: none."""

    url: str = ""
    roots: str = ""
    every_h: Annotated[float, Field(gt=0, le=8_760)] = 24.0

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        return _http_url(value)


class Archive(Section):
    """Copies of the log's full segments in object storage with object lock (S3). Without `bucket`: none.

    Credentials come the way boto3 finds them. `lock_days` 0: as long as the longest minimum of the policy.
    """

    bucket: str = ""
    endpoint: str = ""
    region: str = ""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{0,200}$")] = ""
    lock: Literal["compliance", "governance"] = "compliance"
    lock_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    parquet: bool = False
    every_h: Annotated[float, Field(gt=0, le=8_760)] = 24.0

    @field_validator("endpoint")
    @classmethod
    def _http(cls, value: str) -> str:
        return _http_url(value)


class Siem(Section):
    """Where events go for a SIEM, in OCSF: a file of JSON lines, an HTTP address, or both."""

    file: str = ""
    url: str = ""
    token_env: str = ""
    every_s: Seconds = 5.0
    batch: Annotated[int, Field(ge=1, le=10_000)] = 500
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        return _http_url(value)


def _http_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("expected an http:// or https:// URL, or nothing")
    return value


class Limits(Section):
    """Bounds on what one client or one upstream may make us hold."""

    request_body_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 20 * 1024 * 1024
    answer_body_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 64 * 1024 * 1024
    event_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 16 * 1024 * 1024
    body_timeout_s: Seconds = 60.0
    keep_alive_s: Seconds = 15.0


class Realtime(Section):
    """Sessions over WebSocket. `sound` says when a model's sound leaves: once all of its words were let out (`whole`),
    or with the words that follow it (`follow`), for models that write before they speak."""

    sound: Literal["whole", "follow"] = "whole"
    input_sound: Literal["any", "transcribed"] = "any"
    origins: tuple[str, ...] = ()
    session_s: Seconds = 3_600.0


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
    companion: Companion = Companion()
    label: Label = Label()
    redis: Redis = Redis()
    orders: OrdersSettings = OrdersSettings()
    measures: MeasuresSettings = MeasuresSettings()
    incidents: IncidentSettings = IncidentSettings()
    delivery: DeliverySettings = DeliverySettings()
    audit: Audit = Audit()
    timestamps: Timestamps = Timestamps()
    archive: Archive = Archive()
    siem: Siem = Siem()
    limits: Limits = Limits()
    realtime: Realtime = Realtime()
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
        if _service_file is not None:
            sources += (InitSettingsSource(settings_cls, {"service": _table(_service_file)}),)
        if _config_file is not None:
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=_config_file),)
        return sources


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from None


_config_file: Path | None = None
"""The file that `load` is reading: pydantic-settings asks for sources on the class, not on the call."""
_service_file: Path | None = None
"""The same for what is told about the service, where that stands in a file of its own."""


def load(config: Path | None, home: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings from `config` (or `home`/dutybound.toml where that exists), the environment and `flags`.

    A file `service.toml` beside it has the keys of `[service]`, and wins over that table. `flags` is a nested mapping
    like the file. Raises `SettingsError` naming every wrong key.
    """
    global _config_file, _service_file
    path = config if config is not None else home / CONFIG_NAME
    if config is not None and not path.is_file():
        raise SettingsError(f"no configuration file at {path}; write one or run `dutybound init --home DIR`")
    unknown = _unknown_variables()
    if unknown:
        lines = "\n  ".join(f"{name}: unknown key" for name in unknown)
        raise SettingsError(f"configuration refused, in the environment:\n  {lines}")
    _config_file = path if path.is_file() else None
    base_dir = (path.parent if _config_file else home).resolve()
    service = base_dir / SERVICE_NAME
    _service_file = service if service.is_file() else None
    try:
        return Settings(base_dir=base_dir, home=home.resolve(), **dict(flags or {}))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:  # tomllib and the environment's JSON both raise ValueError subclasses
        raise SettingsError(f"{path}: {error}") from None
    finally:
        _config_file = _service_file = None


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
