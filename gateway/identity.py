# SPDX-License-Identifier: Apache-2.0
"""Who is asking: a signed token in `Duty-Subject`, and unsigned hints that may only tighten.

A token is a JWT (RFC 7519, checked as RFC 8725 advises) signed with a shared secret (HS256) or with a key of a JWKS
document; which algorithms are accepted follows from the key source alone, never from the token. Its claims are `sub`,
`age_band` or `birth_year`, `minor_mode`, `verified`, `tz` and `tenant`.

What must hold: who cannot prove to be an adult is never made one; a person is known only by a keyed pseudonym that
nobody can join across tenants or reverse without the key; no message repeats what a client sent. A token that was
verified is remembered by its hash, so that a request pays microseconds, and its times are checked at every use.
"""

from __future__ import annotations

import hmac
import re
import warnings
import zoneinfo
from base64 import b32encode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning, UnsupportedAlgorithmError, UnsupportedHeaderError
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from gateway.api_keys import KEY_HEADERS, ApiKey, ApiKeys, own_key
from gateway.exchange import TENANT_NAME, AgeBand, Person
from gateway.jwks import ALGORITHMS, Fetch, KeyRing, KeysUnavailable, PublicKey, fetch_document
from gateway.proxy_identity import CLAIMS_HEADER, PROOF_HEADER, ProxyIdentity, ProxyRefused
from gateway.settings import Identity, SettingsError

SUBJECT_HEADER = b"duty-subject"
MINOR_MODE_HEADER = b"duty-minor-mode"
AGE_BAND_HEADER = b"duty-age-band"

MAX_TOKEN_BYTES = 8_192
MAX_SUBJECT_CHARS = 256
REMEMBERED_TOKENS = 20_000
SECRET_BYTES = 32
"""RFC 7518 section 3.2: a secret for HS256 has at least as many bits as its hash."""
SUBJECT_BYTES = 20
"""160 bits of the pseudonym's HMAC: no two people meet, and it is 32 letters and digits without padding."""

_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_OFF = frozenset((b"", b"0", b"false", b"off", b"no"))
_FOREVER = float("inf")
_NOTHING: Mapping[bytes, bytes] = {}
_NO_PLACES = frozenset(("localtime", "posixrules", "Factory"))
"""Names beside the IANA list that mean this machine's own settings, or none."""

Headers = Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]
"""ASGI's raw headers, names in lower case; only as pairs can they show that a header was sent twice."""


class IdentityError(Exception):
    """We will not believe this about a person. `message` names the fact and the next step, never what was sent."""

    def __init__(self, code: str, message: str, status: int = 401) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class _Verified:
    """A person a token vouched for, and between which times (seconds since the epoch) that holds."""

    person: Person
    valid_from: float
    valid_until: float


