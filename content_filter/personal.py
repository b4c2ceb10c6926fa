# SPDX-License-Identifier: Apache-2.0
"""Personal data in prompts and answers: identity cards, mobile numbers, bank cards, passports, e-mail, addresses.

Personal Information Protection Law, article 28 and the annexes of GB/T 35273-2020 name them. Every kind that has a
check is checked (GB 11643-1999 with region and birth date, ISO/IEC 7812 Luhn with the ranges of real issuers), so that
order numbers and the like stay. What must hold: full-width digits, single separators and invisible characters between
digits change nothing; findings do not overlap; neither an error nor a rule carries what was found; a stream is masked
as the whole text would be, with one exception that `PersonalGuard` names.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from content_filter.errors import FilterError
from content_filter.filter import CERTAIN_BP, Outcome, Verdict
from content_filter.guard import GuardStep, Replacement
from content_filter.matcher import Match
from content_filter.normalise import IMAGES
from content_filter.roles import Role
from content_filter.terms import Action

CLASS_CODE = "A4f"
"""What a finding is reported as: rights in personal information."""


class Kind(StrEnum):
    """What was found."""

    ID_CARD = "id_card"
    MOBILE = "mobile"
    BANK_CARD = "bank_card"
    PASSPORT = "passport"
    EMAIL = "email"
    ADDRESS = "address"


class Finding(NamedTuple):
    """Personal data at `start` up to and without `end`, in characters of the text."""

    start: int
    end: int
    kind: Kind

    @property
    def rule(self) -> str:
        """Names the finding in verdicts and records."""
        return f"personal:{self.kind}"


_GAP = r"[ \-\x00]?"  # \x00 stands for an invisible character
_NUMBER = re.compile(rf"(?<![0-9A-Za-z.])(?:\+?86{_GAP})?\d(?:{_GAP}\d){{9,18}}(?:{_GAP}[xX])?(?![0-9A-Za-z])")
_WORD_OF_DIGITS = re.compile(r"(?<![0-9A-Za-z.])[0-9\x00]{10,19}[xX]?(?![0-9A-Za-z])")
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,4}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9-])"
)
_PASSPORT = re.compile(
    r"(?:护照|通行证|passport)[^\n0-9]{0,16}?(?<![0-9A-Za-z])((?:[EGDSPHK]\d{8}|E[A-Z]\d{7}|\d{9}))(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_HAN = r"[\u4e00-\u9fff]"
_STREET = rf"(?:{_HAN}{{1,10}}?(?:路|街|大道|巷|弄|胡同|里|村|小区|花园|公寓|新村))"
_HOUSE = (
    r"[\dA-Za-z一二三四五六七八九十\-]{1,8}(?:号楼|号院|号|弄|栋|幢|座)"
    rf"(?:{_HAN}?[\dA-Za-z\-]{{1,6}}(?:号楼|单元|栋|幢|座|层|楼|室|号)){{0,3}}(?:[\dA-Za-z]{{2,5}}室?)?"
)
_ADDRESS = re.compile(
    rf"(?:{_HAN}{{2,7}}?(?:省|自治区))?(?:{_HAN}{{2,7}}?(?:市|自治州|地区|盟))?(?:{_HAN}{{1,7}}?(?:区|县|市|旗))?"
    rf"(?:{_HAN}{{1,6}}?(?:镇|乡|街道))?{_STREET}{{1,2}}{_HOUSE}"
)
_AFTER_STREET = re.compile(rf"(?:路|街|大道|巷|弄|胡同|里|村|小区|花园|公寓|新村)({_HOUSE})")
_ENGLISH_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,5}[A-Za-z]? (?:[A-Z][a-z]+ ){1,3}"
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct)\b"
)
_LEADING = re.compile(
    r"(?:我|他|她|你|您|人|家|现|请|都|就)*(?:居住在|住在|住|位于|地址是|地址为|寄到|送到|在|到|去|来)"
)
_REGIONS = frozenset(
    map(
        str,
        (
            *range(11, 16),
            *range(21, 24),
            *range(31, 38),
            *range(41, 47),
            *range(50, 55),
            *range(61, 66),
            71,
            81,
            82,
            83,
        ),
    )
)
_CARD_LENGTHS = {"62": range(16, 20), "4": range(16, 17), "5": range(16, 17), "35": range(16, 17), "60": range(16, 20)}
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_OLDEST_YEAR = 1900
_MOBILE_DIGITS = 11


def is_id_card(number: str) -> bool:
    """Whether 18 characters are a resident identity number: region, a birth date that exists, check character."""
    if len(number) != 18 or not number[:17].isdigit() or number[:2] not in _REGIONS:
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    return born.year >= _OLDEST_YEAR and number[17].upper() == "10X98765432"[total % 11]


def is_bank_card(number: str) -> bool:
    """Whether digits are a card number: a known range, its length, the Luhn digit."""
    lengths = next((size for prefix, size in _CARD_LENGTHS.items() if number.startswith(prefix)), None)
    if lengths is None or len(number) not in lengths or len(set(number)) < 2:
        return False
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def find(text: str, kinds: Iterable[Kind | str] = tuple(Kind)) -> list[Finding]:
    """Everything of these kinds in a text, in order. Raises `FilterError` for an unknown kind."""
    wanted = _kinds(kinds)
    return _merged(_all(_plain(text), wanted))


def mask(text: str, findings: Iterable[Finding], mark: str = "*") -> str:
    """The text with one `mark` for each character found."""
    pieces: list[str] = []
    done = 0
    for finding in findings:
        pieces += (text[done : finding.start], mark * (finding.end - finding.start))
        done = finding.end
    return "".join((*pieces, text[done:]))


def _kinds(kinds: Iterable[Kind | str]) -> frozenset[Kind]:
    try:
        return frozenset(map(Kind, kinds))
    except ValueError:
        raise FilterError(f"unknown kind of personal data; expected {', '.join(Kind)}") from None


def _plain(text: str) -> str:
    """Same length, so that places stay: each character as its normal form where that is one character."""
    if text.isascii():
        return text
    out = []
    for char in text:
        image = IMAGES[char]
        if len(image) == 1 and not char.isascii():
            out.append(image)
        else:
            out.append(char if image else "\0")
    return "".join(out)


def _all(plain: str, kinds: frozenset[Kind]) -> Iterator[Finding]:
    if Kind.EMAIL in kinds and "@" in plain:
        for match in _EMAIL.finditer(plain):
            yield Finding(*match.span(), Kind.EMAIL)
    if not kinds & {Kind.ID_CARD, Kind.MOBILE, Kind.BANK_CARD, Kind.PASSPORT, Kind.ADDRESS}:
        return
    for match in _NUMBER.finditer(plain):
        kind = _kind_of(match[0])
        if kind is not None and kind in kinds:
            yield Finding(*match.span(), kind)
        elif kind is None:  # perhaps one number beside another
            for word in _WORD_OF_DIGITS.finditer(plain, *match.span()):
                if (found := _kind_of(word[0])) is not None and found in kinds:
                    yield Finding(*word.span(), found)
    if Kind.PASSPORT in kinds:
        for match in _PASSPORT.finditer(plain):
            yield Finding(*match.span(1), Kind.PASSPORT)
    if Kind.ADDRESS in kinds:
        for match in _ADDRESS.finditer(plain):
            before = _LEADING.match(plain, match.start(), match.end())
            yield Finding(before.end() if before else match.start(), match.end(), Kind.ADDRESS)
        for match in _ENGLISH_ADDRESS.finditer(plain):
            yield Finding(*match.span(), Kind.ADDRESS)


def _kind_of(written: str) -> Kind | None:
    number = re.sub(r"[^0-9xX]", "", written)
    if is_id_card(number):
        return Kind.ID_CARD
    if not number.isdigit():
        return None
    local = number[2:] if number.startswith("86") and len(number) == _MOBILE_DIGITS + 2 else number
    if len(local) == _MOBILE_DIGITS and local[0] == "1" and local[1] in "3456789":
        return Kind.MOBILE
    return Kind.BANK_CARD if is_bank_card(number) else None


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """In order; of two that overlap the one that begins first, and of those the longer."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda item: (item.start, -item.end)):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


