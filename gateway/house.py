# SPDX-License-Identifier: Apache-2.0
"""Puts the rooms together: everything that one worker process serves with.

Made inside the worker's event loop and after any fork. What cannot be put together refuses to start; nothing is made
up for what is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import orjson

from audit_log import AuditLog, Entry, new_record_id
from complaints import CaseStore, ComplaintDesk
from content_filter import ContentFilter, FilterHandle, IncidentStore, TermSet
from content_filter.context import HttpCheck
from gateway import __version__, policies
from gateway import operator as operator_side
from gateway import public as public_side
from gateway.disclosure import Disclosure
from gateway.entropy import Entropy
from gateway.home import Home
from gateway.identity import Identifier
from gateway.judging import Judging, Release
from gateway.label_files import ChainFiles, file_labels
from gateway.label_grants import tells_of_content
from gateway.media_labels import MediaLabels
from gateway.metrics import Meters
from gateway.minors import MinorsDuty
from gateway.operator.tokens import TokenStore
from gateway.pipeline import WAY
from gateway.policies import Policy
from gateway.recording import Recorder
from gateway.settings import Settings, SettingsError, effective, secret
from gateway.state import open_state
from gateway.text_labels import TextLabels
from gateway.upstream import Upstream
from labeling import LabelError, ProviderCode, TextLabel
from labeling.aigc import AigcLabel
from labeling.text import holds_elements

_OWED_AFTER_S = 30.0
"""A fact that is younger may be on its way into the log right now."""


class House:
    """One worker's rooms. `close` gives everything back, the log last."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        *,
        worker: int = 0,
        upstream_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`upstream_url` overrides the settings' (the sample model gets its port late)."""
        self.settings = settings
        self.clock: Callable[[], float] = clock
        self.entropy = Entropy()
        self.policy = policy = policies.load(settings.policy.use)
        self.labels: TextLabels = text_labels(settings, policy)
        keys = home.path / "keys"
        files = file_labels(settings, policy, self.labels.producer, keys)
        self._c2pa_root_pem = ChainFiles.of(keys).root_pem()
        self.media: MediaLabels = MediaLabels(files, settings.label.file_threads, settings.limits.answer_body_bytes)
        self.filter: FilterHandle = FilterHandle(ContentFilter(TermSet.load(term_paths(settings))))
        check = settings.content_filter.check
        self.judging: Judging | None = None
        if check.url:
            service = HttpCheck(check.url, check.timeout_s)
            self.judging = Judging(service, Release(check.release), check.hold_chars, check.hold_s)
        jwt = settings.identity.jwt
        hs256 = (
            secret(jwt.secret_env, "identity.jwt.secret_env").get_secret_value().encode() if jwt.secret_env else None
        )
        self.identifier: Identifier = Identifier(settings.identity, home.key("pseudonym"), clock, hs256)
        upstream = settings.upstream.model_copy(update={"url": upstream_url}) if upstream_url else settings.upstream
        self.state = open_state(
            settings.redis.url,
            home.state if not settings.redis.url else None,
            settings.server.workers,
            settings.redis.timeout_s,
            clock,
        )
        self.disclosure: Disclosure = Disclosure(settings, policy, self.state, clock, home.key("disclosure"))
        self.minors: MinorsDuty = MinorsDuty(
            policy, self.state, clock, settings.minors.education, settings.minors.idle_gap_s
        )
        self.meters: Meters = Meters(home.metrics, version=__version__)
        for stage in WAY:  # an alert on the rate needs each series before its first error
            self.meters.duty_errors.inc(stage.key, stage.on_error.value, by=0.0)
        self.incidents = IncidentStore(home.incidents)
        self.cases = CaseStore.open(home.complaints)
        desk = public_side.desk_policy(policy, settings.identity.default_tz)
        self.desk = ComplaintDesk(self.cases, clock, desk, home.key("complaints"))
        self.tokens = TokenStore(home.tokens)
        self.log = AuditLog.open(
            home.audit,
            writer=f"gw-{worker}",
            clock=clock,
            max_pending=settings.audit.max_pending,
            boot={"version": __version__, "config": self._config_facts()},
        )
        self.recorder = Recorder(self.log, self.incidents, policy, settings.audit.bodies, clock, self.meters)
        self.upstream = Upstream(upstream)

    async def close(self) -> None:
        """Give everything back."""
        await self.upstream.close()
        await self.media.close()
        if self.judging is not None:
            await self.judging.check.close()
        await self.identifier.close()
        await self.state.close()
        await self.log.aclose()
        self.incidents.close()
        self.cases.close()
        self.meters.close()

    async def record(self, fields: Mapping[str, object]) -> str:
        """Append a record of our own (a notice, a complaint); gives its id once it is durable.

        A `subject` among the fields goes to the index beside the tree, never into the leaf.
        """
        record_id = new_record_id()
        subject = fields.get("subject")
        leaf = {key: value for key, value in fields.items() if key != "subject" and value is not None}
        name = subject if isinstance(subject, str) and subject else None
        await self.recorder.append(Entry({**leaf, "id": record_id}, subject=name))
        return record_id

    async def record_owed(self) -> int:
        """Append what the complaint desk still owes to the log, because the log was away; gives how many there were."""
        owed = await asyncio.to_thread(self.desk.unrecorded, 100, _OWED_AFTER_S)
        for fact in owed:
            await public_side.tell(self.desk, self.record, (fact,))
        return len(owed)

    async def reload_terms(self) -> None:
        """Read the term files anew; the change is recorded. Raises `FilterError` and keeps the old terms."""
        activation = await asyncio.to_thread(self.filter.reload, term_paths(self.settings))
        if activation.is_change:
            await self.record(
                {"type": "config", "event": "terms", "before": activation.before, "after": activation.after}
            )

    def checks(self) -> dict[str, bool]:
        """What must work before requests are taken, by name."""
        return {
            "settings": True,
            "terms": bool(self.filter.current.digest),
            "audit_log": self.log.problem is None,
        }

    def public(self) -> public_side.House:
        """What the public pages need."""
        return public_side.House(
            settings=self.settings,
            policy=self.policy,
            disclosure=self.disclosure,
            desk=self.desk,
            record=self.record,
            clock=self.clock,
            checks=self.checks,
            find_record=self.find_record,
            c2pa_root_pem=self._c2pa_root_pem,
        )

    async def find_record(self, record_id: str) -> float | None:
        """When the record of an answer, or of a file that went out, was made; None where there is no such record."""
        found = await asyncio.to_thread(self.log.get, record_id)
        if found is None or not tells_of_content(orjson.loads(found.leaf)):
            return None
        return found.row.row.t_us / 1_000_000

    def operator(self) -> operator_side.House:
        """What the operator listener needs."""
        return operator_side.House(
            settings=self.settings,
            policy=self.policy,
            log=self.log,
            desk=self.desk,
            incidents=self.incidents,
            tokens=self.tokens,
            meters=self.meters,
            record=self.record,
            clock=self.clock,
            pseudonym=self.identifier.pseudonym,
        )

    def _config_facts(self) -> dict[str, object]:
        """What was in force when this process began."""
        shown = orjson.dumps(effective(self.settings), option=orjson.OPT_SORT_KEYS)
        return {
            "settings": "sha256:" + hashlib.sha256(shown).hexdigest(),
            "policy": self.policy.digest,
            "terms": self.filter.current.digest,
            "notice": self.disclosure.notice.version,
        }