class Identifier:
    """Tells who is asking. One for each event loop: with a JWKS source it fetches keys in the background."""

    def __init__(
        self,
        settings: Identity,
        pseudonym_key: bytes,
        clock: Callable[[], float],
        secret: bytes | None = None,
        fetch: Fetch | None = None,
        api_keys: ApiKeys | None = None,
        proxy: ProxyIdentity | None = None,
    ) -> None:
        """`secret` is the HS256 secret; without it `settings.jwt.jwks_url`, where set, is read through `fetch`.

        `api_keys` are the gateway's own, `proxy` believes a trusted proxy. `clock` gives seconds since the epoch.
        `cautions` afterwards names what works but is weak. Raises `SettingsError` where the settings cannot be used.
        """
        self._settings = settings
        self._jwt = settings.jwt
        self._clock = clock
        self._api_keys = api_keys
        self._proxy = proxy
        names = settings.claims.model_dump()
        self._names: dict[str, str] = names if any(name != own for name, own in names.items()) else {}
        if len(pseudonym_key) < SECRET_BYTES:
            raise SettingsError(f"the pseudonym key has {len(pseudonym_key)} bytes, expected at least {SECRET_BYTES}")
        self._pseudonym_key = pseudonym_key
        self._zones = zoneinfo.available_timezones() - _NO_PLACES
        if settings.default_tz not in self._zones:
            raise SettingsError('identity.default_tz: expected an IANA time zone, for example "Asia/Shanghai"')
        self._anonymous = Person(tz=settings.default_tz)
        self._known: OrderedDict[bytes, _Verified] = OrderedDict()
        self._known_version = 0
        self._secret: OctKey | None = None
        self._ring: KeyRing | None = None
        self.cautions: tuple[str, ...] = ()
        if secret is not None and self._jwt.jwks_url:
            raise SettingsError("identity.jwt: expected a secret or jwks_url, got both: one source prevents confusion")
        if secret is not None:
            self._secret = _shared_secret(secret)
            if len(secret) < SECRET_BYTES:
                self.cautions = (
                    f"the secret in identity.jwt.secret_env has {len(secret)} bytes; use at least {SECRET_BYTES} random"
                    " bytes (RFC 7518 section 3.2), for example from `openssl rand -base64 48`",
                )
        elif self._jwt.jwks_url:
            self._ring = KeyRing(self._jwt.jwks_url, self._jwt.jwks_cache_s, clock, fetch or fetch_document)
        self._registry = _Registry(algorithms=("HS256",) if self._secret else ALGORITHMS, strict_check_header=False)

    async def prepare(self) -> None:
        """Fetch the keys ahead of the first request. Raises `IdentityError` (503) where they cannot be had."""
        if self._ring is not None:
            await self._refresh(self._ring)

    async def close(self) -> None:
        """End what runs in the background."""
        if self._ring is not None:
            await self._ring.close()

    async def identify(self, headers: Headers, peer: str = "") -> Person:
        """Who is asking, from the address `peer`.

        Waits for no network but for keys that must be fetched first, and to count a proxy's nonce. Raises
        `IdentityError`, and `StateUnavailable` where nobody can tell about an API key or a nonce.
        """
        token: bytes | None = None
        hinted_mode = False
        hinted_band = AgeBand.UNKNOWN
        key_text = ""
        vouched: Mapping[bytes, bytes] = _NOTHING
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            if not name.startswith(b"duty-"):
                if name in KEY_HEADERS and (found := own_key(value)):
                    if key_text and found != key_text:
                        raise IdentityError("duplicate_key", "More than one API key was sent; send one.")
                    key_text = found
                continue
            if name == SUBJECT_HEADER:
                if token is not None:
                    raise IdentityError("duplicate_token", "Duty-Subject was sent more than once; send it once.")
                token = value
            elif name in (CLAIMS_HEADER, PROOF_HEADER):
                if name in vouched:
                    raise IdentityError("duplicate_claims", "Duty-Claims or Duty-Proof was sent twice; send it once.")
                vouched = {**vouched, name: value}
            elif name == MINOR_MODE_HEADER:
                # Whatever does not clearly say no is a yes: a hint that was misspelt must not loosen.
                hinted_mode = hinted_mode or value.strip().lower() not in _OFF
            elif name == AGE_BAND_HEADER:
                hinted_band = _younger(hinted_band, _hinted_band(value))
        key = await self._key_of(key_text)
        key_tenant = key.tenant if key is not None else ""
        if vouched:
            if token is not None:
                raise IdentityError("two_identities", "Send either Duty-Subject or Duty-Claims, not both.")
            person = await self._vouched_for(vouched, peer, key_tenant)
        elif token is not None:
            person = await self._person_of(token, key_tenant)
        elif self._settings.required:
            raise IdentityError("identity_required", "This service needs a signed token in Duty-Subject; send one.")
        else:
            person = self._anonymous
        if key is not None:
            person = replace(person, tenant=key.tenant, api_key=key.id)
        if hinted_mode or hinted_band.is_minor:
            return _tightened(person, hinted_mode, hinted_band)
        return person

    async def _vouched_for(self, vouched: Mapping[bytes, bytes], peer: str, key_tenant: str) -> Person:
        """The person whom a proxy vouches for. Raises `IdentityError`, and `StateUnavailable`."""
        if self._proxy is None:
            raise IdentityError(
                "no_trusted_proxy", "Duty-Claims was sent, but no proxy is trusted; set identity.proxy, or send none."
            )
        try:
            claims = await self._proxy.claims(vouched.get(CLAIMS_HEADER, b""), vouched.get(PROOF_HEADER, b""), peer)
        except ProxyRefused as error:
            raise IdentityError(error.code, error.message) from None
        return self._person(claims, self._clock(), key_tenant)[0]

    async def _key_of(self, text: str) -> ApiKey | None:
        """The API key with this text; None for no text. Raises `IdentityError`, and `StateUnavailable`."""
        if not text or self._api_keys is None or self._settings.api_keys == "off":
            if self._settings.api_keys == "require":
                raise IdentityError("api_key_required", "This service needs an API key of its own; send one.")
            if text:
                raise _unknown_key()
            return None
        key = await self._api_keys.find(text)
        if key is None:
            raise _unknown_key()
        return key

    async def _person_of(self, token: bytes, key_tenant: str) -> Person:
        now = self._clock()
        ring = self._ring
        if ring is not None:
            if now >= ring.refresh_at:
                await self._refresh(ring)
            if self._known_version != ring.version:
                self._forget(ring.version)
        # No token and no tenant holds a NUL, so no two pairs of them make the same text.
        digest = sha256(token if not key_tenant else b"%b\0%b" % (token, key_tenant.encode())).digest()
        known = self._known.get(digest)
        if known is not None and known.valid_from <= now < known.valid_until:
            self._known.move_to_end(digest)
            return known.person
        claims = await self._verified_claims(token)
        verified = self._read(claims, self._clock(), key_tenant)
        if ring is not None and self._known_version != ring.version:
            self._forget(ring.version)
        self._known[digest] = verified
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED_TOKENS:
            self._known.popitem(last=False)
        return verified.person

    async def guardian(self, token: bytes) -> tuple[str, str]:
        """Whose guardian a signed token vouches for: the tenant and the minor's pseudonym (claim `guardian_of`).

        Raises `IdentityError`.
        """
        if self._ring is not None and self._clock() >= self._ring.refresh_at:
            await self._refresh(self._ring)
        claims = await self._verified_claims(token)
        self._times(claims, self._clock())
        self._check_parties(claims)
        minor, tenant = claims.get("guardian_of"), claims.get("tenant", "default")
        if not isinstance(minor, str) or not 0 < len(minor) <= MAX_SUBJECT_CHARS:
            raise _malformed(f"expected guardian_of as the minor's sub, a text of 1 to {MAX_SUBJECT_CHARS} characters")
        if not isinstance(tenant, str) or TENANT_NAME.fullmatch(tenant) is None:
            raise _malformed("expected tenant as 1 to 64 letters, digits, dots, underscores and hyphens")
        return tenant, self.pseudonym(tenant, minor)

    def _forget(self, version: int) -> None:
        """The keys have changed: a token signed by one that is gone must not live on."""
        self._known.clear()
        self._known_version = version

    async def _refresh(self, ring: KeyRing) -> None:
        try:
            await ring.refresh()
        except KeysUnavailable:
            raise IdentityError(
                "keys_unavailable", "The keys that verify tokens cannot be fetched now; try again later.", 503
            ) from None

    async def _verified_claims(self, token: bytes) -> dict[str, Any]:
        if self._secret is None and self._ring is None:
            raise IdentityError(
                "no_key_source",
                "Duty-Subject was sent, but no key source is configured; set identity.jwt.secret_env or jwks_url.",
            )
        if len(token) > MAX_TOKEN_BYTES or _TOKEN.fullmatch(token) is None:
            raise IdentityError(
                "malformed_token", f"Duty-Subject is not a signed JWT of at most {MAX_TOKEN_BYTES} bytes; send one."
            )
        try:
            signed = jws.extract_compact(token, registry=self._registry)
            header = signed.headers()
            algorithm, kid = header.get("alg"), header.get("kid")
        except (JoseError, ValueError, TypeError, AttributeError):
            raise IdentityError("malformed_token", "Duty-Subject is not a JWT that can be read; send one.") from None
        if not isinstance(algorithm, str) or not isinstance(kid, str | None):
            raise IdentityError("malformed_token", "Duty-Subject is not a JWT that can be read; send one.")
        key = await self._key(kid, algorithm)
        try:
            is_genuine = jws.validate_compact(signed, key, registry=self._registry)
        except (JoseError, ValueError, TypeError):
            is_genuine = False
        if not is_genuine:
            raise _untrusted()
        try:
            claims = orjson.loads(signed.payload)
        except ValueError:
            raise _malformed("expected a JSON object") from None
        if not isinstance(claims, dict):
            raise _malformed("expected a JSON object")
        return claims

    async def _key(self, kid: str | None, algorithm: str) -> OctKey | PublicKey:
        if algorithm not in (self._registry.allowed or ()):
            raise _untrusted()
        if self._secret is not None:
            return self._secret
        assert self._ring is not None
        key = await self._ring.find(kid, algorithm)
        if key is None:
            raise _untrusted()
        return key

    def _read(self, claims: dict[str, Any], now: float, key_tenant: str) -> _Verified:
        """The person whom verified claims describe; `key_tenant` is the tenant that an API key names, if one came.

        Raises `IdentityError` for wrong types, times, parties or another tenant.
        """
        valid_from, valid_until = self._times(claims, now)
        self._check_parties(claims)
        person, changes_at = self._person(claims, now, key_tenant)
        return _Verified(person, valid_from, min(valid_until, changes_at))

    def _person(self, claims: dict[str, Any], now: float, key_tenant: str) -> tuple[Person, float]:
        """The person of believed claims, and until when their age holds."""
        if self._names:
            claims = {name: claims[own] for name, own in self._names.items() if own in claims}
        holds_until = _FOREVER
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS:
            raise _malformed(f"expected sub as a text of 1 to {MAX_SUBJECT_CHARS} characters")
        tenant = claims.get("tenant", key_tenant or "default")
        if not isinstance(tenant, str) or TENANT_NAME.fullmatch(tenant) is None:
            raise _malformed("expected tenant as 1 to 64 letters, digits, dots, underscores and hyphens")
        if key_tenant and tenant != key_tenant:
            raise IdentityError(
                "wrong_tenant", "The token in Duty-Subject is of another tenant than the API key; use one of both.", 403
            )
        tz = claims.get("tz", self._settings.default_tz)
        if not isinstance(tz, str):
            raise _malformed("expected tz as an IANA time zone name")
        if tz not in self._zones:
            tz = self._settings.default_tz
        band, age = AgeBand.UNKNOWN, -1
        if "age_band" in claims:
            stated = claims["age_band"]
            found = age_band(stated) if isinstance(stated, str) else None
            if found is None:
                raise _malformed('expected age_band as one of the bands, for example "12-15", "<16" or "18+"')
            band = found
        if "birth_year" in claims:
            age, changes_at = _age_of_birth_year(claims["birth_year"], now, ZoneInfo(tz))
            band = _younger(band, band_of_age(age))
            holds_until = changes_at
        person = Person(
            tenant=tenant,
            subject=self.pseudonym(tenant, subject),
            age_band=band,
            age=age,
            in_minor_mode=_flag(claims, "minor_mode"),
            is_verified=_flag(claims, "verified"),
            is_signed=True,
            tz=tz,
        )
        return person, holds_until

    def _times(self, claims: dict[str, Any], now: float) -> tuple[float, float]:
        """From when until when the token holds (RFC 7519 section 4.1), with the leeway for clocks that differ."""
        leeway = self._jwt.leeway_s
        for name in ("exp", "nbf", "iat"):
            if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
                raise _malformed(f"expected {name} as seconds since 1970")
        valid_until = float(claims["exp"]) + leeway if "exp" in claims else _FOREVER
        valid_from = max((float(claims[name]) for name in ("nbf", "iat") if name in claims), default=-_FOREVER) - leeway
        if now >= valid_until:
            raise IdentityError("token_expired", "The token in Duty-Subject has expired; get a new one.")
        if now < valid_from:
            raise IdentityError(
                "token_not_yet_valid", "The token in Duty-Subject is not valid yet; check the clock of its issuer."
            )
        return valid_from, valid_until

    def _check_parties(self, claims: dict[str, Any]) -> None:
        if self._jwt.issuer and claims.get("iss") != self._jwt.issuer:
            raise IdentityError("wrong_issuer", "The token in Duty-Subject is from an issuer that is not accepted.")
        if self._jwt.audience:
            audience = claims.get("aud")
            if self._jwt.audience not in (audience if isinstance(audience, list) else [audience]):
                raise IdentityError("wrong_audience", "The token in Duty-Subject is meant for another audience.")

    def pseudonym(self, tenant: str, subject: str) -> str:
        """The name that records know a person by: nobody can join it across tenants or reverse it without the key."""
        # A tenant never holds a NUL, so no two pairs of tenant and subject make the same message.
        digest = hmac.digest(self._pseudonym_key, f"{tenant}\0{subject}".encode(), "sha256")
        return b32encode(digest[:SUBJECT_BYTES]).decode().lower()


