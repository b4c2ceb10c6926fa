# SPDX-License-Identifier: Apache-2.0
"""Puts the rooms together: everything that one worker process serves with.

Made inside the worker's event loop and after any fork. What cannot be put together refuses to start; nothing is made
up for what is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

import orjson

from audit_log import AuditLog
from complaints import CaseStore, ComplaintDesk
from content_filter import CLASSES, Activation, FilterHandle, IncidentStore
from gateway import __version__, policies
from gateway import operator as operator_side
from gateway import public as public_side
from gateway.api_keys import ApiKeys
from gateway.companion import Companion
from gateway.copies import Copies
from gateway.crisis import Crisis
from gateway.delivery import Courier, Outbox, channels_of
from gateway.disclosure import Disclosure
from gateway.entropy import Entropy
from gateway.films import Films
from gateway.filters import Filters
from gateway.gates import Agreement, Gates
from gateway.guardians import Guardians
from gateway.home import Home, HomeError
from gateway.identity import Identifier
from gateway.incident_desk import IncidentDesk
from gateway.incident_notices import IncidentNotices
from gateway.judging import Judging
from gateway.label_files import ChainFiles, file_labels, text_signer
from gateway.label_grants import tells_of_content
from gateway.log_keeping import LogKeeping
from gateway.measures import Measures, measures_of
from gateway.media_labels import MediaLabels
from gateway.media_links import LinkedMedia, LinkHosts
from gateway.media_store import MediaStore
from gateway.metrics import Meters
from gateway.minor_mode import MinorModes
from gateway.minors import MinorsDuty
from gateway.operator.house import FilterRoom
from gateway.operator.tokens import TokenStore
from gateway.outside import OutsideWork
from gateway.own_records import OwnRecords, entry_of
from gateway.pipeline import WAY
from gateway.policies import Policy
from gateway.protection import Protection, is_asked
from gateway.proxy_identity import ProxyIdentity
from gateway.realtime_sound import OpeningSounds
from gateway.recording import Recorder
from gateway.retention import erasure_deadline_days, retention_of
from gateway.settings import Settings, SettingsError, effective, secret
from gateway.standing import Standing
from gateway.state import State, open_orders, open_state
from gateway.switches import Switches
from gateway.text_labels import TextLabels
from gateway.text_manifests import TextManifests
from gateway.upstream import Upstream
from gateway.withheld import Withheld
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
        self.settings: Settings = settings
        self.clock: Callable[[], float] = clock
        self.entropy = Entropy()
        self.policy = policy = policies.load(settings.policy.use)
        self.labels: TextLabels = text_labels(settings, policy)
        keys = home.path / "keys"
        self._files = files = file_labels(settings, policy, self.labels.producer, keys)
        self._c2pa_root_pem = ChainFiles.of(keys).root_pem()
        self.opening_sounds: OpeningSounds = OpeningSounds(files.audio)
        self.meters: Meters = Meters(home.metrics, version=__version__)
        self._watermark_key = files.watermark_key
        self.copies: Copies | None = copies_of(settings, home.fingerprints, clock, self.meters)
        self.media: MediaLabels = MediaLabels(
            files, settings.label.file_threads, settings.limits.answer_body_bytes, copies=self.copies
        )
        self.filters: Filters = Filters(settings, policy, clock)
        self.reload_others: Callable[[], None] = lambda: None
        """Makes the other worker processes read the filter's files; set by whoever started them."""
        self.filter: FilterHandle = self.filters.handle
        upstream = settings.upstream.model_copy(update={"url": upstream_url}) if upstream_url else settings.upstream
        self.state = open_state(
            settings.redis.url,
            home.state if not settings.redis.url else None,
            settings.server.workers,
            settings.redis.timeout_s,
            clock,
        )
        self.standing: Standing = Standing(
            open_orders(
                settings.redis.url, home.orders if not settings.redis.url else None, settings.redis.timeout_s, clock
            ),
            clock,
            poll_s=settings.orders.poll_s,
            stale_after_s=settings.orders.stale_after_s,
        )
        self.api_keys: ApiKeys = ApiKeys(
            self.standing,
            self.state,
            home.key("pseudonym"),
            ZoneInfo(settings.identity.default_tz),
            self.entropy,
        )
        jwt = settings.identity.jwt
        hs256 = (
            secret(jwt.secret_env, "identity.jwt.secret_env").get_secret_value().encode() if jwt.secret_env else None
        )
        self.identifier: Identifier = Identifier(
            settings.identity,
            home.key("pseudonym"),
            clock,
            hs256,
            api_keys=self.api_keys,
            proxy=proxy_identity(settings, clock, self.state),
        )
        self.switches: Switches = Switches(self.standing)
        self.own_records = OwnRecords(self.record, self.standing)
        self.measures: Measures = measures_of(
            settings, policy, self.standing, self.state, self.own_records, self.entropy
        )
        self.incident_notices: IncidentNotices = IncidentNotices(self.standing, self.own_records)
        self.withheld: Withheld = Withheld(self.standing)
        self.outbox = Outbox(home.outbox)
        self._channels = channels_of(settings.delivery)
        self.courier = Courier(self.outbox, self._channels, self.own_records, clock, settings.delivery.give_up_after_h)
        self.disclosure: Disclosure = Disclosure(settings, policy, self.state, clock, home.key("disclosure"))
        self.gates: Gates = Gates(Agreement(settings, policy, self.state, clock), settings, policy)
        self.guardians: Guardians = Guardians(
            self.standing,
            self.own_records,
            home.key("pseudonym"),
            self.entropy,
            may_exempt=policy.flag("minors.guardian_may_exempt"),
        )
        self.minor_modes: MinorModes = MinorModes(
            self.standing, self.own_records, float(policy.number("minors.cleared_days")) * 86_400
        )
        self.minors: MinorsDuty = MinorsDuty(
            policy, self.state, clock, settings.minors.education, settings.minors.idle_gap_s, self.guardians
        )
        self.protection: Protection = Protection(
            policy,
            self.state,
            self.minors,
            self.guardians,
            self.minor_modes,
            asks_consent=is_asked(settings.minors.consent, settings),
            suspects=is_asked(settings.minors.suspect, settings),
            strict_classes=strict_classes(settings),
            appeal_url=f"{settings.server.public_url.rstrip('/')}/duty/complaints",
            counted=self.meters.minors_suspected.inc,
        )
        self.companion: Companion = Companion(
            policy, self.state, clock, settings.minors.idle_gap_s, is_companion=settings.companion.is_companion
        )
        self.crisis: Crisis = Crisis(
            policy,
            self.state,
            self.outbox,
            self.courier,
            self.own_records,
            clock,
            self.entropy,
            is_on=is_asked(settings.companion.crisis, settings),
        )
        for stage in WAY:  # an alert on the rate needs each series before its first error
            self.meters.duty_errors.inc(stage.key, stage.on_error.value, by=0.0)
        self.incidents = IncidentStore(home.incidents)
        self.cases = CaseStore.open(home.complaints)
        desk = public_side.desk_policy(policy, settings.identity.default_tz)
        self.desk = ComplaintDesk(self.cases, clock, desk, home.key("complaints"))
        self.tokens = TokenStore(home.tokens)
        self.place = home.place()
        self.log: AuditLog = self.place.open_log(
            writer=f"gw-{worker}",
            clock=clock,
            max_pending=settings.audit.max_pending,
            boot={"version": __version__, "config": self._config_facts()},
        )
        self.log.forgetting = self.copies.forget if self.copies is not None else None
        self.recorder = Recorder(
            self.log, self.incidents, policy, settings.audit.bodies, clock, self.meters, settings.audit.sample_bp
        )
        self._retention = retention_of(policy, settings.audit)
        self.log_keeping: LogKeeping = LogKeeping(
            self.log, settings.audit, self._retention, clock, self.meters, home.path, self.recorder.counted
        )
        self.outside: OutsideWork = OutsideWork(self.log, self.place, home.path, settings, clock, self.meters)
        self.upstream = Upstream(upstream)
        self.media_store = MediaStore(
            home.media,
            settings.label.link_keep_s,
            settings.label.link_store_bytes,
            clock,
            is_withheld=self.withheld.is_withheld,
        )
        self.films: Films = Films(
            self.media,
            self.media_store,
            self.upstream,
            settings.limits.answer_body_bytes,
            settings.label.film_timeout_s,
        )
        self.text_manifests: TextManifests | None = text_manifests(settings, keys)
        self.links: LinkedMedia | None = linked_media(settings, upstream.url, self.upstream, self.media_store, clock)

    async def close(self) -> None:
        """Give everything back."""
        await self.films.close()
        await self.upstream.close()
        await self.media.close()
        if self.copies is not None:
            await asyncio.to_thread(self.copies.close)
        await self.filters.close()
        await self.identifier.close()
        await self.courier.close()
        for channel in self._channels.values():
            await channel.close()
        self.outbox.close()
        await self.standing.close()
        await self.state.close()
        await self.log.aclose()
        self.incidents.close()
        self.cases.close()
        self.meters.close()

    async def record(self, fields: Mapping[str, object]) -> str:
        """Append a record of our own (a notice, a complaint); gives its id once it is durable.

        A `subject` among the fields goes to the index beside the tree, a mapping `sealed` into a sealed body; neither
        into the leaf.
        """
        record_id, entry = entry_of(fields)
        await self.recorder.append(entry)
        return record_id

    async def record_owed(self) -> int:
        """Append what the complaint desk still owes to the log, because the log was away; gives how many there were."""
        owed = await asyncio.to_thread(self.desk.unrecorded, 100, _OWED_AFTER_S)
        for fact in owed:
            await public_side.tell(self.desk, self.record, (fact,))
        return len(owed)

    async def forget_old_copies(self) -> int:
        """Delete fingerprints and marks whose time is over; gives how many rows there were."""
        if self.copies is None:
            return 0
        days = self.settings.label.fingerprint_days or float(self.policy.number("retention.network_log_days"))
        return await asyncio.to_thread(self.copies.forget_before, self.clock() - days * 86_400)

    async def reload_terms(self) -> None:
        """Read the filter's files anew; the change is recorded. Raises `FilterError` and keeps the old ones."""
        await self.reload_filter("")

    async def reload_filter(self, by: str) -> Activation:
        """The same, asked for by an operator's token (its id); gives what came into force."""
        activation = await self.filters.reload()
        if activation.is_change:
            await self.record(
                {
                    "type": "config",
                    "event": "terms",
                    "before": activation.before,
                    "after": activation.after,
                    "parts": self.filters.facts(),
                    "actor": by or None,
                }
            )
        return activation

    @property
    def judging(self) -> Judging | None:
        """What judges texts by their meaning now."""
        return self.filters.judging

    def checks(self) -> dict[str, bool]:
        """What must work before requests are taken, by name."""
        return {
            "settings": True,
            "terms": bool(self.filter.current.digest),
            "audit_log": self.log.problem is None,
            "orders": not self.standing.is_away,
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
            media_store=self.media_store,
            c2pa_root_pem=self._c2pa_root_pem,
            copies=self.copies,
            watermark_key=self._watermark_key,
            people=public_side.People(
                identifier=self.identifier,
                agreement=self.gates.agreement,
                minors=self.minors,
                guardians=self.guardians,
                minor_modes=self.minor_modes,
                standing=self.standing,
                switches=self.switches,
                measures=self.measures,
                incident_notices=self.incident_notices,
            ),
        )

    async def find_record(self, record_id: str) -> float | None:
        """When the record of an answer, or of a file that went out, was made; None where there is no such record."""
        found = await asyncio.to_thread(self.log.get, record_id)
        if found is None or not tells_of_content(orjson.loads(found.leaf)):
            return None
        return found.row.row.t_us / 1_000_000

    def incident_desk(self) -> IncidentDesk:
        """What officers do about incidents."""
        return IncidentDesk(
            self.incidents,
            self.outbox,
            self.courier,
            self.own_records,
            self.incident_notices,
            self.withheld,
            self.policy,
            self.settings,
            self.clock,
            self.entropy,
        )

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
            retention=self._retention,
            erasure_deadline_days=erasure_deadline_days(self.policy),
            entropy=self.entropy,
            standing=self.standing,
            switches=self.switches,
            own_records=self.own_records,
            measures=self.measures,
            incident_desk=self.incident_desk(),
            guardians=self.guardians,
            minor_modes=self.minor_modes,
            filters=FilterRoom(self.filters.in_force, self._reload_everywhere),
            files=self._files,
        )

    async def _reload_everywhere(self, by: str) -> Activation:
        """Reload here, then let the other workers do the same: they answer requests too."""
        activation = await self.reload_filter(by)
        self.reload_others()
        return activation

    def _config_facts(self) -> dict[str, object]:
        """What was in force when this process began."""
        shown = orjson.dumps(effective(self.settings), option=orjson.OPT_SORT_KEYS)
        return {
            "settings": "sha256:" + hashlib.sha256(shown).hexdigest(),
            "policy": self.policy.digest,
            "terms": self.filter.current.digest,
            "filter": self.filters.facts(),
            "notice": self.disclosure.notice.version,
        }


