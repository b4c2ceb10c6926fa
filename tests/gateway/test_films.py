# SPDX-License-Identifier: Apache-2.0
"""Films are labelled once, while the client polls, and given to whom the model's server gives them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.events import End, Event, Finish, Media
from gateway.exchange import Exchange
from gateway.films import Films
from gateway.label_files import FileLabels
from gateway.media_labels import FILM_TASKS, LabelMedia, MediaLabels, is_film
from gateway.media_store import MediaStore
from gateway.metrics import Meters
from gateway.upstream import UpstreamFailure
from gateway.wires.frames import Frame
from labeling.aigc import AigcLabel
from labeling.errors import DamagedFile
from labeling.file import LabeledFile
from tests.gateway.test_media_labels import PNG, RECORD, files

FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(64)
TASK = "/v1/videos/video_1"


class Slow(MediaLabels):
    """Labels films when a test lets it, and counts them."""

    def __init__(self, error: Exception | None = None, labels: FileLabels | None = None) -> None:
        super().__init__(labels or files(), 1, 1 << 24)
        self.may_go = threading.Event()
        self.may_go.set()
        self.done = 0
        self._error = error

    def _work(self, data: bytes, mime: str, record_id: str, in_text: bool = False, progress: Any = None) -> LabeledFile:
        if not is_film(data):
            return super()._work(data, mime, record_id, in_text, progress)
        if progress is not None:
            progress(0.5)
        self.may_go.wait(10)
        self.done += 1
        if self._error is not None:
            raise self._error
        return LabeledFile(b"labelled " + data, "video/mp4", (), AigcLabel("1", "c", record_id))


class Model:
    """A model's server that gives a film, or fails."""

    def __init__(self, film: bytes | Exception = FILM, status: int = 200) -> None:
        self._film = film
        self.status = status
        self.content_type = "video/mp4"
        self.asked: list[tuple[str, Any]] = []

    @asynccontextmanager
    async def open(self, call: Any, headers: Any) -> AsyncIterator[Model]:
        """As `Upstream.open`."""
        self.asked.append((call.path, headers))
        if isinstance(self._film, Exception):
            raise self._film
        yield self

    async def body(self, limit: int) -> bytes:
        """The film."""
        assert isinstance(self._film, bytes) and len(self._film) <= limit
        return self._film


def scene(
    tmp_path: Path, act: Callable[[Films, Slow, Model], Any], media: Slow | None = None, model: Model | None = None
) -> Any:
    """What `act` gives with films of a fresh house."""

    async def run() -> Any:
        labels, upstream = media or Slow(), model or Model()
        store = MediaStore(tmp_path / "media", 3_600.0, 1 << 24, lambda: 1_000.0)
        films = Films(labels, store, upstream, 1 << 20, 60.0)  # type: ignore[arg-type]
        try:
            return await act(films, labels, upstream)
        finally:
            labels.may_go.set()
            await films.close()
            await labels.close()

    return asyncio.run(asyncio.wait_for(run(), 20))


async def poll(films: Films, status: str = "completed", path: str = TASK) -> dict[str, Any]:
    """What a client is told that asks for its film."""
    tree: dict[str, Any] = {
        "id": "video_1", "object": "video", "status": status, "progress": 100, "completed_at": 5,
    }  # fmt: skip
    exchange = Exchange(RECORD, 0.0, FILM_TASKS, path, headers=[(b"authorization", b"Bearer k")])
    await films.poll(exchange, [Finish(0, "stop"), End(Frame(tree))])
    return tree


def test_a_film_that_is_done_is_in_progress_until_it_is_labelled(tmp_path: Path) -> None:
    """Labelling begins with the first who asks, with that client's key, and is done once."""

    async def act(films: Films, media: Slow, model: Model) -> None:
        media.may_go.clear()
        first = await poll(films)
        assert (first["status"], first["progress"], first["completed_at"]) == ("in_progress", 90, None)
        while not films._shares:
            await asyncio.sleep(0.001)
        assert (await poll(films))["progress"] == 94
        media.may_go.set()
        while (await poll(films))["status"] != "completed":
            await asyncio.sleep(0.001)
        assert (await poll(films))["progress"] == 100
        assert media.done == 1
        assert model.asked == [(f"{TASK}/content?variant=video", [(b"authorization", b"Bearer k")])]

    scene(tmp_path, act)


def test_the_download_gives_what_the_job_made(tmp_path: Path) -> None:
    """Found by what came from the model's server: the number in it is of who asked first."""

    async def act(films: Films, media: Slow, model: Model) -> Any:
        await poll(films)
        while (await poll(films))["status"] != "completed":
            await asyncio.sleep(0.001)
        made = await films.labelled(FILM, "video/mp4", f"{TASK}/content", "another-record")
        assert media.done == 1
        other = await films.labelled(FILM + b"x", "video/mp4", f"{TASK}/content", RECORD)
        assert media.done == 2 and other.data.endswith(b"x")
        return made.data, made.mime

    assert scene(tmp_path, act) == (b"labelled " + FILM, "video/mp4")


