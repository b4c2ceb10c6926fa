# SPDX-License-Identifier: Apache-2.0
"""Tiles: the numbers of the specification, round trips, and trees read back through their files."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_log.errors import VerificationError
from audit_log.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from audit_log.tiles import (
    Edge,
    TileId,
    TileTree,
    bundles_of,
    decode_bundle,
    decode_tile,
    encode_bundle,
    fetch_from,
    number_path,
    pack_bundle,
    parse_path,
    tiles_of,
    unpack_bundle,
)


def grow(sizes: list[int]) -> tuple[dict[str, bytes], Edge]:
    """Files of a log that made checkpoints at these sizes."""
    files: dict[str, bytes] = {}
    edge = Edge()
    for size in sizes:
        while edge.size < size:
            files.update((tile.path, data) for tile, data in edge.add(b"%d" % edge.size))
        files.update((tile.path, data) for tile, data in edge.partials())
    return files, edge


def hashes(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(size)]


@pytest.mark.parametrize(("number", "path"), [(0, "000"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067")])
def test_tile_numbers_are_spelled_as_specified(number: int, path: str) -> None:
    """Three digits an element, x before all but the last."""
    assert path == number_path(number)


def test_the_example_of_the_specification() -> None:
    """A tree of 70,000: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    tiles = list(tiles_of(70_000))

    assert sum(tile.level == 0 and tile.width == 256 for tile in tiles) == 273
    assert [TileId(0, 273, 112), TileId(1, 0), TileId(1, 1, 17), TileId(2, 0, 1)] == tiles[273:]
    assert [TileId(0, 0), TileId(1, 0, 1)] == list(tiles_of(256))
    assert TileId(None, 273, 112) == list(bundles_of(70_000))[-1]
    assert list(tiles_of(0)) == []


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**18), st.integers(1, 256))
def test_a_path_is_read_back(level: int | None, number: int, width: int) -> None:
    """Any level, number and width."""
    tile = TileId(level, number, width)

    assert tile == parse_path(tile.path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/001/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/0/../../log.key",
        "tile/0/٠٠٠",
        "tile/data/000",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/" + "x001/" * 50 + "000",
    ],
)
def test_no_other_spelling_is_a_path(path: str) -> None:
    """So that a path from outside can never leave the folder."""
    with pytest.raises(VerificationError):
        parse_path(path)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_a_bundle_is_read_back(leaves: list[bytes]) -> None:
    """Also with empty leaves; also only its beginning."""
    data = encode_bundle(leaves)

    assert leaves == decode_bundle(data, len(leaves))
    assert leaves[:1] == decode_bundle(data, 1)
    with pytest.raises(VerificationError):
        decode_bundle(data, len(leaves) + 1)


@given(st.binary(max_size=64), st.integers(1, 256))
def test_garbage_in_a_bundle_or_tile_raises_nothing_else(data: bytes, width: int) -> None:
    """Either it is well formed or VerificationError."""
    for decode in (decode_bundle, decode_tile):
        with suppress(VerificationError):
            assert width == len(decode(data, width))


def test_a_leaf_that_does_not_fit_is_refused() -> None:
    """The length has 16 bits."""
    assert b"\xff\xff" + bytes(65_535) == encode_bundle([bytes(65_535)])
    with pytest.raises(VerificationError):
        encode_bundle([bytes(65_536)])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=4).map(sorted))
