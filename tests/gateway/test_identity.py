# SPDX-License-Identifier: Apache-2.0
"""Nobody is believed without proof, nobody proven is refused, and nothing unsigned loosens."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import string
import time
import warnings
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway import identity as module
from gateway.exchange import AgeBand, Person
from gateway.identity import Identifier, IdentityError, age_band, band_of_age
from gateway.settings import Identity, Jwt, SettingsError

NOW = 1_772_330_400.0  # 2026-03-01 10:00 in Shanghai
SECRET = b"a shared secret of more than 32 bytes"
PSEUDONYM_KEY = b"p" * 32
SHANGHAI = ZoneInfo("Asia/Shanghai")

RSA = RSAKey.generate_key(2048)
P256 = ECKey.generate_key("P-256")
P384 = ECKey.generate_key("P-384")
ED25519 = OKPKey.generate_key("Ed25519")


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def mint(claims: Any, secret: bytes = SECRET, header: Any = None) -> bytes:
    """A JWT made without the library that is tested."""
    signed = (
        b64(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode()) + b"." + b64(json.dumps(claims).encode())
    )
    return signed + b"." + b64(hmac.digest(secret, signed, "sha256"))


def sign(claims: dict[str, Any], key: Any, algorithm: str, **header: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        payload = json.dumps(claims).encode()
        return jws.serialize_compact({"alg": algorithm, **header}, payload, key, algorithms=[algorithm]).encode()


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def identifier(clock: Any = None, secret: bytes | None = SECRET, fetch: Any = None, **settings: Any) -> Identifier:
    return Identifier(Identity(**settings), PSEUDONYM_KEY, clock or Clock(), secret, fetch)


def identify(one: Identifier, token: bytes | None = None, *hints: tuple[bytes, bytes]) -> Person:
    headers = [(b"host", b"x"), (b"content-type", b"application/json"), *hints]
    if token is not None:
        headers.append((b"duty-subject", token))
    return asyncio.run(one.identify(headers))


def refused(one: Identifier, token: bytes | None = None, *hints: tuple[bytes, bytes]) -> tuple[int, str]:
    with pytest.raises(IdentityError) as caught:
        identify(one, token, *hints)
    return caught.value.status, caught.value.code


def test_a_signed_token_says_who_is_asking() -> None:
    """Every claim arrives, the subject as a pseudonym."""
    claims = {
        "sub": "u1",
        "age_band": "12-15",
        "minor_mode": True,
        "verified": True,
        "tz": "America/Sao_Paulo",
        "tenant": "t",
    }
    person = identify(identifier(), mint(claims))

    assert person == Person("t", person.subject, AgeBand.FROM_12, True, True, True, "America/Sao_Paulo")
    assert "u1" not in person.subject
    assert len(person.subject) == 32
    assert set(person.subject) <= set(string.ascii_lowercase + "234567")


def test_a_token_with_only_a_subject_gets_the_defaults() -> None:
    """Unknown age, default tenant, the service's time zone."""
    person = identify(identifier(default_tz="Europe/Berlin"), mint({"sub": "u1"}))

    assert person == Person("default", person.subject, AgeBand.UNKNOWN, False, False, True, "Europe/Berlin")


def test_who_sends_no_token_is_anonymous_unless_one_is_required() -> None:
    """And in the service's time zone."""
    assert Person(tz="Asia/Tokyo") == identify(identifier(default_tz="Asia/Tokyo"))
    assert refused(identifier(required=True)) == (401, "identity_required")
    assert refused(identifier(required=True), None, (b"duty-minor-mode", b"1")) == (401, "identity_required")
    assert identify(identifier(required=True), mint({"sub": "u1"})).is_signed


def test_headers_may_be_a_mapping() -> None:
    """For callers that have no raw headers."""
    assert asyncio.run(identifier().identify({b"duty-subject": mint({"sub": "u1"})})).is_signed


