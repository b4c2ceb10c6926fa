# SPDX-License-Identifier: Apache-2.0
"""Tests settings beyond their types: whether the service could do its duties with them.

An error keeps `serve` from starting; a warning is for the operator to read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from audit_log.errors import AuditError
from content_filter import FilterError, Outcome, TermSet
from content_filter import Verdict as Judgement
from gateway import policies
from gateway.filters import band_rules, classifier, context_matcher, guard_model, picture_checks, term_paths
from gateway.house import link_hosts, producer, text_labels
from gateway.label_files import ChainFiles, day_of, file_labels
from gateway.master_key import key_source
from gateway.policies import Kind, PolicyError
from gateway.proxy_identity import networks
from gateway.public.document import unstated
from gateway.retention import retention_of
from gateway.settings import SERVICE_NAME, Service, Settings, SettingsError, secret


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend or to know. `text` says the fact and the next step."""

    level: Literal["error", "warning"]
    key: str
    text: str


def findings(settings: Settings) -> list[Finding]:
    """What is wrong with `settings`, errors first."""
    found = [*_errors(settings), *_warnings(settings)]
    return sorted(found, key=lambda item: item.level)


def completeness(settings: Settings) -> list[Finding]:
    """What the policy asks the provider to publish and nobody wrote: an error where a law asks, else a warning.

    For `config check` alone. The service starts without: its pages then say what is not stated. The sample service is
    nobody's, so nothing is asked of it.
    """
    if settings.upstream.url == "sample":
        return []
    try:
        policy = policies.load(settings.policy.use)
    except PolicyError:  # said among the errors
        return []
    service, sample = settings.service, Service()
    found = [
        _missing(policy, "disclosure.before_first_use", key, f"still the sample's; write your own into {SERVICE_NAME}")
        for key in ("name", "provider")
        if getattr(service, key) in ("", getattr(sample, key))
    ]
    missing = set(unstated(settings, policy))
    for entry, words in (
        ("disclosure.items", "empty, and people must be told before they use the service"),
        ("disclosure.further_items", "empty, and people are to be told"),
    ):
        for name in policy.texts(entry):
            if name in missing:
                found.append(_missing(policy, entry, _KEYS.get(name, name), words))
    if policy.flag("disclosure.third_party_model") and not service.third_party_model:
        words = 'empty: name the third party\'s model in use, or write "none"'
        found.append(_missing(policy, "disclosure.third_party_model", "third_party_model", words))
    has_people = bool(settings.identity.jwt.secret_env or settings.identity.jwt.jwks_url)
    if has_people and policy.flag("agreement.before_first_use") and not service.agreement_version:
        words = "empty: name the version that people accept, unless they accept it in your app, with proof there"
        missing_version = _missing(policy, "agreement.before_first_use", "agreement_version", words)
        found.append(replace(missing_version, level="warning"))
    return sorted(found, key=lambda item: item.level)


_KEYS = {"registration": "filing_number"}
"""Items whose key has another name; a licence number will do as well."""


def _missing(policy: policies.Policy, entry_key: str, key: str, words: str) -> Finding:
    entry = policy.entry(entry_key)
    asked_by = f"{entry.article}; policy {entry_key}" if entry.article else f"policy {entry_key}"
    return Finding("error" if entry.kind is Kind.LAW else "warning", f"service.{key}", f"{words} ({asked_by})")


def _errors(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    try:
        policy = policies.load(settings.policy.use)
    except PolicyError as error:
        return [Finding("error", "policy.use", str(error))]
    try:
        producer(settings)
        text_labels(settings, policy)
    except SettingsError as error:
        found.append(Finding("error", "service", str(error)))
    found += _audit(settings, policy)
    identity = settings.identity
    if not (identity.jwt.secret_env or identity.jwt.jwks_url or identity.proxy.secret_env):
        gated = {
            "service.agreement_version": bool(settings.service.agreement_version),
            "identity.require_verified": identity.require_verified == "always",
        }
        for gate, is_set in gated.items():
            if is_set:
                text = "set, and nothing says who people are: everybody would be refused; set identity.jwt or .proxy"
                found.append(Finding("error", gate, text))
    with contextlib.suppress(SettingsError):  # a wrong producer was said above
        found += _file_labels(settings, policy, producer(settings))
    try:
        link_hosts(settings, settings.upstream.url)
    except SettingsError as error:
        found.append(Finding("error", "label.link_hosts", str(error).removeprefix("label.link_hosts: ")))
    found += _filter(settings)
    try:
        networks(settings.identity.proxy.peers)
    except SettingsError as error:
        found.append(Finding("error", "identity.proxy.peers", str(error).removeprefix("identity.proxy.peers: ")))
    for variable, key in (
        (settings.identity.jwt.secret_env, "identity.jwt.secret_env"),
        (settings.identity.proxy.secret_env, "identity.proxy.secret_env"),
        (settings.upstream.api_key_env, "upstream.api_key_env"),
    ):
        if variable:
            try:
                secret(variable, key)
            except SettingsError as error:
                found.append(Finding("error", key, str(error).removeprefix(f"{key}: ")))
    return found


def _audit(settings: Settings, policy: policies.Policy) -> list[Finding]:
    """What the log could not be kept by: retention below the law's, a key that cannot be had."""
    found = []
    try:
        retention_of(policy, settings.audit)
    except SettingsError as error:
        key, _, text = str(error).partition(": ")
        found.append(Finding("error", key, text))
    read_key = key_source(settings.audit.master_key)
    if read_key is not None:
        try:
            read_key()
        except AuditError as error:
            found.append(Finding("error", "audit.master_key", str(error)))
    return found


def _filter(settings: Settings) -> list[Finding]:
    """What keeps the filter from being built."""
    chosen = settings.content_filter
    found = []
    parts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("terms", lambda: TermSet.load(term_paths(settings))),
        ("context_terms", lambda: context_matcher(settings)),
        ("classifier.weights", lambda: classifier(settings)),
        ("pictures", lambda: picture_checks(settings, lambda text, role: Judgement(Outcome.PASS, role))),
    )
    for name, read in parts:
        try:
            read()
        except (FilterError, OSError) as error:
            found.append(Finding("error", f"content_filter.{name}", str(error)))
    for make in (lambda: band_rules(chosen.classifier), lambda: guard_model(chosen.guard_model, time.monotonic)):
        try:
            make()
        except SettingsError as error:
            key, _, text = str(error).partition(": ")
            found.append(Finding("error", key, text))
    return found


