# SPDX-License-Identifier: Apache-2.0
"""The classifier over all readings of a text: its plain form and what stands behind a disguise.

The strongest band counts, then the higher score, less the doubt about the reading (`views`). Readings by sound and from
the end are tried only where much of the plain text is unknown to the encoder, as it is when characters were replaced or
turned round: ordinary texts cost one reading.

What must hold: the verdict on a text without disguise is the classifier's own; a verdict from a view points at
characters of the original, the whole text where the view has no places.
"""

from collections.abc import Iterable

from content_filter.classifier import Band, Classifier, Form, Judgement
from content_filter.context import CheckUnavailable, ContextCheck
from content_filter.errors import FilterError
from content_filter.filter import Outcome, Verdict
from content_filter.normalise import normalise
from content_filter.roles import Role
from content_filter.views import View, reversed_view, sound_view, views

UNFAMILIAR = 0.34
"""Below this share of known n-grams a text is read by its sound too; 5 % of ordinary Chinese texts are."""
_MAYBE_REVERSED = 0.45
_MORE_FAMILIAR = 0.08  # by so much the text read from its end must be more familiar
_SOUNDED = 300  # characters that are read by sound or from the end at most
_IN_PLACE = frozenset({"escapes", "separators", "homoglyphs", "leet", "parts"})
_SHELL_SHARE = 0.2  # of the characters
_SHELL_DOUBT = 2.0
_STRENGTH = {Band.PASS: 0, Band.SECOND_OPINION: 1, Band.BLOCK: 2}


class TextJudge:
    """Judges whole texts. Safe to share between threads."""

    __slots__ = ("classifier",)

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def judge(self, text: str, role: Role | str = Role.PROMPT) -> Judgement:
        """The strongest judgement over all readings. `rule` names head and disguise: `classifier:request/leet`."""
        try:
            judged = Role(role)
        except ValueError:
            raise FilterError("unknown role; expected prompt or answer") from None
        plain = normalise(text)
        reading = self.classifier.read(plain)
        found_views = list(self._views(text, plain, reading.familiarity if reading is not None else 0.0))
        doubt = _SHELL_DOUBT if any(_is_shell(text, view) for view in found_views) else 0.0
        best = self.classifier.judge_reading(reading, plain, judged, text, None, doubt)
        for view in found_views:
            form = Form.SOUND if view.is_sound else None
            found = self.classifier.judge_normalised(view.text, judged, form=form, doubt=view.doubt)
            if (_STRENGTH[found.band], found.score_bp) > (_STRENGTH[best.band], best.score_bp):
                best = _placed(found, view, len(text))
        return best

    def _views(self, text: str, plain: str, familiarity: float) -> Iterable[View]:
        yield from views(text, plain)
        if familiarity < UNFAMILIAR and (sound := sound_view(plain[:_SOUNDED])) is not None:
            yield sound
        if familiarity < _MAYBE_REVERSED:
            backwards = reversed_view(plain[-_SOUNDED:])
            if backwards is not None and self.classifier.familiarity(backwards.text) > familiarity + _MORE_FAMILIAR:
                yield backwards


def _is_shell(text: str, view: View) -> bool:
    """Whether a view undoes so much that the plain form is mere wrapping: it says nothing that the view does not say
    better, and texts in such wrapping look alike whatever they hold. Views keep what they do not undo."""
    if view.kind not in _IN_PLACE or not text:
        return False
    same = sum(text[place].casefold() == char for char, place in zip(view.text, view.origins, strict=True))
    return len(text) - same >= _SHELL_SHARE * len(text)


def _placed(found: Judgement, view: View, length: int) -> Judgement:
    """The judgement on a view with places of the original; reversal and sound have none that would help a reader."""
    start, end = 0, length
    if view.origins and view.kind != "reversal":
        places = view.origins[found.start : found.end]
        if places:
            start, end = min(places), max(places) + 1
    return Judgement(
        found.band, found.role, found.class_code, found.score_bp, found.classes, start, end, f"{found.rule}/{view.kind}"
    )


_OUTCOMES = {Band.PASS: Outcome.PASS, Band.SECOND_OPINION: Outcome.FLAG, Band.BLOCK: Outcome.BLOCK}


class ClassifierCheck:
    """The judge as a `context.ContextCheck`; a text in the middle band goes to a second check where there is one.

    Without a second check, and where it does not answer and `when_unavailable` says so, the middle band is a flag.
    `when_unavailable` is the policy's rule for that case: flag, block, or None to hand `CheckUnavailable` on.
    """

    name = "classifier"

    def __init__(
        self,
        judge: TextJudge,
        second: ContextCheck | None = None,
        when_unavailable: Outcome | None = Outcome.FLAG,
    ) -> None:
        if when_unavailable not in (Outcome.FLAG, Outcome.BLOCK, None):
            raise FilterError("a second opinion that is not to be had must flag, block, or be an error")
        self._judge, self._second, self._when_unavailable = judge, second, when_unavailable

    async def judge(self, text: str, role: Role) -> Verdict:
        """The verdict, in a millisecond or two unless the second check is asked."""
        said = self._judge.judge(text, role)
        own = _verdict(said, _OUTCOMES[said.band])
        if said.band is not Band.SECOND_OPINION or self._second is None:
            return own
        try:
            return await self._second.judge(text, role)
        except CheckUnavailable:
            if self._when_unavailable is None:
                raise
            return _verdict(said, self._when_unavailable)

    async def close(self) -> None:
        """Closes the second check."""
        if self._second is not None:
            await self._second.close()


def _verdict(said: Judgement, outcome: Outcome) -> Verdict:
    if outcome is Outcome.PASS:
        return Verdict(outcome, said.role)
    return Verdict(outcome, said.role, said.class_code, said.rule, said.start, said.end, said.score_bp)