def test_a_growing_log_has_the_tiles_of_each_of_its_sizes(sizes: list[int]) -> None:
    """Whatever the checkpoints' sizes, each checkpoint's tree can be read, rooted and proven from the files."""
    files, edge = grow(sizes)

    for size in sizes:
        tree = TileTree(files.get, size)
        assert root_of(hashes(size)) == tree.root()
        assert {tile.path for tile in (*tiles_of(size), *bundles_of(size))} <= set(files)
        for index in {0, size // 2, size - 1} & set(range(size)):
            proof = inclusion_proof(index, size, TileTree(files.get, size).perfect)
            verify_inclusion(leaf_hash(b"%d" % index), index, size, proof, tree.root())
    assert root_of(hashes(sizes[-1])) == edge.root()
    if sizes[0]:
        new = TileTree(files.get, sizes[-1])
        old_root = root_of(hashes(sizes[0]))
        proof = consistency_proof(sizes[0], sizes[-1], new.perfect)
        verify_consistency(sizes[0], sizes[-1], proof, old_root, new.root())


def test_three_levels_of_tiles_lead_to_the_root() -> None:
    """65,536 leaves fill a tile of level 1; one more begins a new one everywhere."""
    files, edge = grow([65_535, 65_536, 65_537])

    assert TileTree(files.get, 65_537).root() == edge.root() == root_of(hashes(65_537))
    assert {"tile/0/255", "tile/1/000", "tile/2/000.p/1", "tile/0/256.p/1", "tile/entries/256.p/1"} <= set(files)
    proof = inclusion_proof(65_000, 65_537, TileTree(files.get, 65_537).perfect)
    verify_inclusion(leaf_hash(b"65000"), 65_000, 65_537, proof, edge.root())


def test_an_edge_goes_on_from_its_tiles() -> None:
    """What was read back grows like what was never written."""
    files, edge = grow([600])
    tree = TileTree(files.get, 600)
    resumed = Edge.resume(tree.edge(), tree.entries(2), 600)
    kept = resumed.copy()
    for number in range(600, 800):
        assert edge.add(b"%d" % number) == resumed.add(b"%d" % number)

    assert edge.root() == resumed.root()
    assert edge.partials() == resumed.partials()
    assert root_of(hashes(600)) == kept.root()


def test_a_full_tile_stands_in_for_its_partial_form() -> None:
    """Partial tiles may be deleted once the full one is there."""
    files, _ = grow([100, 256])
    del files["tile/0/000.p/100"], files["tile/entries/000.p/100"]
    tree = TileTree(files.get, 100)

    assert root_of(hashes(100)) == tree.root()
    assert tree.entries(0)[99] == b"99"


def test_a_missing_tile_is_named() -> None:
    """The reader says what to look for."""
    with pytest.raises(VerificationError, match=r"tile/0/000\.p/3 is missing"):
        TileTree(lambda path: None, 3).root()


def test_files_are_read_from_a_folder(tmp_path: Path) -> None:
    """None where there is no file; VerificationError where it cannot be read."""
    (tmp_path / "tile").mkdir()
    (tmp_path / "checkpoint").write_bytes(b"x")
    fetch = fetch_from(tmp_path)

    assert (fetch("checkpoint"), fetch("tile/0/000"), fetch("checkpoint/x")) == (b"x", None, None)
    with pytest.raises(VerificationError):
        fetch("tile")


@given(st.binary(max_size=2_000))
def test_a_packed_bundle_is_unpacked_to_what_it_was(bundle: bytes) -> None:
    """And gzip itself reads it."""
    packed = pack_bundle(bundle)
    assert unpack_bundle(packed) == bundle == gzip.decompress(packed)


@given(st.data())
def test_a_damaged_packed_bundle_is_never_another_one(data: st.DataObject) -> None:
    """Cut, flipped, with something behind it, or far larger than a bundle can be: nothing comes out."""
    bundle = bytes(range(256)) * 20
    packed = pack_bundle(bundle)
    place = data.draw(st.integers(0, len(packed) - 1))
    flipped = packed[:place] + bytes([packed[place] ^ 1 << data.draw(st.integers(0, 7))]) + packed[place + 1 :]
    assert unpack_bundle(packed[:place]) == b""
    assert unpack_bundle(flipped) in (b"", bundle)  # a few bits of the head say when and where it was packed
    assert unpack_bundle(packed + b"x") == b""


def test_a_bundle_that_would_fill_the_memory_is_none() -> None:
    """256 leaves of the largest size are the most."""
    assert unpack_bundle(pack_bundle(bytes(256 * 65_537))) == bytes(256 * 65_537)
    assert unpack_bundle(pack_bundle(bytes(256 * 65_537 + 1))) == b""


def test_files_are_read_packed_or_not(tmp_path: Path) -> None:
    """A full bundle only: no other file of the log is ever packed."""
    folder = tmp_path / "tile" / "entries"
    folder.mkdir(parents=True)
    (folder / "000").write_bytes(b"plain")
    (folder / "001.gz").write_bytes(pack_bundle(b"packed"))
    (tmp_path / "checkpoint.gz").write_bytes(pack_bundle(b"no"))
    fetch = fetch_from(tmp_path)
    found = [fetch(path) for path in ("tile/entries/000", "tile/entries/001", "tile/entries/002", "checkpoint")]
    assert found == [b"plain", b"packed", None, None]
