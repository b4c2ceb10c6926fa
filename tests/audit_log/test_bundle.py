# SPDX-License-Identifier: Apache-2.0
"""The bundle's verifier: whatever was changed, it says so, and names the first index that is bad."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_log.bundle import BundleFiles, bundled_body, verify_bundle
from audit_log.commands import export_source
from audit_log.errors import VerificationError
from audit_log.export import export_bundle
from audit_log.keys import load_log_key
from audit_log.note import Signer, sign_note

ORIGIN = "audit.example.com/test"
Files = dict[str, bytes]


@pytest.fixture
def files(small: Path, tmp_path: Path) -> Files:
    """A good bundle with opened bodies, as its files."""
    with export_source(small) as source:
        export_bundle(source, tmp_path / "good.zip", clock=lambda: 1.8e9, generator="test 1", bodies="opened")
    with zipfile.ZipFile(tmp_path / "good.zip") as pack:
        return {name: pack.read(name) for name in pack.namelist()}


@pytest.fixture
def vkey(small: Path) -> str:
    return (small / "log.vkey").read_text().strip()


@pytest.fixture
def packed(tmp_path: Path) -> Iterator[Callable[[Files], Path]]:
    """Makes a zip of files."""

    def pack(files: Files) -> Path:
        path = tmp_path / "changed.zip"
        with zipfile.ZipFile(path, "w") as target:
            for name, data in files.items():
                target.writestr(name, data)
        return path

    yield pack


def resigned(files: Files, signer: Signer) -> Files:
    """What somebody with a signing key can make good after a change: hashes, counts, proofs' digest, signature."""
    manifest = json.loads(files["MANIFEST.json"])
    proofs = sorted((name for name in files if name.startswith("proofs/")), key=lambda name: int(name[7:-11]))
    manifest["proofs_sha256"] = sha256(b"".join(files[name] for name in proofs)).hexdigest()
    manifest["files"] = {
        name: {"sha256": sha256(data).hexdigest(), "bytes": str(len(data))}
        for name, data in files.items()
        if not name.startswith("proofs/") and not name.startswith("MANIFEST.")
    }
    manifest["counts"]["record"] = str(files["records.jsonl"].count(b"\n"))
    data = json.dumps(manifest).encode()
    text = f"dutybound.bundle/v1\n{sha256(data).hexdigest()}\n"
    return {**files, "MANIFEST.json": data, "MANIFEST.sig": sign_note(text, [signer])}


def test_a_good_bundle_holds_in_a_zip_and_in_a_folder(files: Files, packed: Callable[[Files], Path], vkey: str) -> None:
    """The zip, and the folder that it unpacks to."""
    zipped = packed(files)
    folder = zipped.with_suffix("")
    shutil.unpack_archive(zipped, folder)

    for path in (zipped, folder):
        report = verify_bundle(path, vkeys=[vkey])
        assert report.problems == []
        assert (report.records, report.tree_size, report.bodies, report.erased) == (40, 40, 6, 4)
        assert (report.complete, report.key_given, report.checkpoints) == (True, True, 6)
        assert json.loads(json.dumps(report.as_json()))["ok"] is True