class PersonalFilter:
    """Personal data as a filter of whole texts and streams, beside that of terms (`filter.ContentFilter`)."""

    __slots__ = ("_action", "_kinds")

    def __init__(self, kinds: Iterable[Kind | str] = tuple(Kind), action: Action | str = Action.MASK) -> None:
        """`action` is what a finding asks for: block, mask or flag. Raises `FilterError` for an unknown one."""
        self._kinds = _kinds(kinds)
        self._action = _known(action)

    def find(self, text: str) -> list[Finding]:
        """Everything of these kinds in a text, in order."""
        return _merged(_all(_plain(text), self._kinds))

    def check_texts(self, texts: Sequence[str], role: Role | str) -> tuple[int, Verdict]:
        """The first finding of several texts, with the place of its text."""
        judged = Role(role)
        for place, text in enumerate(texts):
            if found := self.find(text):
                return place, self.verdict(found[0], judged)
        return 0, Verdict(Outcome.PASS, judged)

    def verdict(self, found: Finding, role: Role) -> Verdict:
        """What is said of a finding."""
        outcome = Outcome(self._action)
        return Verdict(outcome, role, CLASS_CODE, found.rule, found.start, found.end, CERTAIN_BP)

    def guard(self) -> "PersonalGuard":
        """A new guard for one lane of an answer."""
        return PersonalGuard(self._kinds, self._action)


