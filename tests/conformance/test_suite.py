# SPDX-License-Identifier: Apache-2.0
"""The suite itself: it fails a gateway that does nothing, and one that only looks at each event."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from tests.conformance import terms
from tests.conformance.leaks import beginnings, documents, leaks
from tests.conformance.model import Answer, Asked, Got, Piece, Said
from tests.conformance.suite import CHECKS, Result, Verdict, judging, table, write_report
from tests.conformance.target import Start, Target, TargetError, Terms, read_target
from tests.conformance.wires.table import WIRES

HELD_BY_THE_MODEL = {
    "harmless-whole", "near-miss", "tool-whole", "json-mode", "prompt-harmless", "broken-off",
    "same-verdict", "stream-not-weaker",
}  # fmt: skip
"""What a model without a gateway holds by itself: it changes nothing, and treats everything alike."""


def judged(target: Target, *keys: str) -> dict[tuple[str, str], Result]:
    """The results of all wires of `target`."""

    async def run() -> list[Result]:
        async with judging(target) as judge:
            return [result for wire in target.wires for result in await judge.run(wire, keys)]

    return {(result.wire, result.check): result for result in asyncio.run(run())}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_gateway_at_all_fails_every_check_that_is_about_one() -> None:
    """A check that the bare model passes would prove nothing about a gateway."""
    port = free_port()
    bare = Target(
        "bare", ("openai_chat", "anthropic_messages"), Terms("already"), f"http://127.0.0.1:{port}", port,
        label_text="本内容由AI生成", label_member="aigc",
    )  # fmt: skip
    slow = {"long-before", "upstream-cut"}
    results = judged(bare, *(check.key for check in CHECKS if check.key not in slow))
    for (wire, key), result in results.items():
        if result.verdict is Verdict.NOT_APPLICABLE:
            continue
        expected = Verdict.PASSED if key in HELD_BY_THE_MODEL else Verdict.FAILED
        assert result.verdict is expected, (wire, key, result.note)
    assert results["openai_chat", "kept-awake"].note == "the target configures no check for which text is held back"
    assert results["openai_chat", "disconnect-recorded"].verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("wire", sorted(WIRES))
@pytest.mark.parametrize("stream", [True, False])
def test_every_adapter_reads_what_it_tells(wire: str, stream: bool) -> None:
    """Both sides of the suite speak the same wire, and the official SDK agrees."""
    adapter = WIRES[wire]()
    asked = Asked(stream=stream)
    told = adapter.tell(asked, Said((Piece("one "), Piece("两个"))))
    answer = adapter.read(asked, 200, {"content-type": told.content_type}, told.body)
    assert (answer.text(), answer.error, answer.fault) == ("one 两个", "", "")
    assert answer.ends and not answer.is_stopped
    broken = adapter.read(asked, 200, {"content-type": told.content_type}, b"{[broken")
    assert broken.fault or broken.error or not broken.ends
    failed = b'{"error": {"message": "no", "type": "t", "code": 500}, "code": "x", "message": "no"}'
    assert adapter.read(asked, 500, {"content-type": "application/json"}, failed).error


def got(body: bytes, **texts: str) -> Got:
    """An answer with that body."""
    return Got(Asked(), 200, {"x-note": texts.pop("header", "")}, [(0.0, body)], 0.0, False, Answer(), None)


def test_a_word_is_found_wherever_it_is() -> None:
    """In one string, over several events, in escapes, in a disguise, as a name, in a header; and no more."""

    def sse(*texts: str, escaped: bool = True) -> bytes:
        return b"".join(b"data: %s\n\n" % json.dumps({"t": text}, ensure_ascii=escaped).encode() for text in texts)

    assert leaks(got(sse("fine", "words"))) == []
    assert leaks(got(sse(terms.CHINESE[:2], terms.CHINESE[2:]))) == [".t over all events"]
    assert ".t in one event" in leaks(got(sse(terms.FULL_WIDTH)))
    assert "the body's bytes" in leaks(got(sse(terms.EMOJI, escaped=False)))
    assert leaks(got(json.dumps({terms.MARKS: 1}).encode())) == [".(names) over all events", ".(names) in one event"]
    assert leaks(got(b"", header=terms.ENGLISH.upper())) == ["header x-note"]
    halves = (
        terms.EMOJI.encode("utf-16-le")[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, 12, 2)
    )
    assert leaks(got(sse(*halves))) == [".t over all events"]
    assert beginnings(got(sse(f"ok {terms.ENGLISH[:2]}"))) and not beginnings(got(sse("ok z", "oq")))
    assert list(documents('[{"a":1},\r\n{"b":2}]')) == [[{"a": 1}, {"b": 2}]]
    assert list(documents('[{"a":1},\r\n{"b":2}')) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "Expected"),
        ('[gateway]\nname = "x"\n', "'terms'"),
        ('[gateway]\nname="x"\nwires=["no"]\nbase_url="u"\n[terms]\nhow="already"', "unknown wires"),
        ('[gateway]\nname="x"\nwires=[]\n[terms]\nhow="already"', "either base_url or command"),
        ('[gateway]\nname="x"\nwires=[]\nbase_url="u"\n[terms]\nhow="so"', "how is file"),
        ('[gateway]\nname="x"\nwires=[]\nbase_url="u"\n[terms]\nhow="already"\nx=1', "unknown key"),
        ('[gateway]\nname="x"\nwires=[]\nbase_url="u"\n[terms]\nhow="already"\n[more]', "unknown tables"),
    ],
)
def test_a_wrong_target_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Whoever points the suite at a gateway learns what to change."""
    path = tmp_path / "target.toml"
    path.write_text(text)
    with pytest.raises(TargetError, match=says):
        read_target(path)


def test_the_example_target_can_be_read() -> None:
    """As the README says."""
    target = read_target(Path(__file__).with_name("targets") / "openai-proxy.toml")
    assert (target.upstream_port, target.start, target.normalises) == (9999, None, False)


def test_a_gateway_that_does_not_start_is_told_of() -> None:
    """With what it said."""
    start = Start(("{python}", "-c", "raise SystemExit('no reason')"))
    with pytest.raises(TargetError, match="no reason"):
        judged(Target("x", ("openai_chat",), Terms("already"), start=start))
    with pytest.raises(TargetError, match="unknown placeholder"):
        judged(Target("x", ("openai_chat",), Terms("already"), start=Start(("{pithon}",))))


def test_the_report_names_failures_and_reasons(tmp_path: Path) -> None:
    """A table for people and JSON for machines; what could not be asked is never counted as passed."""
    results = [
        Result("a", "one", "One", Verdict.PASSED, "", 3, 0.5),
        Result("a", "two", "Two", Verdict.FAILED, "because", 1, 0.1),
        Result("a", "three", "Three", Verdict.NOT_APPLICABLE, "no way to ask", 0, 0.0),
    ]
    said = table(results)
    assert "a / two: because" in said and "a / three: no way to ask" in said
    assert "1 passed, 1 failed, 1 not applicable; 4 exchanges" in said
    path = tmp_path / "report.json"
    write_report(path, Target("x", (), Terms("already"), "u"), results)
    assert [item["verdict"] for item in json.loads(path.read_text())["results"]] == [
        "passed",
        "failed",
        "not applicable",
    ]
