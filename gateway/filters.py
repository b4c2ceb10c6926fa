# SPDX-License-Identifier: Apache-2.0
"""Builds from the settings everything that judges texts, and replaces it while the service runs.

Terms, terms with context and the classifier come from files that are read anew on demand (SIGHUP, operator API). What
must hold: all of it changes together or not at all; one digest names what is in force, and is in every record; an
exchange that has begun keeps what it began with; a file that cannot be used leaves the old ones in force.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from content_filter import Action, Activation, ContentFilter, FilterError, FilterHandle, Role, TermSet
from content_filter import Outcome as Finding
from content_filter import Verdict as Judgement
from content_filter.breaker import CircuitBreaker
from content_filter.cached import CachedCheck, VerdictMemory
from content_filter.cascade import BandRules, Cascade, stronger
from content_filter.classifier import Band, Classifier
from content_filter.context import ContextCheck, HttpCheck
from content_filter.context_terms import ContextMatcher, load_context_terms, own_terms
from content_filter.guard_models import FORMATS, Format, GuardModel, Qwen3GuardFormat, TemplateFormat
from content_filter.judge import TextJudge
from content_filter.personal import PersonalFilter
from content_filter.picture_hashes import KnownPictures, load_known
from content_filter.picture_model import PictureModel
from content_filter.picture_words import READERS, PictureWords
from content_filter.pictures import PictureCheck, plugin
from gateway.judging import Aside, Judging, Release
from gateway.personal_data import PersonalData
from gateway.picture_checks import PictureRoom, PicturesInUse
from gateway.policies import Policy
from gateway.settings import ClassifierSettings, GuardModelSettings, Settings, SettingsError, secret

_MEETS = {"refuse": Finding.BLOCK, "flag": Finding.FLAG, "pass": Finding.PASS}
_BANDS = {"middle": Band.SECOND_OPINION, "block": Band.BLOCK}
_ACTIONS = {"refuse": Action.BLOCK, "mask": Action.MASK, "flag": Action.FLAG}
_REMEMBERED = 20_000
"""Texts of prompts whose verdicts a process remembers; some 300 bytes each."""
_REMEMBERED_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read from files: terms, terms with context, the classifier."""

    terms: TermSet
    context_terms: ContextMatcher | None
    classifier: Classifier | None

    @classmethod
    def read(cls, settings: Settings) -> Sources:
        """Raises `FilterError` or `OSError` for a file that cannot be used. Takes up to a second."""
        return cls(TermSet.load(term_paths(settings)), context_matcher(settings), classifier(settings))


def context_matcher(settings: Settings) -> ContextMatcher | None:
    """The terms with context; None where there are none. Raises `FilterError`."""
    terms = load_context_terms(_paths(settings, settings.content_filter.context_terms))
    if settings.content_filter.own_terms:
        known = {term.text for term in terms}  # an operator's words about a term go before ours
        terms += [term for term in own_terms() if term.text not in known]
    matcher = ContextMatcher(terms)
    return matcher if len(matcher) else None


def classifier(settings: Settings) -> Classifier | None:
    """The classifier; None where it is not used. Raises `FilterError` or `OSError`."""
    chosen = settings.content_filter.classifier
    if not chosen.use:
        return None
    return Classifier.load(settings.base_dir / chosen.weights if chosen.weights else None, second=chosen.second)