def _file_labels(settings: Settings, policy: policies.Policy, producer_name: str) -> list[Finding]:
    found = []
    try:
        file_labels(settings, policy, producer_name)
    except SettingsError as error:
        key, _, text = str(error).partition(": ")
        found.append(Finding("error", key, text))
    except OSError as error:
        found.append(Finding("error", "label.voice_clip", f"cannot be read: {error.strerror}"))
    chain = ChainFiles.of(settings.home / "keys")
    if chain.missing:
        names = ", ".join(path.name for path in chain.missing)
        found.append(Finding("error", "keys", f"{names} missing beside the rest of the C2PA chain; restore it"))
        return found
    try:
        ends_at = chain.expires_at()
    except SettingsError as error:
        return [*found, Finding("error", "keys", str(error))]
    if ends_at is not None and ends_at - time.time() < _RENEW_BEFORE_S:
        text = f"the C2PA certificate ends on {day_of(ends_at)}; after it no picture and no sound leaves: renew it"
        found.append(Finding("warning", "keys", text))
    return found


_RENEW_BEFORE_S = 30 * 86_400


def _warnings(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    is_real = settings.upstream.url != "sample"
    if is_real and not settings.service.provider_code:
        text = "not set: labels name the provider by its name; set the 27-character code once you have one"
        found.append(Finding("warning", "service.provider_code", text))
    if is_real and not settings.content_filter.terms:
        found.append(Finding("warning", "content_filter.terms", "empty: no prompt and no answer is checked for terms"))
    if is_real and not settings.service.contact:
        found.append(Finding("warning", "service.contact", "empty: people find the complaint page only"))
    jwt = settings.identity.jwt
    if not jwt.secret_env and not jwt.jwks_url and not settings.identity.proxy.secret_env:
        found.append(
            Finding("warning", "identity.jwt", "no key source: everybody is anonymous, and minors are not recognised")
        )
    has_login = settings.identity.required or settings.identity.api_keys == "require"
    if settings.upstream.api_key_env and not has_login:
        text = (
            "set, and neither identity.required nor identity.api_keys asks for a login: whoever reaches this listener "
            "uses your key"
        )
        found.append(Finding("warning", "upstream.api_key_env", text))
    if is_real and settings.identity.api_keys == "require" and not settings.upstream.api_key_env:
        text = "empty, and identity.api_keys is require: such keys do not go on, so the model gets none"
        found.append(Finding("warning", "upstream.api_key_env", text))
    audit = settings.audit
    if audit.bodies != "none" and not audit.keep_body_days:
        text = f"0, and audit.bodies is {audit.bodies}: what people wrote is kept for ever; set how long you need it"
        found.append(Finding("warning", "audit.keep_body_days", text))
    if bool(audit.keep_days) != bool(audit.keep_risk_days):
        text = "only one of audit.keep_days and audit.keep_risk_days is set: nothing is dropped until both are"
        found.append(Finding("warning", "audit.keep_days", text))
    if settings.disclosure.mode == "acknowledge" and not settings.server.public_url:
        found.append(Finding("warning", "server.public_url", "empty: links in acknowledgement refusals are relative"))
    if is_real and settings.label.links == "relabel" and not settings.server.public_url:
        text = "empty: labelled files behind links get addresses with http and the client's own Host"
        found.append(Finding("warning", "server.public_url", text))
    if settings.upstream.url.startswith("http://") and "127.0.0.1" not in settings.upstream.url:
        found.append(Finding("warning", "upstream.url", "not https: prompts travel in clear"))
    return found