class _Registry(JWSRegistry):
    """joserfc's algorithms, only those allowed here; `EdDSA`, still the common name, without its warning."""

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("not accepted")
        return self.algorithms[name]

    def check_header(self, header: dict[str, Any]) -> None:
        # RFC 7515 section 4.1.11: extensions that must be understood make the token invalid where they are not.
        if "crit" in header:
            raise UnsupportedHeaderError("crit")
        super().check_header(header)


def _shared_secret(secret: bytes) -> OctKey:
    if not secret:
        raise SettingsError("identity.jwt.secret_env: the secret is empty; use at least 32 random bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # `cautions` says it in our words
            return OctKey.import_key(secret)
    except (JoseError, ValueError):
        raise SettingsError("identity.jwt.secret_env: expected random bytes, got an asymmetric key") from None


_EXACT = {
    "": AgeBand.UNKNOWN,
    "unknown": AgeBand.UNKNOWN,
    "adult": AgeBand.ADULT,
    "minor": AgeBand.UNDER_3,
    "child": AgeBand.UNDER_3,
    "teen": AgeBand.FROM_12,
}
_YOUNGEST = re.compile(r"(?:>=|≥|over|from)?(\d{1,3})(?:\+|[-–](\d{1,3}))?")
_BELOW = re.compile(r"(?:<=?|≤|under|below|u)(\d{1,3})")


def age_band(text: str) -> AgeBand | None:
    """The strictest band that fits words like `12-15`, `<16`, `under_14`, `18+`, `adult`; None where unreadable.

    A range is taken at its youngest age, and one that has only an upper bound begins at birth.
    """
    word = re.sub(r"[\s_]+", "", text.casefold())
    if word in _EXACT:
        return _EXACT[word]
    if _BELOW.fullmatch(word):
        return AgeBand.UNDER_3
    match = _YOUNGEST.fullmatch(word)
    if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
        return None
    return band_of_age(int(match[1]))


def band_of_age(age: int) -> AgeBand:
    """The band of a person who is `age` years old."""
    for band, below in _BELOW_AGE:
        if age < below:
            return band
    return AgeBand.ADULT


_BELOW_AGE = (
    (AgeBand.UNDER_3, 3),
    (AgeBand.FROM_3, 8),
    (AgeBand.FROM_8, 12),
    (AgeBand.FROM_12, 16),
    (AgeBand.FROM_16, 18),
)
_RANK = {band: rank for rank, band in enumerate((*(band for band, _ in _BELOW_AGE), AgeBand.ADULT, AgeBand.UNKNOWN))}


def _younger(one: AgeBand, other: AgeBand) -> AgeBand:
    """The younger of two bands; one that is unknown says nothing."""
    return one if _RANK[one] <= _RANK[other] else other


def _age_of_birth_year(year: object, now: float, zone: ZoneInfo) -> tuple[int, float]:
    """The age of the youngest person born in `year`, on 31 December, and when it next changes."""
    today = datetime.fromtimestamp(now, zone)
    if isinstance(year, bool) or not isinstance(year, int) or not 1900 <= year <= today.year:
        raise _malformed("expected birth_year as a year from 1900 to this one")
    is_birthday = (today.month, today.day) == (12, 31)
    age = today.year - year - (0 if is_birthday else 1)
    next_birthday = datetime(today.year + is_birthday, 12, 31, tzinfo=zone)
    return age, next_birthday.timestamp()


def _hinted_band(value: bytes) -> AgeBand:
    band = age_band(value.decode("utf-8", "replace"))
    if band is None:
        # Passing over a hint that cannot be read would loosen without anyone seeing it.
        raise IdentityError(
            "malformed_hint", 'Duty-Age-Band is not an age band; send one, for example "12-15", or none.', 400
        )
    return band if band.is_minor else AgeBand.UNKNOWN


def _tightened(person: Person, in_minor_mode: bool, band: AgeBand) -> Person:
    return replace(
        person, in_minor_mode=person.in_minor_mode or in_minor_mode, age_band=_younger(band, person.age_band)
    )


def _flag(claims: dict[str, Any], name: str) -> bool:
    value = claims.get(name, False)
    if not isinstance(value, bool):
        raise _malformed(f"expected {name} as true or false")
    return value


def _malformed(expected: str) -> IdentityError:
    return IdentityError("malformed_claims", f"The token in Duty-Subject has unusable claims: {expected}.")


def _unknown_key() -> IdentityError:
    return IdentityError("unknown_key", "This API key is not in force here; ask the provider for a new one.")


def _untrusted() -> IdentityError:
    return IdentityError(
        "untrusted_token", "The token in Duty-Subject is not signed by a key that is trusted here; get a new one."
    )