def test_who_downloads_at_once_waits_for_the_same_work(tmp_path: Path) -> None:
    """Two at the same time cause one labelling; one that leaves does not end it for the other."""

    async def act(films: Films, media: Slow, model: Model) -> None:
        media.may_go.clear()
        waiting = [asyncio.create_task(films.labelled(FILM, "video/mp4", f"{TASK}/content", RECORD)) for _ in range(2)]
        while not films._at_work:
            await asyncio.sleep(0.001)
        waiting[0].cancel()
        await asyncio.sleep(0)
        media.may_go.set()
        assert (await waiting[1]).data == b"labelled " + FILM
        assert media.done == 1 and waiting[0].cancelled()

    scene(tmp_path, act)


@pytest.mark.parametrize(
    ("media", "model"),
    [
        (Slow(DamagedFile("broken")), None),
        (None, Model(UpstreamFailure("upstream_timeout", 504))),
        (None, Model(status=404)),
    ],
)
def test_a_job_that_fails_ends_the_waiting(tmp_path: Path, media: Slow | None, model: Model | None) -> None:
    """The download says why; nobody polls for ever."""

    async def act(films: Films, labels: Slow, upstream: Model) -> None:
        for _ in range(2_000):
            if (await poll(films))["status"] == "completed":
                return
            await asyncio.sleep(0.001)
        raise AssertionError("still in progress")

    scene(tmp_path, act, media, model)


@pytest.mark.parametrize("status", ["queued", "in_progress", "failed"])
def test_what_the_model_says_of_a_film_that_is_not_done_stays(tmp_path: Path, status: str) -> None:
    """Nothing is fetched for it."""

    async def act(films: Films, media: Slow, model: Model) -> Any:
        told = await poll(films, status)
        return told["status"], told["progress"], model.asked

    assert scene(tmp_path, act) == (status, 100, [])


def test_the_duty_labels_films_by_the_shelf_and_pictures_as_ever(tmp_path: Path) -> None:
    """And a film that cannot be labelled stays bare, as everything else."""

    async def act(films: Films, media: Slow, model: Model) -> list[Event]:
        exchange = Exchange(RECORD, 0.0, "openai_video_content", f"{TASK}/content")
        duty = LabelMedia(exchange, media, Meters(version="0"), None, films)
        return list(await duty.label([Media(0, "video/mp4", FILM), Media(0, "image/png", PNG), Media(0, "", FILM[:9])]))

    film, shown, short = scene(tmp_path, act)
    assert (film.is_labelled, film.data) == (True, b"labelled " + FILM)
    assert shown.is_labelled and shown.data != PNG
    assert not short.is_labelled


def test_a_disk_that_is_full_still_gives_the_film(tmp_path: Path) -> None:
    """It is labelled again the next time."""

    async def run() -> int:
        media = Slow()
        store = MediaStore(tmp_path / "media", 3_600.0, 1, lambda: 1_000.0)
        films = Films(media, store, Model(), 1 << 20, 60.0)  # type: ignore[arg-type]
        for _ in range(2):
            assert (await films.labelled(FILM, "video/mp4", TASK, RECORD)).data == b"labelled " + FILM
        await films.close()
        await media.close()
        return media.done

    assert asyncio.run(run()) == 2


def test_a_list_says_of_each_film_what_a_poll_says(tmp_path: Path) -> None:
    """And begins what nobody asked for by itself, few at a time."""

    def listed(count: int) -> dict[str, Any]:
        films = [{"id": f"video_{n}", "object": "video", "status": "completed"} for n in range(count)]
        return {"object": "list", "data": [*films, {"id": "video_q", "object": "video", "status": "queued"}, "odd"]}

    async def ask(films: Films, count: int) -> list[str]:
        tree = listed(count)
        exchange = Exchange(RECORD, 0.0, FILM_TASKS, "/v1/videos")
        await films.poll(exchange, [Finish(0, "stop"), End(Frame(tree))])
        return [film["status"] for film in tree["data"][:-1]]

    async def act(films: Films, media: Slow, model: Model) -> None:
        media.may_go.clear()
        assert (await poll(films))["status"] == "in_progress"
        assert await ask(films, 4) == ["in_progress"] * 4 + ["queued"]
        assert sorted(films._jobs) == ["/v1/videos/video_0", TASK]
        media.may_go.set()
        while (await poll(films))["status"] != "completed":
            await asyncio.sleep(0.001)
        while set(await ask(films, 4)) != {"completed", "queued"}:
            await asyncio.sleep(0.001)

    scene(tmp_path, act)


def test_a_film_that_was_taken_down_is_not_given_again(tmp_path: Path) -> None:
    """The download is refused as one that cannot be labelled, and the record says why."""

    async def run() -> tuple[list[bool], list[str]]:
        withheld: set[str] = set()
        store = MediaStore(tmp_path / "media", 3_600.0, 1 << 24, lambda: 1_000.0, is_withheld=withheld.__contains__)
        labels = Slow()
        films = Films(labels, store, Model(), 1 << 20, 60.0)  # type: ignore[arg-type]
        given: list[bool] = []
        known = Exchange(RECORD, 0.0, "openai_video_content", f"{TASK}/content")
        for _ in range(2):
            duty = LabelMedia(known, labels, Meters(version="0"), films=films)
            (event,) = await duty.label([Media(0, "video/mp4", FILM)])
            given.append(isinstance(event, Media) and event.is_labelled)
            withheld.add(RECORD)
        await films.close()
        await labels.close()
        return given, [decision.reason for decision in known.decisions]

    given, reasons = asyncio.run(run())
    assert given == [True, False] and reasons[-1] == "withheld"
