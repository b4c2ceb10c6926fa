# SPDX-License-Identifier: Apache-2.0
"""From durable leaves to tiles and signed checkpoints: integrating and publishing.

Indices are final once a batch is durable, so tiles follow from the leaves alone and may be written before anything is
signed. The order of a step is: (1) full and partial tiles and bundles, each under its final name and on the disk;
(2) sign; (3) compare-and-swap of the head in the store, the point of no return; (4) publish the checkpoint file;
(5) delete partial tiles whose full tile is there. A crash after any of them leaves a log that goes on: tiles written
again are the same bytes, and a head that is newer than the published file is published first.

What must hold:
- A tile is never changed. Finding other bytes under its name means that leaves were changed, and stops the publisher.
- One process publishes: it holds a file lock, which the kernel hands to another one when it dies. Should two sign all
  the same (a copied folder, a file system without locks), the compare-and-swap lets one win and stops the other.
- Memory holds one partial tile a level and one bundle, whatever the size of the log.
"""

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from audit_log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit_log.errors import LogRefused, LogUnavailable, VerificationError
from audit_log.interfaces import Leadership, LogStore, Tiles
from audit_log.merkle import leaf_hash
from audit_log.note import NoteSigner, Signer, Verifier
from audit_log.sqlite import fsync_folder
from audit_log.tiles import WIDTH, Edge, TileId, TileTree, pack_bundle, read_tile_file

HEARTBEAT_S = 10.0
_LEAVES_A_STEP = 50_000