class Filters:
    """What judges texts in one process. `close` gives it back."""

    def __init__(self, settings: Settings, policy: Policy, clock: Callable[[], float]) -> None:
        """Raises `SettingsError`, `FilterError` or `OSError` for what cannot be used."""
        self._settings = settings
        self._clock = clock
        chosen = settings.content_filter
        self._rules = band_rules(chosen.classifier)
        self._guard = guard_model(chosen.guard_model, clock)
        self._refuses_unjudged = refuses_unjudged(chosen.guard_model, policy)
        self._aside = Aside(chosen.classifier.threads)
        self.personal: PersonalData = personal_data(settings)
        self._picture_parts: dict[str, str] = {}
        self.pictures: PictureRoom | None = self._pictures()
        self._sources = sources = Sources.read(settings)
        self.handle: FilterHandle = FilterHandle(self._exact(sources))
        self.judging: Judging | None = self._judging(sources)

    async def reload(self) -> Activation:
        """Read the files anew. Raises `FilterError` or `OSError` and keeps what is in force."""
        sources = await asyncio.to_thread(Sources.read, self._settings)
        exact = await asyncio.to_thread(self._exact, sources)
        if exact.digest == self.handle.current.digest:
            return Activation(exact.digest, exact.digest)
        self._sources = sources
        if self.pictures is not None:
            self.pictures.forget()
        self.judging = self._judging(sources)  # nothing waits between the two: a request gets both old or both new
        return self.handle.swap(exact)

    async def close(self) -> None:
        """Give everything back."""
        await self._aside.close()
        if self.pictures is not None:
            await self.pictures.close()
        if self._guard is not None:
            await self._guard.close()

    def facts(self) -> dict[str, str]:
        """The digests behind the one in the records, for records of what came into force."""
        sources = self._sources
        found = {"terms": sources.terms.digest}
        if sources.context_terms is not None:
            found["context_terms"] = sources.context_terms.digest
        if sources.classifier is not None:
            found["classifier"] = sources.classifier.digest
        return found | self._picture_parts

    def in_force(self) -> dict[str, Any]:
        """What is in force, for people: digests, counts, thresholds and rules; never a term."""
        sources, chosen = self._sources, self._settings.content_filter
        learned, guard = sources.classifier, chosen.guard_model
        return {
            "digest": self.handle.current.digest,
            "terms": {"count": len(sources.terms), "digest": sources.terms.digest},
            "context_terms": None if sources.context_terms is None
            else {"count": len(sources.context_terms), "digest": sources.context_terms.digest},
            "classifier": None if learned is None
            else {
                "digest": learned.digest,
                "second_encoder": learned.second is not None,
                "thresholds_bp": {
                    code: {"middle": middle, "block": block}
                    for code, (middle, block) in sorted(learned.thresholds_bp.items())
                },
                "prompt": {"middle": chosen.classifier.prompt_middle, "block": chosen.classifier.prompt_block},
                "answer": {"middle": chosen.classifier.answer_middle, "block": chosen.classifier.answer_block},
                "exceptions": list(chosen.classifier.classes),
            },
            "guard_model": None if not guard.kind
            else {
                "kind": guard.kind,
                "model": guard.model,
                "ask": guard.ask,
                "when_unavailable": "refuse" if self._refuses_unjudged else "flag",
            },
            "personal_data": {
                "kinds": list(chosen.personal.kinds),
                "prompt": chosen.personal.prompt,
                "answer": chosen.personal.answer,
            },
            "pictures": {"checks": self._picture_parts, "links": chosen.pictures.links},
            "release": {"mode": chosen.release, "hold_chars": chosen.hold_chars, "hold_s": chosen.hold_s},
        }  # fmt: skip

    def _pictures(self) -> PictureRoom | None:
        """What looks at pictures; None where nothing is set. Raises `FilterError` or `OSError`."""
        chosen = self._settings.content_filter.pictures
        checks = picture_checks(self._settings, self._judge_words)
        if not checks and chosen.links == "pass":
            return None
        self._picture_parts = {check.name: getattr(check, "digest", "") or check.name for check in checks}
        rules = PicturesInUse(
            checks,
            chosen.links == "pass",
            chosen.prompt == "refuse",
            chosen.answer == "refuse",
            chosen.most_pixels,
            chosen.most_pictures,
            chosen.timeout_s,
        )
        memory = VerdictMemory(self._clock, most=_REMEMBERED, lifetime_s=_REMEMBERED_S)
        return PictureRoom(rules, chosen.threads, memory)

    def _judge_words(self, text: str, role: Role) -> Judgement:
        """What the checks that need no waiting say of words in a picture."""
        said = self.handle.current.check_text(text, role)
        judging = self.judging
        return said if judging is None else stronger(said, judging.check.look(text, role).said)

    def _exact(self, sources: Sources) -> ContentFilter:
        """The filter of terms; its digest names everything that judges texts."""
        chosen = self._settings.content_filter
        beside = []
        if sources.context_terms is not None:
            beside.append(f"context_terms {sources.context_terms.digest}")
        if sources.classifier is not None:
            beside.append(f"classifier {sources.classifier.digest}")
        beside += (f"{name} {digest}" for name, digest in self._picture_parts.items())
        for name, table in (
            ("classifier_rules", chosen.classifier if sources.classifier is not None else None),
            ("guard_model", chosen.guard_model if chosen.guard_model.kind else None),
            ("personal", chosen.personal if self.personal != PersonalData() else None),
            ("pictures", chosen.pictures if self.pictures is not None else None),
        ):
            if table is not None:
                shown = table.model_dump_json(exclude={"api_key_env", "url", "weights"})
                beside.append(f"{name} {hashlib.sha256(shown.encode()).hexdigest()}")
        return ContentFilter(sources.terms, beside=beside)

    def _judging(self, sources: Sources) -> Judging | None:
        chosen = self._settings.content_filter
        judge = None if sources.classifier is None else TextJudge(sources.classifier)
        if judge is None and sources.context_terms is None and self._guard is None:
            return None
        cascade = Cascade(
            terms=sources.context_terms,
            judge=judge,
            rules=self._rules,
            second=self._guard,
            asks_all=chosen.guard_model.ask == "all",
            when_unavailable=None if self._refuses_unjudged else Finding.FLAG,
        )
        return Judging(
            cascade,
            Release(chosen.release),
            chosen.hold_chars,
            chosen.hold_s,
            VerdictMemory(self._clock, most=_REMEMBERED, lifetime_s=_REMEMBERED_S),
            self._aside,
            chosen.classifier.long_chars,
            chosen.classifier.most_chars,
            frozenset(chosen.classifier.trusted_roles),
        )