def proxy_identity(settings: Settings, clock: Callable[[], float], state: State) -> ProxyIdentity | None:
    """What believes a trusted proxy; None where none is set. Raises `SettingsError`."""
    proxy = settings.identity.proxy
    if not proxy.secret_env:
        return None
    key = secret(proxy.secret_env, "identity.proxy.secret_env").get_secret_value().encode()
    return ProxyIdentity(proxy, key, clock, state)


def copies_of(settings: Settings, path: Path, clock: Callable[[], float], meters: Meters) -> Copies | None:
    """What keeps fingerprints and marks; None where the settings want neither. Raises `HomeError`."""
    wanted = settings.label.fingerprints
    if wanted == "off" and settings.label.watermark == "off":
        return None
    try:
        return Copies(path, clock, meters.fingerprints.inc, of_media=wanted != "off", of_texts=wanted == "all")
    except sqlite3.Error as error:
        raise HomeError(f"{path} cannot be used ({error}); move it away, and fingerprints begin anew") from None


def strict_classes(settings: Settings) -> frozenset[str]:
    """The classes that are judged more strictly for minors. Raises `SettingsError` for one that is unknown."""
    unknown = [name for name in settings.minors.strict_classes if name not in CLASSES]
    if unknown:
        raise SettingsError('minors.strict_classes: expected classes such as "A1f"; see docs/filter.md')
    return frozenset(settings.minors.strict_classes)