class TileFolder:
    """The folder of static files that any web server can serve as the log's prefix: ``checkpoint`` and ``tile/...``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fetch(self, path: str) -> bytes | None:
        """Content of a file below the prefix, None where there is none; raises LogUnavailable where it cannot be read.

        Unlike a verifier's reader it tells a file that is wrong from one that cannot be opened just now, because the
        process is out of file descriptors, for one: that passes, and must not stop the log for good.
        """
        try:
            return read_tile_file(self.root, path)
        except OSError as error:
            raise LogUnavailable(f"{path} cannot be read: {error.strerror}") from error

    def published(self) -> bytes | None:
        """The published checkpoint file; None where there is none."""
        return self.fetch("checkpoint")

    def publish(self, checkpoint: bytes) -> None:
        """Replace the published checkpoint, durable on return."""
        self._write("checkpoint", checkpoint)

    def put(self, tile: TileId, data: bytes) -> None:
        """Write a tile or bundle, durable on return.

        Raises LogRefused where other bytes have its name; LogUnavailable or OSError where it cannot be written now.
        """
        there = self.fetch(tile.path)
        if there is None and tile.level is None and tile.width == WIDTH:
            # The leaves lie in the database as well: packed, they cost a fraction of their size a second time.
            self._write(f"{tile.path}.gz", pack_bundle(data))
        elif there is None:
            self._write(tile.path, data)
        elif there != data:
            raise LogRefused(
                f"{tile.path} differs from what the leaves give: leaves or tiles were changed; run audit verify"
            )

    def drop_partials(self, tile: TileId) -> None:
        """Delete the partial forms of a full tile that is there and published."""
        folder = self.root / f"{tile.full.path}.p"
        if not folder.is_dir():
            return
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()

    def prune(self, minimum: int) -> tuple[int, int]:
        """Delete the tiles and bundles that end at or below this index; gives how many files and bytes they were.

        Levels 2 and up stay for ever: 32 bytes for 65,536 leaves are what later proofs need of the pruned ones.
        """
        files = size = 0
        for level in (None, 0, 1):
            for number in range(minimum >> (8 * ((level or 0) + 1))):
                tile = TileId(level, number)
                for name in (tile.path, f"{tile.path}.gz"):
                    file = self.root / name
                    try:
                        bytes_ = file.stat().st_size
                        file.unlink()
                    except FileNotFoundError:
                        continue
                    self.drop_partials(tile)
                    files, size = files + 1, size + bytes_
        return files, size

    def _write(self, path: str, data: bytes) -> None:
        target = self.root / path
        made = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.new")
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
        for folder in (target.parent, *(folder.parent for folder in made)):
            fsync_folder(folder)


def load_edge(store: LogStore, folder: Tiles, checkpoint: Checkpoint) -> Edge:
    """Read and check the right edge of the tree that a checkpoint covers.

    Raises LogRefused where tiles, leaves and checkpoint do not agree.
    """
    size = checkpoint.size
    try:
        levels = TileTree(folder.fetch, size).edge()
    except VerificationError as error:
        raise LogRefused(f"tiles of the last checkpoint are damaged: {error}; run audit verify") from None
    bundle = list(store.leaves(size - size % WIDTH, size))
    edge = Edge.resume(levels, bundle, size)
    if edge.root() != checkpoint.root:
        raise LogRefused("tiles do not lead to the root of the last checkpoint; run audit verify")
    if [leaf_hash(leaf) for leaf in bundle] != (levels[0] if levels else []):
        raise LogRefused("the last leaves in the database are not those of the last checkpoint; run audit verify")
    return edge


class FileLock:
    """Leadership among the processes of one machine: a file lock, which the kernel frees when its holder dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def try_lead(self) -> bool:
        if self._fd >= 0:
            return True
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def resign(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Publisher:
    """Makes checkpoints when asked to; ``step`` is the whole of it. Holds the publisher's lock while it lives."""

    def __init__(
        self,
        store: LogStore,
        folder: Tiles,
        signer: Signer,
        clock: Callable[[], float],
        lead: Path | Leadership,
        also: Sequence[NoteSigner] = (),
    ) -> None:
        """``lead``: the path of a lock file, or another way to agree on who publishes. ``also``: keys that sign every
        checkpoint beside the log's, one that quantum computers do not break, or the one that takes over."""
        self._store = store
        self._folder = folder
        self._signer = signer
        self._clock = clock
        self._lead: Leadership = FileLock(lead) if isinstance(lead, Path) else lead
        self._signers: list[NoteSigner] = [signer, *also]
        self._edge: Edge | None = None
        self._head = b""
        self._seen_at = 0.0
        self.is_leader = False

    def try_lead(self) -> bool:
        """Become the one publisher of this log; False while another process is."""
        was, self.is_leader = self.is_leader, False
        self.is_leader = self._lead.try_lead()
        if not was:
            self._edge = None  # another one may have published meanwhile
        return self.is_leader

    def resign(self) -> None:
        """Let another process publish."""
        self._edge = None
        self.is_leader = False
        self._lead.resign()

    def step(self) -> Checkpoint | None:
        """Publish all durable leaves; gives the new checkpoint, None where nothing was new.

        Raises LogUnavailable or OSError where trying again may help, and LogRefused where a person has to look.
        """
        if self._edge is None:
            self._resume()
        assert self._edge is not None
        now = self._clock()
        size = self._store.next_index()
        if size == self._edge.size:
            if now - self._seen_at >= HEARTBEAT_S:
                self._store.mark_seen(now)
                self._seen_at = now
            return None
        if size < self._edge.size:
            raise LogRefused(f"the log shrank from {self._edge.size} leaves to {size}: an old database was restored")
        edge, full = self._integrate(self._edge, min(size, self._edge.size + _LEAVES_A_STEP))
        checkpoint = Checkpoint(self._signer.name, edge.size, edge.root())
        note = sign_checkpoint(checkpoint, self._signers)
        # If anything fails from here on, the checkpoint may or may not exist: the next step asks the store.
        self._edge = None
        if not self._store.swap_head(self._head, note, checkpoint.size, now):
            if not self.try_lead():
                return None  # the lead was lost on the way, and whoever has it now went on from the same head
            raise LogRefused("somebody else moved the head of this log: two publishers run; stop one of them")
        self._folder.publish(note)
        self._edge, self._head, self._seen_at = edge, note, now
        for tile in full:
            self._folder.drop_partials(tile)
        return checkpoint

    def _integrate(self, edge: Edge, size: int) -> tuple[Edge, list[TileId]]:
        edge = edge.copy()
        full = []
        for leaf in self._store.leaves(edge.size, size):
            for tile, data in edge.add(leaf):
                self._folder.put(tile, data)
                full.append(tile)
        if edge.size != size:
            raise LogRefused(f"leaf {edge.size} is missing from the database; run audit verify")
        for tile, data in edge.partials():
            self._folder.put(tile, data)
        return edge, full

    def _resume(self) -> None:
        # The file is read before the head: another process may publish in between, and the head is never older.
        published = self._folder.published()
        head = self._store.head()
        checkpoint = check_heads(published, head, self._signer.verifier)
        self._edge = load_edge(self._store, self._folder, checkpoint)
        self._head = head
        if published != head:
            self._folder.publish(head)


def check_heads(published: bytes | None, head: bytes, verifier: Verifier) -> Checkpoint:
    """Compare the published checkpoint with the head in the store; gives the head, read and checked.

    The head may be newer (a crash before publishing). Raises LogRefused where it is older or another one.
    """
    try:
        last = open_checkpoint(head, verifier.name, [verifier])
    except VerificationError as error:
        raise LogRefused(f"the checkpoint in the database is not this log's: {error}; restore the log") from None
    if published is None:
        raise LogRefused("the published checkpoint file is missing; restore the tiles folder")
    try:
        shown = open_checkpoint(published, verifier.name, [verifier])
    except VerificationError as error:
        raise LogRefused(f"the published checkpoint is not this log's: {error}; restore the tiles folder") from None
    if shown.size > last.size:
        raise LogRefused(
            f"the published checkpoint covers {shown.size} leaves, the database only {last.size}: an old database was"
            " restored; going on would fork the log"
        )
    if shown.size == last.size and shown.root != last.root:
        raise LogRefused(f"two different roots for {last.size} leaves: the log was forked; keep both copies")
    return last