def term_paths(settings: Settings) -> list[Path]:
    """The term files, found beside the configuration file."""
    return [settings.base_dir / name for name in settings.content_filter.terms]


def producer(settings: Settings) -> str:
    """Who produced the content, for the seven-key object: the provider code, or the name where there is none.

    Annex E of GB 45438 allows either and wants plain ASCII; a name outside that is percent-encoded. Raises
    `SettingsError` for a code that is not one.
    """
    code = settings.service.provider_code
    if not code:
        return quote(settings.service.provider, safe="!#$&'()*+,-./:;<=>?@[]^_`{|}~")
    try:
        ProviderCode.parse(code)
    except LabelError as error:
        raise SettingsError(f"service.provider_code: {error}") from None
    return code


def text_labels(settings: Settings, policy: Policy) -> TextLabels:
    """The words and places of text labels. Raises `SettingsError` where the policy's words lack an element."""
    must_have = (policy.texts("label.text.ai_elements"), policy.texts("label.text.generation_elements"))
    zh, en = policy.text("label.text.zh"), policy.text("label.text.en")
    if not all(holds_elements(en, (group,)) for group in must_have):
        en = f"{zh} {en}"  # the standard's own elements stand in every label, whatever language follows them
    position = settings.label.position if settings.label.position != "policy" else policy.text("label.text.position")
    try:
        words = TextLabel(zh, en, must_have)
        name = producer(settings)
        AigcLabel("1", name, "00000000-0000-7000-8000-000000000000")
    except LabelError as error:
        raise SettingsError(f"label: {error}") from None
    return TextLabels(words, position, name)
