# SPDX-License-Identifier: Apache-2.0
"""Tests settings beyond their types: whether the service could do its duties with them.

An error keeps `serve` from starting; a warning is for the operator to read.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Literal

from content_filter import FilterError, TermSet
from gateway import policies
from gateway.house import producer, term_paths, text_labels
from gateway.label_files import ChainFiles, day_of, file_labels
from gateway.policies import PolicyError
from gateway.public.document import unstated
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
    with contextlib.suppress(SettingsError):  # a wrong producer was said above
        found += _file_labels(settings, policy, producer(settings))
    try:
        TermSet.load(term_paths(settings))
    except (FilterError, OSError) as error:
        found.append(Finding("error", "content_filter.terms", str(error)))
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
    if settings.disclosure.mode == "acknowledge" and not settings.server.public_url:
        found.append(Finding("warning", "server.public_url", "empty: links in acknowledgement refusals are relative"))
    if settings.upstream.url.startswith("http://") and "127.0.0.1" not in settings.upstream.url:
        found.append(Finding("warning", "upstream.url", "not https: prompts travel in clear"))
    return found