def term_paths(settings: Settings) -> list[Path]:
    """The term files, found beside the configuration file."""
    return _paths(settings, settings.content_filter.terms)


def _paths(settings: Settings, names: tuple[str, ...]) -> list[Path]:
    return [settings.base_dir / name for name in names]


def band_rules(chosen: ClassifierSettings) -> BandRules:
    """What each band meets. Raises `SettingsError` for an exception that names no class."""
    usual = {
        (Role.PROMPT, Band.BLOCK): _MEETS[chosen.prompt_block],
        (Role.PROMPT, Band.SECOND_OPINION): _MEETS[chosen.prompt_middle],
        (Role.ANSWER, Band.BLOCK): _MEETS[chosen.answer_block],
        (Role.ANSWER, Band.SECOND_OPINION): _MEETS[chosen.answer_middle],
    }
    classes = {
        (Role(role), _BANDS[band], code): _MEETS[meets]
        for code, role, band, meets in (line.split() for line in chosen.classes)
    }
    try:
        return BandRules(usual, classes)
    except FilterError as error:
        raise SettingsError(f"content_filter.classifier.classes: {error}") from None


def guard_model(chosen: GuardModelSettings, clock: Callable[[], float]) -> ContextCheck | None:
    """The second opinion, with its breaker and its cache. Raises `SettingsError`."""
    if not chosen.kind:
        return None
    headers = {}
    if chosen.api_key_env:
        key = secret(chosen.api_key_env, "content_filter.guard_model.api_key_env").get_secret_value()
        headers["Authorization"] = f"Bearer {key}"
    breaker = CircuitBreaker(clock, failures=chosen.breaker_failures, rest_s=chosen.breaker_rest_s)
    check: ContextCheck
    if chosen.kind == "http":
        check = HttpCheck(chosen.url, chosen.timeout_s, headers=headers, breaker=breaker)
    else:
        try:
            format_ = _format(chosen)
        except FilterError as error:
            raise SettingsError(f"content_filter.guard_model: {error}") from None
        check = GuardModel(format_, chosen.url, chosen.model, chosen.timeout_s, headers=headers, breaker=breaker)
    if not chosen.cache_s:
        return check
    return CachedCheck(check, VerdictMemory(clock, most=chosen.cache_entries, lifetime_s=chosen.cache_s))


def _format(chosen: GuardModelSettings) -> Format:
    if chosen.kind == "qwen3guard":
        return Qwen3GuardFormat(chosen.strict)
    if chosen.kind == "chat_template":
        return TemplateFormat(
            chosen.template, chosen.pattern, _pairs(chosen.outcomes), _pairs(chosen.labels), chosen.default_class
        )
    return FORMATS[chosen.kind]()


def _pairs(lines: tuple[str, ...]) -> dict[str, str]:
    return {left.strip(): right.strip() for left, _, right in (line.partition("=") for line in lines)}


def refuses_unjudged(chosen: GuardModelSettings, policy: Policy) -> bool:
    """Whether a text is refused of which the second opinion cannot be had; else it is flagged."""
    if chosen.when_unavailable == "policy":
        return policy.flag("filter.refuse_unjudged")
    return chosen.when_unavailable == "refuse"


def picture_checks(settings: Settings, judge_words: Callable[[str, Role], Judgement]) -> tuple[PictureCheck, ...]:
    """The checks of pictures that the settings name. Raises `FilterError` or `OSError` for what cannot be used."""
    chosen = settings.content_filter.pictures
    checks: list[PictureCheck] = []
    if chosen.hashes:
        checks.append(KnownPictures(load_known(_paths(settings, chosen.hashes)), chosen.hash_radius))
    if chosen.model:
        path = settings.base_dir / chosen.model
        checks.append(
            PictureModel(path, chosen.model_classes, block_bp=chosen.model_block_bp, flag_bp=chosen.model_flag_bp)
        )
    if chosen.words:
        checks.append(PictureWords(READERS[chosen.words](), judge_words))
    for place in chosen.plugins:
        made = plugin(place)
        if callable(getattr(made, "read", None)):
            made = PictureWords(made, judge_words)
        if not callable(getattr(made, "judge", None)):
            raise FilterError("a plug-in must have judge(picture, role), or read(picture) for words")
        checks.append(made)
    return tuple(checks)


def personal_data(settings: Settings) -> PersonalData:
    """What looks for personal data; nothing where the settings let all of it pass."""
    chosen = settings.content_filter.personal
    prompt, answer = (
        PersonalFilter(chosen.kinds, _ACTIONS[word]) if word != "pass" and chosen.kinds else None
        for word in (chosen.prompt, chosen.answer)
    )
    return PersonalData(prompt, answer)