def test_a_flipped_bit_in_any_file_is_found(files: Files, packed: Callable[[Files], Path], vkey: str) -> None:
    """First, middle and last byte of every file."""
    for name, data in files.items():
        for position in {0, len(data) // 2, len(data) - 1}:
            changed = bytearray(data)
            changed[position] ^= 1 << (position % 8)
            report = verify_bundle(packed({**files, name: bytes(changed)}), vkeys=[vkey])
            assert not report.ok, f"byte {position} of {name}"


def test_every_file_is_missed_and_none_may_be_added(files: Files, packed: Callable[[Files], Path]) -> None:
    """Also one in a folder that has others of its kind."""
    for name in files:
        assert not verify_bundle(packed({key: data for key, data in files.items() if key != name})).ok, name
    for name in ("extra.txt", "proofs/99.tlog-proof", "proofs/1", "bodies/0.json", "keys/x.vkey", "tiles/tile/0/001"):
        assert not verify_bundle(packed({**files, name: b"x"})).ok, name


def test_a_changed_record_is_named(files: Files, packed: Callable[[Files], Path]) -> None:
    """The first of two, by its index in the log."""
    lines = files["records.jsonl"].split(b"\n")
    lines[17] = lines[17].replace(b"exchange", b"exchanged")
    lines[30] = lines[30].replace(b"exchange", b"exchanged")
    report = verify_bundle(packed({**files, "records.jsonl": b"\n".join(lines)}))

    assert (report.ok, report.first_bad_index) == (False, 17)


def test_the_log_key_alone_cannot_make_a_changed_record_good(
    files: Files, packed: Callable[[Files], Path], small: Path, vkey: str
) -> None:
    """Somebody who can sign manifests again still cannot change, drop, repeat or swap a record, or say it is all."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    assert verify_bundle(packed(resigned(files, signer)), vkeys=[vkey]).problems == []
    lines = files["records.jsonl"].split(b"\n")[:-1]
    rows = files["records.csv"].split(b"\r\n")

    def with_lines(lines: list[bytes], rows: list[bytes]) -> Files:
        return {**files, "records.jsonl": b"\n".join(lines) + b"\n", "records.csv": b"\r\n".join(rows)}

    swapped = [*lines[:5], lines[6], lines[5], *lines[7:]]
    dropped = with_lines(lines[:20] + lines[21:], rows[:21] + rows[22:])
    dropped_with_proof = {name: data for name, data in dropped.items() if name != "proofs/20.tlog-proof"}
    for changed, bad in (
        (with_lines(swapped, rows), 5),
        (dropped, 20),
        (dropped_with_proof, 20),
        (with_lines([*lines, lines[-1]], rows), None),
        (with_lines(lines, [*rows[:8], rows[8].replace(b"t0", b"t2"), *rows[9:]]), 7),
    ):
        report = verify_bundle(packed(resigned(changed, signer)), vkeys=[vkey])
        assert not report.ok
        if bad is not None:
            assert report.first_bad_index == bad


def test_what_was_done_to_the_log_is_proven_too(files: Files, packed: Callable[[Files], Path], small: Path) -> None:
    """An erasure cannot be invented, moved or left out of the count."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    [erasure] = json.loads(files["erasures.json"])["records"]
    for changed in (
        {**erasure, "record": erasure["record"].replace("request", "law")},
        {**erasure, "index": "3"},
        {**erasure, "proof": erasure["proof"].replace("index", "extra AAAA\nindex")},
        {**erasure, "proof": "x"},
        {"index": "1"},
    ):
        data = json.dumps({"records": [changed]}).encode()
        assert not verify_bundle(packed(resigned({**files, "erasures.json": data}, signer))).ok
    for name in ("erasures.json", "holds.json"):
        for data in (b'{"records": []}', json.dumps({"records": [erasure] * 2}).encode(), b"[]", b'{"records": 1}'):
            if (name, data) != ("holds.json", b'{"records": []}'):
                assert not verify_bundle(packed(resigned({**files, name: data}, signer))).ok


def test_a_bundle_of_a_forger_is_refused_where_the_key_is_known(
    files: Files, packed: Callable[[Files], Path], vkey: str
) -> None:
    """With the bundle's own keys it cannot be told, and the report says that no key was given."""
    forger = Signer(ORIGIN, Ed25519PrivateKey.generate())
    forged = {
        **{name: data for name, data in files.items() if not name.startswith("keys/")},
        "keys/forged.vkey": f"{forger.verifier.vkey}\n".encode(),
        "policy.txt": f"log {forger.verifier.vkey}\nquorum none\n".encode(),
    }
    report = verify_bundle(packed(resigned(forged, forger)), vkeys=[vkey])

    assert not report.ok
    assert "not a key of this bundle" in report.problems[0]
    assert not verify_bundle(packed(files), vkeys=[]).key_given


def test_a_selection_cannot_claim_what_it_does_not_hold(
    files: Files, packed: Callable[[Files], Path], small: Path
) -> None:
    """Filters that a record contradicts; a selection that says it is complete."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    for filters in ({"tenant": "t1"}, {"since": "2028"}, {"until": "2027"}, {"type": "boot"}, None):
        manifest = {**json.loads(files["MANIFEST.json"]), "filters": filters, "complete": False}
        changed = {**files, "MANIFEST.json": json.dumps(manifest).encode()}
        assert not verify_bundle(packed(resigned(changed, signer))).ok, filters
    manifest = {**json.loads(files["MANIFEST.json"]), "filters": {"subject": "(one subject)"}}
    assert not verify_bundle(packed(resigned({**files, "MANIFEST.json": json.dumps(manifest).encode()}, signer))).ok


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "dutybound-bundle/9"},
        {"origin": None},
        {"origin": "other.example"},
        {"tree_size": "39"},
        {"tree_size": "x"},
        {"range": {"first": "0", "last": "38"}},
        {"filters": None},
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    files: Files, packed: Callable[[Files], Path], small: Path, change: Files
) -> None:
    """Even signed."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    manifest = {**json.loads(files["MANIFEST.json"]), **change}
    changed = resigned({**files, "MANIFEST.json": json.dumps(manifest).encode()}, signer)

    assert not verify_bundle(packed(changed)).ok


def test_an_opened_body_is_the_one_that_its_leaf_names(
    files: Files, packed: Callable[[Files], Path], small: Path
) -> None:
    """Another text, another key or another ciphertext is refused; the text comes out."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    leaf = files["records.jsonl"].split(b"\n")[5]
    good = BundleFiles(packed(files))
    assert bundled_body(good, 5, leaf) == b"text 4"
    good.close()
    facts = json.loads(files["bodies/5.json"])
    for name, data in (
        ("bodies/5.sealed", files["bodies/9.sealed"]),
        ("bodies/5.json", files["bodies/9.json"]),
        ("bodies/5.json", json.dumps({**facts, "data_key": "zz"}).encode()),
        ("bodies/5.json", json.dumps({**facts, "data_key": "00" * 32}).encode()),
    ):
        report = verify_bundle(packed(resigned({**files, name: data}, signer)))
        assert (report.ok, report.first_bad_index) == (False, 5)


def test_what_is_no_bundle_is_reported_and_not_raised(tmp_path: Path, packed: Callable[[Files], Path]) -> None:
    """Nothing there, no zip, an empty zip, a truncated one, one with a name twice, one packed in another way."""
    (tmp_path / "x.zip").write_bytes(b"PK no")
    assert not verify_bundle(tmp_path / "absent.zip").ok
    assert not verify_bundle(tmp_path / "x.zip").ok
    assert not verify_bundle(packed({})).ok
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as pack, pytest.warns(UserWarning):
        pack.writestr("MANIFEST.json", b"{}")
        pack.writestr("MANIFEST.json", b"{}")
    assert "same name" in verify_bundle(tmp_path / "twice.zip").problems[0]
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_BZIP2) as pack:
        pack.writestr("MANIFEST.json", b"{}")
    assert not verify_bundle(tmp_path / "lzma.zip").ok


def test_a_zip_with_damaged_bytes_never_raises(files: Files, packed: Callable[[Files], Path]) -> None:
    """Every 97th byte of the zip, whatever it belongs to."""
    data = packed(files).read_bytes()
    path = packed(files).with_name("damaged.zip")
    for position in range(0, len(data), len(data) // 150):
        changed = bytearray(data)
        changed[position] ^= 0x55
        path.write_bytes(bytes(changed))
        verify_bundle(path)
    path.write_bytes(data[: len(data) // 2])
    assert not verify_bundle(path).ok


def test_reading_a_file_that_is_not_there_is_a_verification_error(tmp_path: Path) -> None:
    """In a folder as in a zip."""
    with pytest.raises(VerificationError):
        BundleFiles(tmp_path).read("MANIFEST.json")