def test_pseudonyms_are_stable_keyed_and_cannot_be_joined_across_tenants() -> None:
    """The same person is the same; another tenant, another key or a shifted border between the two is another."""
    one = identifier()
    other_key = Identifier(Identity(), b"q" * 32, Clock(), SECRET)
    token = mint({"sub": "u1", "tenant": "a"})

    assert identify(one, token).subject == identify(identifier(), mint({"sub": "u1", "tenant": "a", "x": 1})).subject
    subjects = {
        identify(one, token).subject,
        identify(one, mint({"sub": "u1", "tenant": "b"})).subject,
        identify(one, mint({"sub": "u1"})).subject,
        identify(one, mint({"sub": "1", "tenant": "au"})).subject,
        identify(other_key, token).subject,
        base64.b32encode(hashlib.sha256(b"a\0u1").digest()[:20]).decode().lower(),
    }
    assert len(subjects) == 6


FORGED = {
    "no token at all": (b"", "malformed_token"),
    "not a token": (b"hello", "malformed_token"),
    "two tokens in one": (mint({"sub": "a"}) + b", " + mint({"sub": "b"}), "malformed_token"),
    "a bearer prefix": (b"Bearer " + mint({"sub": "a"}), "malformed_token"),
    "a line break": (mint({"sub": "a"}) + b"\n", "malformed_token"),
    "too long": (mint({"sub": "a", "x": "y" * 9000}), "malformed_token"),
    "another secret": (mint({"sub": "a"}, b"another secret of more than 32 bytes"), "untrusted_token"),
    "alg none, unsigned": (b64(b'{"alg":"none"}') + b"." + b64(b'{"sub":"a"}') + b".", "malformed_token"),
    "alg none, some signature": (mint({"sub": "a"}, header={"alg": "none"}), "untrusted_token"),
    "alg NONE": (mint({"sub": "a"}, header={"alg": "NonE"}), "untrusted_token"),
    "alg HS512 with our secret": (mint({"sub": "a"}, header={"alg": "HS512"}), "untrusted_token"),
    "alg of another kind": (sign({"sub": "a"}, RSA, "RS256"), "untrusted_token"),
    "alg missing": (mint({"sub": "a"}, header={"typ": "JWT"}), "malformed_token"),
    "alg a number": (mint({"sub": "a"}, header={"alg": 5}), "malformed_token"),
    "kid a number": (mint({"sub": "a"}, header={"alg": "HS256", "kid": 5}), "malformed_token"),
    "header a list": (mint({"sub": "a"}, header=["HS256"]), "malformed_token"),
    "header no JSON": (b64(b"{") + b"." + b64(b"{}") + b"." + b64(b"x"), "malformed_token"),
    "header bad UTF-8": (b64(b'{"alg":"\xff"}') + b"." + b64(b"{}") + b"." + b64(b"x"), "malformed_token"),
    "an extension": (mint({"sub": "a"}, header={"alg": "HS256", "crit": ["b64"], "b64": False}), "untrusted_token"),
    "crit a number": (mint({"sub": "a"}, header={"alg": "HS256", "crit": 7}), "untrusted_token"),
    "a key of its own": (
        mint({"sub": "a"}, b"k" * 32, {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"k" * 32).decode()}}),
        "untrusted_token",
    ),
    "a changed payload": (
        mint({"sub": "a"}).replace(b64(b'{"sub": "a"}'), b64(b'{"sub": "b"}')),
        "untrusted_token",
    ),
    "a cut signature": (mint({"sub": "a"})[:-4], "untrusted_token"),
    "claims a list": (mint(["sub"]), "malformed_claims"),
    "claims a text": (mint("sub"), "malformed_claims"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_or_broken_token_is_refused(name: str) -> None:
    """Whatever is wrong with it: 401, a fixed word, and not a letter of what was sent."""
    token, code = FORGED[name]
    one = identifier()

    assert (401, code) == refused(one, token)
    assert not one._known


def test_claims_that_are_no_json_are_refused() -> None:
    """Signed is not well-formed."""
    signed = b64(b'{"alg":"HS256"}') + b"." + b64(b"{'sub'")

    assert refused(identifier(), signed + b"." + b64(hmac.digest(SECRET, signed, "sha256"))) == (
        401,
        "malformed_claims",
    )


def test_unknown_header_members_are_ignored() -> None:
    """RFC 7515 section 4: issuers add their own, and only `crit` makes them binding."""
    header = {"alg": "HS256", "typ": "at+jwt", "nonce": "n", "ver": 2, "kid": "any"}

    assert identify(identifier(), mint({"sub": "a"}, header=header)).is_signed


WRONG: dict[str, list[Any]] = {
    "sub": [None, 5, "", "x" * 257, ["a"], True],
    "tenant": [5, "", "a b", "x" * 65, "../x", "a\0b", ".a", None],
    "minor_mode": [1, "true", None],
    "verified": [0, "yes", {}],
    "tz": [8, None, ["Asia/Shanghai"]],
    "age_band": [15, None, "old", "16-12", "12-", "-5", "12–", "1234", "²"],
    "birth_year": ["2010", 2010.0, True, 1899, 2027, None],
    "exp": ["soon", True, None, [1]],
    "nbf": ["now", False],
    "iat": ["then", {}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_claim_of_the_wrong_type_or_range_is_refused(name: str, value: Any) -> None:
    """An adult by accident is worse than an error."""
    assert refused(identifier(), mint({"sub": "u", **{name: value}})) == (401, "malformed_claims")


def test_a_token_without_a_subject_is_refused() -> None:
    """It would be nobody's."""
    assert refused(identifier(), mint({"age_band": "18+"})) == (401, "malformed_claims")


@given(
    st.dictionaries(
        st.sampled_from([*WRONG, "iss", "aud"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=9)
        | st.lists(st.integers(), max_size=2),
    )
)
def test_any_claims_end_in_a_person_or_an_identity_error(claims: dict[str, Any]) -> None:
    """No other exception, whatever an issuer signs; and no claim's text in the message."""
    try:
        person = identify(identifier(jwt=Jwt(audience="us")), mint(claims))
    except IdentityError as error:
        for value in claims.values():
            assert not (isinstance(value, str) and len(value) > 6) or value not in error.message
    else:
        assert person.is_signed
        assert person.subject


@given(
    st.dictionaries(
        st.text(max_size=6) | st.sampled_from(["alg", "kid", "crit", "typ", "jwk", "b64", "x5c"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2),
        max_size=4,
    )
)
def test_any_header_ends_in_an_identity_error(header: dict[str, Any]) -> None:
    """Without the secret no header makes a token good, and none makes it crash us."""
    with pytest.raises(IdentityError):
        identify(identifier(), mint({"sub": "u"}, b"z" * 32, header))


def test_times_are_enforced_with_leeway() -> None:
    """RFC 7519: expired at `exp`, not before `nbf`, and not from the future; clocks may differ by the leeway."""
    one = identifier(jwt=Jwt(leeway_s=30))

    for claims, code in (
        ({"exp": NOW - 30}, "token_expired"),
        ({"exp": 0}, "token_expired"),
        ({"exp": -1e300}, "token_expired"),
        ({"nbf": NOW + 31}, "token_not_yet_valid"),
        ({"iat": NOW + 31}, "token_not_yet_valid"),
        ({"iat": NOW - 5, "nbf": NOW + 31}, "token_not_yet_valid"),
    ):
        assert (401, code) == refused(one, mint({"sub": "u", **claims})), claims
    for claims in ({"exp": NOW - 29}, {"nbf": NOW + 30}, {"iat": NOW + 30}, {"exp": 9e18}, {}):
        assert identify(one, mint({"sub": "u", **claims})).is_signed, claims


def test_a_remembered_token_expires_all_the_same() -> None:
    """Being fast does not make a token live longer, and a clock that goes back does not make it early."""
    clock = Clock()
    one = identifier(clock, jwt=Jwt(leeway_s=0))
    token = mint({"sub": "u", "exp": NOW + 60, "nbf": NOW})

    assert identify(one, token) is identify(one, token)
    clock.now = NOW + 59.9
    assert identify(one, token).is_signed
    clock.now = NOW + 60
    assert refused(one, token) == (401, "token_expired")
    clock.now = NOW - 1
    assert refused(one, token) == (401, "token_not_yet_valid")


def test_issuer_and_audience_are_checked_where_they_are_configured() -> None:
    """A token for another service is no token for this one."""
    one = identifier(jwt=Jwt(issuer="https://idp", audience="us"))
    right = {"sub": "u", "iss": "https://idp", "aud": "us"}

    assert identify(one, mint(right)).is_signed
    assert identify(one, mint({**right, "aud": ["them", "us"]})).is_signed
    for wrong, code in (
        ({"iss": "https://idp/"}, "wrong_issuer"),
        ({"iss": None}, "wrong_issuer"),
        ({"aud": "them"}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": ["them"]}, "wrong_audience"),
        ({"aud": {"us": 1}}, "wrong_audience"),
    ):
        assert (401, code) == refused(one, mint({**right, **wrong}))
    assert identify(identifier(), mint(right)).is_signed


def test_a_token_sent_twice_is_refused() -> None:
    """Two proxies that disagree which one counts must not be played against each other."""
    token = mint({"sub": "u"})

    assert refused(identifier(), token, (b"duty-subject", token)) == (401, "duplicate_token")


def test_a_token_that_nobody_can_verify_is_refused() -> None:
    """Without a key source the message says what to configure; hints still tighten."""
    one = identifier(secret=None)

    assert refused(one, mint({"sub": "u"})) == (401, "no_key_source")
    assert identify(one, None, (b"duty-minor-mode", b"1")).is_protected


def test_no_message_repeats_what_was_sent() -> None:
    """Errors are shown and logged."""
    marker = "Zq7marker"
    one = identifier()
    for token in (
        marker.encode(),
        mint({"sub": "u", "tz": [marker]}),
        mint({"sub": "u", "age_band": marker}),
        mint({"sub": "u", "tenant": marker + " "}),
        mint({"sub": "u"}, header={"alg": marker}),
        mint({"sub": "u"}, header={"alg": "HS256", "crit": [marker], marker: 1}),
    ):
        with pytest.raises(IdentityError) as caught:
            identify(one, token)
        assert marker not in caught.value.message + str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("tz", ["Mars/Base", "", "../../etc/passwd", "asia/shanghai", "localtime", "/etc/localtime"])
def test_an_unknown_time_zone_is_the_default_one(tz: str) -> None:
    """Only names of the IANA list; nothing is read from a path."""
    assert identify(identifier(), mint({"sub": "u", "tz": tz})).tz == "Asia/Shanghai"


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("0-2", "0-2"),
        ("3-7", "3-7"),
        ("8-11", "8-11"),
        ("12-15", "12-15"),
        ("16-17", "16-17"),
        ("18+", "18+"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("<16", "0-2"),
        ("< 3", "0-2"),
        ("<=17", "0-2"),
        ("under_14", "0-2"),
        ("Under 18", "0-2"),
        ("u16", "0-2"),
        ("<21", "0-2"),
        ("minor", "0-2"),
        ("child", "0-2"),
        ("teen", "12-15"),
        ("13-17", "12-15"),
        ("15-19", "12-15"),
        ("16–17", "16-17"),
        ("16+", "16-17"),
        ("17", "16-17"),
        ("18", "18+"),
        (">=18", "18+"),
        ("over_18", "18+"),
        ("ADULT", "18+"),
        ("25-34", "18+"),
        ("65+", "18+"),
    ],
)
def test_words_for_an_age_are_read_at_their_youngest(text: str, band: str) -> None:
    """What could be a child's is a child's."""
    assert AgeBand(band) == age_band(text)
    assert AgeBand(band) == identify(identifier(), mint({"sub": "u", "age_band": text})).age_band


def test_every_age_is_in_its_band() -> None:
    """The lower bound is inclusive."""
    bands = [band_of_age(age).value for age in (0, 2, 3, 7, 8, 11, 12, 15, 16, 17, 18, 120)]

    assert bands == ["0-2", "0-2", "3-7", "3-7", "8-11", "8-11", "12-15", "12-15", "16-17", "16-17", "18+", "18+"]


@given(st.text(max_size=8))
def test_any_text_is_a_band_or_none(text: str) -> None:
    """Never an exception."""
    assert age_band(text) is None or isinstance(age_band(text), AgeBand)


@pytest.mark.parametrize(
    ("local", "tz", "band"),
    [
        ("2026-12-30 23:59:59", "Asia/Shanghai", AgeBand.FROM_16),
        ("2026-12-31 00:00:00", "Asia/Shanghai", AgeBand.ADULT),
        ("2027-01-01 00:00:00", "Asia/Shanghai", AgeBand.ADULT),
        ("2026-12-30 23:59:59", "America/Los_Angeles", AgeBand.FROM_16),
        ("2026-12-31 00:00:00", "Pacific/Kiritimati", AgeBand.ADULT),
    ],
)
def test_a_birth_year_means_its_last_day_in_the_persons_zone(local: str, tz: str, band: AgeBand) -> None:
    """Who was born in 2008 may be 17 until the end of 2026."""
    now = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(tz)).timestamp()

    assert band == identify(identifier(Clock(now)), mint({"sub": "u", "birth_year": 2008, "tz": tz})).age_band


def test_a_remembered_person_grows_up_on_time() -> None:
    """A token without an end does not keep its bearer a child, nor the cache."""
    eve = datetime(2026, 12, 31, tzinfo=SHANGHAI).timestamp()
    clock = Clock(eve - 1)
    one = identifier(clock)
    token = mint({"sub": "u", "birth_year": 2008})

    assert identify(one, token).age_band is AgeBand.FROM_16
    clock.now = eve
    assert identify(one, token).age_band is AgeBand.ADULT


def test_a_birth_year_of_this_year_is_the_youngest_band() -> None:
    """Before its last day such a person is not even born."""
    assert identify(identifier(), mint({"sub": "u", "birth_year": 2026})).age_band is AgeBand.UNDER_3


@pytest.mark.parametrize(
    ("claims", "band"),
    [
        ({"age_band": "18+", "birth_year": 2012}, AgeBand.FROM_12),
        ({"age_band": "8-11", "birth_year": 1980}, AgeBand.FROM_8),
        ({"age_band": "unknown", "birth_year": 1980}, AgeBand.ADULT),
        ({"age_band": "unknown", "birth_year": 2012}, AgeBand.FROM_12),
    ],
)
def test_of_two_ages_the_younger_counts(claims: dict[str, Any], band: AgeBand) -> None:
    """One that is unknown says nothing."""
    assert band == identify(identifier(), mint({"sub": "u", **claims})).age_band


@pytest.mark.parametrize("value", [b"1", b"true", b"on", b"yes", b" 1 ", b"01", b"ja"])
def test_an_unsigned_minor_mode_protects(value: bytes) -> None:
    """A signed adult's as much as a stranger's; anything but a plain no is a yes."""
    adult = mint({"sub": "u", "age_band": "18+"})

    for token in (None, adult):
        person = identify(identifier(), token, (b"duty-minor-mode", value))
        assert person.is_protected
        assert (token is not None) == person.is_signed


@pytest.mark.parametrize(
    "hints",
    [
        ((b"duty-minor-mode", b"0"), (b"duty-age-band", b"18+")),
        ((b"duty-minor-mode", b"false"), (b"duty-age-band", b"adult")),
        ((b"duty-minor-mode", b"OFF"), (b"duty-age-band", b"unknown")),
        ((b"duty-minor-mode", b""), (b"duty-age-band", b"")),
        ((b"duty-verified", b"1"), (b"duty-tz", b"America/New_York")),
    ],
)
def test_an_unsigned_hint_never_loosens(hints: tuple[tuple[bytes, bytes], ...]) -> None:
    """Whoever is signed as a minor stays one, and a stranger does not become an adult."""
    minor = mint({"sub": "u", "age_band": "12-15", "minor_mode": True})
    plain = identify(identifier(), minor)

    assert plain == identify(identifier(), minor, *hints)
    assert Person() == identify(identifier(), None, *hints)


@pytest.mark.parametrize(
    ("signed", "hint", "band"),
    [
        ("18+", b"12-15", AgeBand.FROM_12),
        ("16-17", b"8-11", AgeBand.FROM_8),
        ("8-11", b"16-17", AgeBand.FROM_8),
        ("unknown", b"16-17", AgeBand.FROM_16),
        ("18+", b"\xe2\x89\xa516", AgeBand.FROM_16),
        (None, b"<16", AgeBand.UNDER_3),
    ],
)
def test_an_unsigned_age_counts_where_it_is_younger(signed: str | None, hint: bytes, band: AgeBand) -> None:
    """And the next request without it is as it was."""
    one = identifier()
    token = None if signed is None else mint({"sub": "u", "age_band": signed})
    before = identify(one, token)

    assert band == identify(one, token, (b"duty-age-band", hint)).age_band
    assert before == identify(one, token)


def test_of_several_hints_the_strictest_counts() -> None:
    """A second header cannot take back the first."""
    hints = (
        (b"duty-age-band", b"8-11"),
        (b"duty-age-band", b"18+"),
        (b"duty-minor-mode", b"1"),
        (b"duty-minor-mode", b"0"),
    )
    person = identify(identifier(), None, *hints)

    assert (person.age_band, person.in_minor_mode) == (AgeBand.FROM_8, True)


@pytest.mark.parametrize("value", [b"young", b"\xff\xfe", b"12-", b"9999"])
def test_a_hint_that_cannot_be_read_is_refused(value: bytes) -> None:
    """Passing it over would loosen in silence."""
    assert refused(identifier(), None, (b"duty-age-band", value)) == (400, "malformed_hint")


def test_a_flood_of_tokens_is_bounded() -> None:
    """The cache holds no more than it may, and forgets who was not seen longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REMEMBERED_TOKENS", 3)
        one = identifier()
        tokens = [mint({"sub": f"u{i}"}) for i in range(5)]
        first = identify(one, tokens[0])
        for token in tokens[1:3]:
            identify(one, token)
        assert first is identify(one, tokens[0])
        identify(one, tokens[3])
        assert len(one._known) == 3
        assert first is identify(one, tokens[0])


def test_no_token_is_kept_in_memory() -> None:
    """A dump of the process holds nobody's credentials from the cache."""
    one = identifier()
    token = mint({"sub": "u"})
    identify(one, token)

    assert [hashlib.sha256(token).digest()] == list(one._known)


def test_a_known_token_costs_microseconds() -> None:
    """A proxied request does not pay for cryptography: well under 50 microseconds, even on a busy machine."""
    one = identifier()
    headers = [(b"x-%d" % i, b"v") for i in range(12)] + [(b"duty-subject", mint({"sub": "u"}))]

    async def best() -> float:
        await one.identify(headers)
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            await one.identify(headers)
            times.append(time.perf_counter() - begun)
        return min(times)

    assert asyncio.run(best()) < 50e-6


@pytest.mark.parametrize(
    "make",
    [
        lambda: identifier(secret=b""),
        lambda: identifier(default_tz="Asia/Atlantis"),
        lambda: identifier(jwt=Jwt(jwks_url="https://idp/keys")),
        lambda: identifier(secret=RSA.as_pem(private=False)),
        lambda: Identifier(Identity(), b"short", Clock(), SECRET),
    ],
)
def test_settings_that_cannot_work_are_refused_at_start(make: Any) -> None:
    """An empty secret, two key sources, a public key in the place of a secret, an unknown zone, a short key."""
    with pytest.raises(SettingsError):
        make()


def test_a_weak_secret_works_and_is_named() -> None:
    """Others' test set-ups use short ones; the operator is told."""
    one = identifier(secret=b"short")

    assert identify(one, mint({"sub": "u"}, b"short")).is_signed
    assert "has 5 bytes; use at least 32" in one.cautions[0]
    assert identifier().cautions == ()


class Issuer:
    """A JWKS document that can change or be away."""

    def __init__(self, **keys: Any) -> None:
        self.clock = Clock()
        self.keys = keys
        self.is_away = False
        self.fetches = 0

    async def fetch(self, url: str) -> bytes:
        self.fetches += 1
        if self.is_away:
            raise OSError
        return json.dumps(
            {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in self.keys.items()]}
        ).encode()

    def identifier(self) -> Identifier:
        return identifier(self.clock, None, self.fetch, jwt=Jwt(jwks_url="https://idp/keys"))


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("RS256", RSA), ("PS256", RSA), ("ES256", P256), ("ES384", P384), ("EdDSA", ED25519), ("Ed25519", ED25519)],
)
def test_a_token_signed_with_a_published_key_is_believed(algorithm: str, key: Any) -> None:
    """Each algorithm we accept, with and without the key's name; and another's key is not."""
    issuer = Issuer(k=key)

    assert identify(issuer.identifier(), sign({"sub": "u"}, key, algorithm, kid="k")).is_signed
    assert identify(issuer.identifier(), sign({"sub": "u"}, key, algorithm)).is_signed
    other = type(key).generate_key(2048 if key is RSA else key.as_dict()["crv"])
    assert refused(issuer.identifier(), sign({"sub": "u"}, other, algorithm, kid="k")) == (401, "untrusted_token")
    assert refused(issuer.identifier(), sign({"sub": "u"}, key, algorithm, kid="other")) == (401, "untrusted_token")


def test_a_public_key_is_never_a_shared_secret() -> None:
    """The classic confusion: HS256 with the published key, in every spelling, as the secret."""
    issuer = Issuer(k=RSA)
    header = {"alg": "HS256", "kid": "k"}
    for secret in (
        RSA.as_pem(private=False),
        RSA.as_der(private=False),
        json.dumps(RSA.as_dict(private=False)).encode(),
    ):
        assert refused(issuer.identifier(), mint({"sub": "u"}, secret, header)) == (401, "untrusted_token")


def test_an_algorithm_we_do_not_accept_causes_no_fetch() -> None:
    """Nor does a token that is none."""
    issuer = Issuer(k=RSA)

    async def story() -> None:
        one = issuer.identifier()
        await one.prepare()
        issuer.clock.now += 60
        for token in (mint({"sub": "u"}), sign({"sub": "u"}, RSA, "RS512", kid="x"), b"a.b.c"):
            with pytest.raises(IdentityError):
                await one.identify([(b"duty-subject", token)])
        await one.close()

    asyncio.run(story())
    assert issuer.fetches == 1


def test_keys_rotate_and_what_an_old_key_signed_ends_with_it() -> None:
    """A new key works at once; a withdrawn one does not live on in the cache of verified tokens."""
    issuer = Issuer(old=P256)

    async def story() -> None:
        one = issuer.identifier()
        await one.prepare()
        old = [(b"duty-subject", sign({"sub": "u"}, P256, "ES256", kid="old"))]
        new = [(b"duty-subject", sign({"sub": "u"}, P384, "ES384", kid="new"))]
        person = await one.identify(old)
        issuer.keys = {"new": P384}
        issuer.clock.now += 60
        assert person is await one.identify(old)
        assert person == await one.identify(new)
        with pytest.raises(IdentityError) as caught:
            await one.identify(old)
        assert caught.value.code == "untrusted_token"
        assert await one.identify(new) is await one.identify(new)
        await one.close()

    asyncio.run(story())


def test_keys_that_cannot_be_had_are_our_fault_not_the_clients() -> None:
    """503, also at start; strangers are served, because they prove nothing."""
    issuer = Issuer(k=P256)
    issuer.is_away = True
    one = issuer.identifier()

    assert refused(one, sign({"sub": "u"}, P256, "ES256", kid="k")) == (503, "keys_unavailable")
    assert not identify(one).is_signed
    with pytest.raises(IdentityError):
        asyncio.run(one.prepare())