def linked_media(
    settings: Settings, upstream_url: str, upstream: Upstream, store: MediaStore, clock: Callable[[], float]
) -> LinkedMedia | None:
    """What becomes of media behind links; None where they do not leave. Raises `SettingsError`."""
    label = settings.label
    if label.links == "refuse":
        return None
    return LinkedMedia(
        upstream,
        link_hosts(settings, upstream_url),
        store,
        settings.server.public_url,
        settings.limits.answer_body_bytes,
        label.link_timeout_s,
        label.link_keep_s,
        clock,
    )


def text_manifests(settings: Settings, keys: Path) -> TextManifests | None:
    """Manifests inside texts, None where they are not asked for. Raises `SettingsError` where there is no chain."""
    if not settings.label.text_manifest:
        return None
    signer = text_signer(settings, keys)
    if signer is None:
        raise SettingsError("label.text_manifest: there is no signing chain; make one with `dutybound keys new --c2pa`")
    return TextManifests(signer)


def link_hosts(settings: Settings, upstream_url: str) -> LinkHosts:
    """Where media behind links may be fetched from. Raises `SettingsError` naming what is no host."""
    try:
        return LinkHosts(upstream_url, settings.label.link_hosts)
    except ValueError as error:
        raise SettingsError(f"label.link_hosts: {error}") from None


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
