# SPDX-License-Identifier: Apache-2.0
"""Tiles and entry bundles, c2sp.org/tlog-tiles: the tree as static files that any web server can serve.

A full tile holds 256 hashes: number i of tile n on level l covers leaves [(256 n + i) 256**l, (256 n + i + 1) 256**l).
Only the last tile of a level may be partial, and its width is in its path. An entry bundle holds the leaves of a
level-0 tile, each after its big-endian uint16 length. Readers raise nothing but VerificationError.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit_log.errors import VerificationError
from audit_log.merkle import HASH_BYTES, fold, leaf_hash, node_hash

WIDTH = 256
SEGMENT = WIDTH * WIDTH
"""A log is pruned by whole segments: what one full level-1 tile covers."""
MAX_LEAF_BYTES = 65_535
_GZIP_BITS = 31
_MOST_BUNDLE_BYTES = WIDTH * (MAX_LEAF_BYTES + 2)
_MAX_LEVEL = 63

Fetch = Callable[[str], bytes | None]
"""Path below the log's prefix -> content, or None where there is no such file."""

_TILE_PATH = re.compile(
    r"tile/(entries|0|[1-5][0-9]?|6[0-3]?|[7-9])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TileId:
    """Which tile: level (None for an entry bundle), number within the level, and width from 1 to 256."""

    level: int | None
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Path below the log's prefix."""
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{number_path(self.number)}{partial}"

    @property
    def end_index(self) -> int:
        """First leaf behind those that the full tile in this place covers."""
        return (self.number + 1) << (8 * ((self.level or 0) + 1))

    @property
    def full(self) -> "TileId":
        """The full tile in the same place."""
        return TileId(self.level, self.number)


def number_path(number: int) -> str:
    """Tile number as path elements of three digits, all but the last marked: 1234067 -> ``x001/x234/067``."""
    path = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        path = f"x{number % 1000:03d}/{path}"
    return path


def parse_path(path: str) -> TileId:
    """Read a tile's path; raises VerificationError for any other spelling (so a path can never leave its folder)."""
    match = _TILE_PATH.fullmatch(path)
    if match is None:
        raise VerificationError("not the path of a tile")
    level, digits, width = match.groups()
    if digits.startswith("x000/"):
        raise VerificationError("not the path of a tile: the number is not in its shortest form")
    if width is not None and int(width) >= WIDTH:
        raise VerificationError("not the path of a tile: a partial tile has at most 255 hashes")
    number = int(digits.replace("/", "").replace("x", ""))
    return TileId(None if level == "entries" else int(level), number, int(width) if width else WIDTH)


def tiles_of(size: int) -> Iterator[TileId]:
    """All hash tiles of a tree of ``size`` leaves, level by level, partial ones last on their level."""
    level = 0
    while size:
        for number in range(size // WIDTH):
            yield TileId(level, number)
        if size % WIDTH:
            yield TileId(level, size // WIDTH, size % WIDTH)
        size //= WIDTH
        level += 1


def bundles_of(size: int) -> Iterator[TileId]:
    """All entry bundles of a tree of ``size`` leaves."""
    for number in range(size // WIDTH):
        yield TileId(None, number)
    if size % WIDTH:
        yield TileId(None, size // WIDTH, size % WIDTH)


def encode_bundle(leaves: Iterable[bytes]) -> bytes:
    """The entry bundle of these leaves."""
    parts = []
    for leaf in leaves:
        if len(leaf) > MAX_LEAF_BYTES:
            raise VerificationError(f"leaf has {len(leaf)} bytes; at most {MAX_LEAF_BYTES} fit in an entry bundle")
        parts.append(len(leaf).to_bytes(2, "big"))
        parts.append(leaf)
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The first ``width`` leaves of an entry bundle that holds at least as many; raises VerificationError."""
    leaves = []
    position = 0
    while position < len(data):
        start = position + 2
        end = start + int.from_bytes(data[position:start], "big")
        if start > len(data) or end > len(data):
            raise VerificationError("entry bundle ends in the middle of an entry")
        leaves.append(data[start:end])
        position = end
    if len(leaves) < width or len(leaves) > WIDTH:
        raise VerificationError(f"entry bundle holds {len(leaves)} entries; expected {width}")
    return leaves[:width]


def decode_tile(data: bytes, width: int) -> list[bytes]:
    """The first ``width`` hashes of a tile that holds at least as many; raises VerificationError."""
    count, remainder = divmod(len(data), HASH_BYTES)
    if remainder or count < width or count > WIDTH:
        raise VerificationError(f"tile has {len(data)} bytes; expected {width} hashes of {HASH_BYTES} bytes")
    return [data[i : i + HASH_BYTES] for i in range(0, width * HASH_BYTES, HASH_BYTES)]


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def edge_peaks(levels: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Hashes of a tree's perfect subtrees, largest first, from the hashes in the partial tiles of each level."""
    peaks: list[bytes] = []
    for row in reversed(levels):
        start = 0
        while start < len(row):
            width = 1 << ((len(row) - start).bit_length() - 1)
            peaks.append(perfect_root(row[start : start + width]))
            start += width
    return peaks


class Edge:
    """The right edge of a growing tree as it stands in tiles: partial tiles of each level, and the open bundle.

    Memory holds one partial tile a level and one bundle, whatever the size of the tree.
    """

    __slots__ = ("_peaks", "bundle", "levels", "size")

    def __init__(self) -> None:
        self.size = 0
        self.levels: list[list[bytes]] = []
        self.bundle: list[bytes] = []
        self._peaks: list[bytes] = []

    @classmethod
    def resume(cls, levels: list[list[bytes]], bundle: list[bytes], size: int) -> "Edge":
        """The edge of a tree from its partial tiles and its partial bundle, which the caller has checked."""
        edge = cls()
        edge.size = size
        edge.levels = [list(row) for row in levels]
        edge.bundle = list(bundle)
        edge._peaks = edge_peaks(levels)
        return edge

    def copy(self) -> "Edge":
        """An edge that grows on its own."""
        edge = Edge()
        edge.size = self.size
        edge.levels = [list(row) for row in self.levels]
        edge.bundle = list(self.bundle)
        edge._peaks = list(self._peaks)
        return edge

    def add(self, leaf: bytes) -> list[tuple[TileId, bytes]]:
        """Add the next leaf; gives the tiles and the bundle that became full with it, lowest level first."""
        levels, peaks = self.levels, self._peaks
        if not levels:
            levels.append([])
        hash_ = leaf_hash(leaf)
        self.bundle.append(leaf)
        levels[0].append(hash_)
        rest = self.size
        self.size += 1
        full: list[tuple[TileId, bytes]] = []
        height = 0
        while rest & 1:
            hash_ = node_hash(peaks.pop(), hash_)
            rest >>= 1
            height += 1
            if height % 8 == 0:
                level = height // 8 - 1
                if level == 0:
                    full.append((TileId(None, self.size // WIDTH - 1), encode_bundle(self.bundle)))
                    self.bundle.clear()
                full.append((TileId(level, (self.size >> height) - 1), b"".join(levels[level])))
                levels[level].clear()
                if level + 1 == len(levels):
                    levels.append([])
                levels[level + 1].append(hash_)
        peaks.append(hash_)
        return full

    def partials(self) -> list[tuple[TileId, bytes]]:
        """The partial bundle and the partial tiles."""
        found = []
        if self.bundle:
            found.append((TileId(None, self.size // WIDTH, len(self.bundle)), encode_bundle(self.bundle)))
        for level, row in enumerate(self.levels):
            if row:
                found.append((TileId(level, self.size >> (8 * (level + 1)), len(row)), b"".join(row)))
        return found

    def root(self) -> bytes:
        """Root of the tree over all leaves so far."""
        return fold(self._peaks)


class TileTree:
    """A tree of a fixed size, read through its tiles. Keeps the tiles it has read: make one a request."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch = fetch
        self._kept: dict[TileId, list[bytes]] = {}
        self.size = size

    def tile(self, level: int, number: int) -> list[bytes]:
        """Hashes of a tile as wide as it is in a tree of this size; raises VerificationError where it is missing."""
        total = self.size >> (8 * level)
        tile = TileId(level, number, min(WIDTH, total - number * WIDTH))
        if tile not in self._kept:
            self._kept[tile] = decode_tile(self._read(tile), tile.width)
        return self._kept[tile]

    def entries(self, number: int) -> list[bytes]:
        """Leaves of an entry bundle as wide as it is in a tree of this size; raises VerificationError."""
        tile = TileId(None, number, min(WIDTH, self.size - number * WIDTH))
        return decode_bundle(self._read(tile), tile.width)

    def perfect(self, level: int, index: int) -> bytes:
        """Hash of the perfect subtree over leaves [index << level, (index + 1) << level)."""
        tile_level, height = divmod(level, 8)
        first = index << height
        row = self.tile(tile_level, first // WIDTH)
        start = first % WIDTH
        return perfect_root(row[start : start + (1 << height)])

    def edge(self) -> list[list[bytes]]:
        """Hashes in the partial tile of each level, level 0 first; an empty list where a level ends on a full tile."""
        return self.edge_at(self.size)

    def root(self) -> bytes:
        """Root of the tree, from its right edge."""
        return fold(edge_peaks(self.edge()))

    def edge_at(self, size: int) -> list[list[bytes]]:
        """``edge`` of the smaller tree of this size, read from the tiles of this one."""
        levels = []
        level, total = 0, size
        while total:
            width = total % WIDTH
            levels.append(self.tile(level, total // WIDTH)[:width] if width else [])
            total //= WIDTH
            level += 1
        return levels

    def _read(self, tile: TileId) -> bytes:
        # A partial tile may be deleted once the full one is there, which then begins with the same hashes.
        data = self._fetch(tile.path)
        if data is None and tile.width != WIDTH:
            data = self._fetch(tile.full.path)
        if data is None:
            raise VerificationError(f"{tile.path} is missing")
        return data


def pack_bundle(bundle: bytes) -> bytes:
    """A full entry bundle as it lies in a folder, in a file with the suffix ``.gz`` (RFC 1952).

    Static web servers hand such a file out under the bundle's own name, with ``Content-Encoding: gzip``.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_BITS)
    return packer.compress(bundle) + packer.flush()


def unpack_bundle(packed: bytes) -> bytes:
    """What ``pack_bundle`` packed; nothing where the file is damaged, which is no bundle and so never a right one."""
    unpacker = zlib.decompressobj(_GZIP_BITS)
    try:
        bundle = unpacker.decompress(packed, _MOST_BUNDLE_BYTES + 1)
    except zlib.error:
        return b""
    is_whole = unpacker.eof and not unpacker.unused_data and len(bundle) <= _MOST_BUNDLE_BYTES
    return bundle if is_whole else b""


def read_tile_file(folder: Path, path: str) -> bytes | None:
    """Content of a file of a log's prefix that lies in ``folder``, packed or not; None where there is none.

    Raises OSError where it cannot be read.
    """
    try:
        return (folder / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if not path.startswith("tile/entries/") or ".p/" in path:
            return None
    try:
        return unpack_bundle((folder / f"{path}.gz").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def fetch_from(folder: Path) -> Fetch:
    """A reader of tiles that lie as files in ``folder``."""

    def fetch(path: str) -> bytes | None:
        try:
            return read_tile_file(folder, path)
        except OSError as error:
            raise VerificationError(f"{path} cannot be read: {error.strerror}") from None

    return fetch
