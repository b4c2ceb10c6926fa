# SPDX-License-Identifier: Apache-2.0
"""The archive's bucket against a real S3 server: locks hold, errors are ours, nothing is told of credentials."""

import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from audit_log import LogUnavailable
from audit_log.archive import ArchiveRefused
from audit_log.object_store import S3Bucket

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")
NOW = 4_000_000_000.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    made = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key-of-tests",
        aws_secret_access_key="secret-of-tests",
    )
    made.create_bucket(Bucket="locked-bucket", ObjectLockEnabledForBucket=True)
    made.create_bucket(Bucket="plain-bucket")
    return made


@pytest.fixture
def bucket(client: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
    return S3Bucket("locked-bucket", endpoint=endpoint, region="us-east-1")


def test_an_object_is_locked_as_it_is_stored(bucket: S3Bucket, client: Any) -> None:
    """Nobody can delete that version before its time, and its hash is kept with it."""
    bucket.check()
    bucket.put("a/b", io.BytesIO(b"x" * 100_000), "ab" * 32, NOW)
    found = bucket.find("a/b")
    assert found is not None
    assert (found.sha256, found.locked_until, found.is_held) == ("ab" * 32, NOW, False)
    with bucket.read("a/b") as data:
        assert data.read() == b"x" * 100_000
    version = client.head_object(Bucket="locked-bucket", Key="a/b")
    assert version["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(Exception, match="AccessDenied"):
        client.delete_object(Bucket="locked-bucket", Key="a/b", VersionId=version["VersionId"])


def test_holds_are_placed_and_lifted(bucket: S3Bucket) -> None:
    """On an object that is there."""
    bucket.put("h/x", io.BytesIO(b"x"), "00", NOW)
    for is_held in (True, False):
        bucket.hold("h/x", is_held)
        found = bucket.find("h/x")
        assert found is not None and found.is_held is is_held


def test_folders_are_listed_in_order(bucket: S3Bucket) -> None:
    """Those directly below, each once."""
    for key in ("f/00000002/a", "f/00000001/b", "f/00000001/a", "f/other"):
        bucket.put(key, io.BytesIO(b""), "00", NOW)
    assert [*bucket.folders("f/")] == ["00000001", "00000002"]
    assert [*bucket.folders("nothing/")] == []


def test_what_is_not_there_or_not_ours_is_told_apart(bucket: S3Bucket, client: Any, endpoint: str) -> None:
    """No object, no lock, no bucket, no server: each has its own word, and none names a credential."""
    assert bucket.find("no/such") is None
    with pytest.raises(ArchiveRefused, match="NoSuchKey"), bucket.read("no/such"):
        pass
    with pytest.raises(ArchiveRefused, match="no object lock"):
        S3Bucket("plain-bucket", endpoint=endpoint, region="us-east-1").check()
    with pytest.raises(ArchiveRefused, match="NoSuchBucket") as refused:
        S3Bucket("no-such-bucket", endpoint=endpoint, region="us-east-1").check()
    with pytest.raises(LogUnavailable) as away:
        S3Bucket("locked-bucket", endpoint="http://127.0.0.1:9", region="us-east-1").check()
    with pytest.raises(ArchiveRefused):
        S3Bucket("locked-bucket", endpoint="no address")
    assert not any("of-tests" in str(error.value) for error in (refused, away))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And connects to nothing."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ArchiveRefused, match="archive"):
        S3Bucket("b")