def _known(action: Action | str) -> Action:
    try:
        return Action(action)
    except ValueError:
        raise FilterError("unknown action; expected block, mask or flag") from None


_BEFORE = 40  # characters that have left and are still looked at, for what must stand before a finding
_LONGEST_PENDING = 80
_OPEN_NUMBER = re.compile(rf"(?:\+|(?:\+?86{_GAP})?(?:\d{_GAP}){{1,20}}[xX]?)$")
_OPEN_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+@-]*$")
_OPEN_HOUSE = re.compile(
    r"(?:路|街|大道|巷|弄|胡同|里|村|小区|花园|公寓|新村)"
    r"([\dA-Za-z一二三四五六七八九十\-][\u4e00-\u9fff\dA-Za-z\-]{0,30})$"
)
_OPEN_ENGLISH = re.compile(r"(?<![\w.])\d{1,5}[A-Za-z]?(?: [A-Z][a-z]*){0,4} ?$")


class PersonalGuard:
    """Masks, or stops at, personal data while a text streams; steps are those of `guard.StreamGuard`.

    Held back is only what may be the beginning of a finding: digits, the current word, a house number. One exception to
    "as the whole text": province, city and street have left before anybody can know that a house number follows, so of
    a Chinese address the stream masks the part from the house number on.
    """

    __slots__ = ("_action", "_done", "_kinds", "_plain", "_position", "_released", "_shift", "_stop")

    def __init__(self, kinds: Iterable[Kind | str] = tuple(Kind), action: Action | str = Action.MASK) -> None:
        """`action` says whether a finding is masked, ends the stream (block) or is only noted (flag)."""
        self._kinds = _kinds(kinds)
        self._action = _known(action)
        self._plain = ""  # what is still looked at, from the offset `_shift` on
        self._shift = 0
        self._position = 0
        self._released = 0
        self._done = 0  # end of the last finding that was noted
        self._stop: Match | None = None

    def feed(self, text: str) -> GuardStep:
        """Takes the next piece of the text."""
        if self._stop is None:
            self._plain += _plain(text)
            self._position += len(text)
        return self._step(self._open_from())

    def close(self) -> GuardStep:
        """The text has ended: nothing waits any more."""
        return self._step(self._position)

    def _open_from(self) -> int:
        """Offset from which a finding may still grow."""
        tail = self._plain[-_LONGEST_PENDING:]
        starts = [match.start(group) for pattern, group in self._open() if (match := pattern.search(tail))]
        return self._position - len(tail) + min(starts, default=len(tail))

    def _open(self) -> Iterator[tuple[re.Pattern[str], int]]:
        yield _OPEN_NUMBER, 0
        if self._kinds & {Kind.EMAIL, Kind.PASSPORT}:
            yield _OPEN_WORD, 0
        if Kind.ADDRESS in self._kinds:
            yield _OPEN_HOUSE, 1
            yield _OPEN_ENGLISH, 0

    def _step(self, release: int) -> GuardStep:
        if self._stop is not None:
            return GuardStep(self._released, self._stop)
        replacements: list[Replacement] = []
        noted: list[Match] = []
        for finding in self._found():
            start, end = max(finding.start + self._shift, self._released), finding.end + self._shift
            if end <= self._done or end <= self._released:
                continue
            if end > release:
                release = min(release, start)  # it may grow: wait for its end
                break
            match = Match(start, end, CLASS_CODE, self._action, finding.rule)
            self._done = end
            if self._action is Action.BLOCK:
                self._stop, self._released = match, start
                return GuardStep(start, match, (), ())
            noted.append(match)
            if self._action is Action.MASK:
                replacements.append(Replacement(start, end, False))
        self._released = max(self._released, release)
        keep = max(self._shift, self._released - _BEFORE)
        self._plain, self._shift = self._plain[keep - self._shift :], keep
        return GuardStep(self._released, None, tuple(replacements), tuple(noted))

    def _found(self) -> list[Finding]:
        findings = list(_all(self._plain, self._kinds - {Kind.ADDRESS}))
        if Kind.ADDRESS in self._kinds:
            findings += [Finding(*match.span(1), Kind.ADDRESS) for match in _AFTER_STREET.finditer(self._plain)]
            findings += [Finding(*match.span(), Kind.ADDRESS) for match in _ENGLISH_ADDRESS.finditer(self._plain)]
        return _merged(findings)
