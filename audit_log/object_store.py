# SPDX-License-Identifier: Apache-2.0
"""A bucket of an S3-compatible object storage, as `archive` wants it. Needs the extra ``archive`` (boto3).

Credentials and everything else that boto3 finds by itself (environment, files, roles) stay with it. What must hold: an
object is locked in the same request that stores it; errors say what failed and never carry a credential.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import IO, Any, Literal

from audit_log.archive import ArchiveRefused, StoredObject
from audit_log.errors import LogUnavailable

Lock = Literal["compliance", "governance"]

_MISSING = ("404", "NoSuchKey", "NotFound")
_TIMEOUT_S = 30.0


class S3Bucket:
    """One bucket. ``lock``: whether nobody may delete before the time, or only who has a special right."""

    def __init__(self, bucket: str, *, endpoint: str = "", region: str = "", lock: Lock = "compliance") -> None:
        """Connects to nothing yet. Raises ArchiveRefused where boto3 is not installed or its settings are unusable."""
        try:
            boto3, config = import_module("boto3"), import_module("botocore.config")
            self._errors: Any = import_module("botocore.exceptions")
        except ImportError:
            raise ArchiveRefused("the archive needs the package boto3: pip install 'dutybound[archive]'") from None
        options = config.Config(
            connect_timeout=_TIMEOUT_S,
            read_timeout=_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 3},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._bucket = bucket
        self._lock = lock.upper()
        try:
            self._client: Any = boto3.client(
                "s3", endpoint_url=endpoint or None, region_name=region or None, config=options
            )
        except (ValueError, self._errors.BotoCoreError) as error:
            raise ArchiveRefused(f"the object storage cannot be used: {type(error).__name__}") from None

    def check(self) -> None:
        """Raise ArchiveRefused where the bucket cannot lock objects."""
        with self._told("bucket"):
            try:
                found = self._client.get_object_lock_configuration(Bucket=self._bucket)
            except self._errors.ClientError as error:
                if _code(error) in ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"):
                    found = {}
                else:
                    raise
        if found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            raise ArchiveRefused(f"bucket {self._bucket} has no object lock; make one that has")

    def put(self, key: str, file: IO[bytes], digest: str, locked_until: float) -> None:
        """Store and lock an object; its SHA-256 goes with it, for the storage to check and to keep."""
        with self._told(key):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=file,
                Metadata={"sha256": digest},
                ChecksumAlgorithm="SHA256",
                ObjectLockMode=self._lock,
                ObjectLockRetainUntilDate=datetime.fromtimestamp(locked_until, UTC),
            )

    def find(self, key: str) -> StoredObject | None:
        """What there is to say of an object, None where there is none."""
        with self._told(key):
            try:
                found = self._client.head_object(Bucket=self._bucket, Key=key)
            except self._errors.ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
        until = found.get("ObjectLockRetainUntilDate")
        return StoredObject(
            found.get("Metadata", {}).get("sha256", ""),
            until.timestamp() if isinstance(until, datetime) and found.get("ObjectLockMode") else None,
            found.get("ObjectLockLegalHoldStatus") == "ON",
        )

    @contextmanager
    def read(self, key: str) -> Iterator[IO[bytes]]:
        """An object for reading."""
        with self._told(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            try:
                yield body
            finally:
                body.close()

    def folders(self, prefix: str) -> Iterator[str]:
        """Names directly under a prefix, in order."""
        with self._told(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/"):
                for found in page.get("CommonPrefixes", ()):
                    yield str(found["Prefix"])[len(prefix) :].rstrip("/")

    def hold(self, key: str, is_held: bool) -> None:
        """Place or lift the legal hold of an object."""
        with self._told(key):
            state = {"Status": "ON" if is_held else "OFF"}
            self._client.put_object_legal_hold(Bucket=self._bucket, Key=key, LegalHold=state)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._errors.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            text = f"the object storage answered {_code(error)} for {what}"
            if status >= 500 or status == 429:
                raise LogUnavailable(text) from None
            raise ArchiveRefused(text) from None
        except self._errors.BotoCoreError as error:
            raise LogUnavailable(f"the object storage cannot be used: {type(error).__name__}") from None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "Unknown"))
