# SPDX-License-Identifier: Apache-2.0
"""Tests settings beyond their types: whether the service could do its duties with them.

An error keeps `serve` from starting; a warning is for the operator to read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from audit_log.errors import AuditError
from content_filter import FilterError, Outcome, TermSet
from content_filter import Verdict as Judgement
from gateway import policies
from gateway.filters import band_rules, classifier, context_matcher, guard_model, picture_checks, term_paths
from gateway.house import link_hosts, producer, text_labels
from gateway.label_files import ChainFiles, day_of, file_labels
from gateway.master_key import key_source
from gateway.policies import PolicyError
from gateway.public.document import unstated
from gateway.retention import retention_of
from gateway.settings import Settings, SettingsError, secret


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
    with contextlib.suppress(SettingsError):  # a wrong producer was said above
        found += _file_labels(settings, policy, producer(settings))
    try:
        link_hosts(settings, settings.upstream.url)
    except SettingsError as error:
        found.append(Finding("error", "label.link_hosts", str(error).removeprefix("label.link_hosts: ")))
    found += _filter(settings)
    for variable, key in (
        (settings.identity.jwt.secret_env, "identity.jwt.secret_env"),
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
    with contextlib.suppress(PolicyError):  # said among the errors
        for name in unstated(settings, policies.load(settings.policy.use)) if is_real else ():
            found.append(Finding("warning", "service", f"{name} is not stated, and the policy asks you to publish it"))
    if is_real and not settings.service.provider_code:
        text = "not set: labels name the provider by its name; set the 27-character code once you have one"
        found.append(Finding("warning", "service.provider_code", text))
    if is_real and not settings.content_filter.terms:
        found.append(Finding("warning", "content_filter.terms", "empty: no prompt and no answer is checked for terms"))
    if is_real and not settings.service.contact:
        found.append(Finding("warning", "service.contact", "empty: people find the complaint page only"))
    jwt = settings.identity.jwt
    if not jwt.secret_env and not jwt.jwks_url:
        found.append(
            Finding("warning", "identity.jwt", "no key source: everybody is anonymous, and minors are not recognised")
        )
    if settings.upstream.api_key_env and not settings.identity.required:
        text = "set, and identity.required is not: whoever reaches this listener uses your key; put a login before it"
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
