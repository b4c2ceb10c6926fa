# SPDX-License-Identifier: Apache-2.0
"""The documents are true: links lead somewhere, examples run, both languages say the same, generated parts are new."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest
import typer

from gateway import policies, settings
from gateway.cli import app
from gateway.wires import ROUTES
from tests.conftest import RunningGateway, dutybound, start_gateway
from tests.docs import reference

ROOT = reference.ROOT
DOCUMENTS = reference.documents()
TRANSLATED = [
    (ROOT / "README.md", ROOT / "README.zh.md"),
    *((path.parents[1] / path.name, path) for path in sorted((ROOT / "docs/zh").glob("*.md"))),
]
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
ADDRESSES = [
    *READMES,
    *(ROOT / f"docs/{place}.md" for place in ("architecture", "operator", "auditor", "user")),
    *(ROOT / f"docs/zh/{place}.md" for place in ("operator", "auditor", "user")),
]
"""The documents that tell readers where things are."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PUBLIC = re.compile(r"(?<!\S)(?:/duty/|/\.well-known/|/livez|/readyz)\S*")
_OPERATOR = re.compile(r"(?<!\S)(?:/api|/log)/[^\s?]*")

_WIRES = tuple({route.path.split("[")[0].split("(")[0].replace("\\", "") for route in ROUTES} - {"/"})
"""Where the model APIs are: the generated table names them, and other tests hold them."""


def name(path: Path) -> str:
    """A document's place in the repository, for the names of tests."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [body for kind, body in _FENCE.findall(path.read_text(encoding="utf-8")) if kind == language]


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def headings(path: Path) -> list[tuple[int, str]]:
    """Level and words of every heading."""
    return [(len(mark), words) for mark, words in re.findall(r"^(#+) (.+)$", prose(path), re.MULTILINE)]


def anchor(words: str) -> str:
    """The fragment that a forge gives a heading."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway as `make run` serves it: the configuration that `init` writes, the sample model."""
    folder = tmp_path_factory.mktemp("documents")
    home = folder / "home"
    dutybound("init", "--home", str(home))
    running = start_gateway(folder, "sample", config=(home / settings.CONFIG_NAME).read_text(), home=home)
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_to_something_that_exists(path: Path) -> None:
    """A file that is there, and in it a heading with that anchor; nothing outside the repository is looked up."""
    for target in _LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, fragment = target.partition("#")
        found = (path.parent / place).resolve() if place else path
        assert found.exists(), f"{name(path)} links to {target}, which is not there"
        assert found.is_relative_to(ROOT)
        if fragment:
            assert fragment in [anchor(words) for _, words in headings(found)], f"{name(path)}: no anchor {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    """What is made from the code says what the code says."""
    text = path.read_text(encoding="utf-8")

    assert reference.regenerated(text) == text, "run `python -m tests.docs.reference`"


def test_every_generated_part_stands_in_a_document() -> None:
    """A marker that was misspelt would leave a table out, and old, without anybody noticing."""
    marks = {mark for path in DOCUMENTS for mark in re.findall(r"<!-- (/?\w+) -->", path.read_text(encoding="utf-8"))}

    assert marks == {f"{slash}{part}" for part in reference.PARTS for slash in ("", "/")}


def test_every_policy_has_its_page() -> None:
    """An auditor finds every number in force with its article."""
    for path, text in reference.policy_pages().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m tests.docs.reference`"
    assert policies.available()


def test_no_meaning_is_written_for_a_setting_that_is_gone() -> None:
    """The explanations belong to the keys there are."""
    assert set(reference.MEANINGS) <= set(reference.setting_keys())


def test_a_setting_without_a_meaning_is_refused() -> None:
    """A new key must be explained before the reference can be made."""
    with pytest.raises(KeyError, match="say what it means"):
        reference.meaning("server.unheard_of", {"type": "string"})


def test_every_guide_exists_in_both_languages() -> None:
    """Each page in Chinese has its English one, and each guide its Chinese one."""
    guides = {"operator.md", "auditor.md", "developer.md", "user.md"}

    assert guides <= {path.name for path in (ROOT / "docs/zh").glob("*.md")}
    assert all(english.is_file() for english, _ in TRANSLATED)


@pytest.mark.parametrize(("english", "chinese"), TRANSLATED, ids=[name(zh) for _, zh in TRANSLATED])
def test_both_languages_have_the_same_parts(english: Path, chinese: Path) -> None:
    """Headings, examples, tables and their rows: what one reader learns, the other learns too."""

    def shape(path: Path) -> list[str]:
        lines = []
        for line in prose(path).splitlines():
            if found := re.match(r"#+ |\|[-|]+\||\| |\d\. |- ", line):
                lines.append(found.group().strip())
        return lines

    assert shape(english) == shape(chinese)
    assert [kind for kind, _ in _FENCE.findall(english.read_text())] == [
        kind for kind, _ in _FENCE.findall(chinese.read_text())
    ]


@pytest.mark.parametrize("path", READMES, ids=name)
def test_the_example_of_the_readme_prints_what_the_readme_says(
    path: Path, sample: RunningGateway, tmp_path: Path
) -> None:
    """Verbatim but for the port: the official SDK, plain and streamed, against what `make run` serves."""
    [example] = blocks(path, "python")
    [output] = [block for block in blocks(path, "text") if "labelled events" in block]
    assert "http://127.0.0.1:8080/v1" in example
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:8080/v1", sample.v1), encoding="utf-8")

    ran = subprocess.run((sys.executable, str(script)), capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == output


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_configuration_shown_can_be_loaded(path: Path, tmp_path: Path) -> None:
    """A reader may copy it: no key is unknown, no value of a wrong type."""
    for number, text in enumerate(blocks(path, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(text, encoding="utf-8")

        assert settings.load(file, tmp_path)


def commands(path: Path) -> Iterator[list[str]]:
    """Every call of `dutybound` that a document shows, in a block or in a line, as its words."""
    text = path.read_text(encoding="utf-8")
    shown = [line for kind in ("sh", "console") for block in blocks(path, kind) for line in block.splitlines()]
    shown += [code for code in _CODE.findall(_FENCE.sub("", text)) if code.startswith("dutybound ")]
    for line in shown:
        for call in re.findall(r"(?<![\w.=@-])(?:\S*/bin/)?dutybound ([a-z][^|;&)#]*)", line):
            if "systemctl" not in line and "useradd" not in line and "install -" not in line:
                yield shlex.split(call)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if any(commands(path))], ids=name)
def test_every_command_and_option_shown_exists(path: Path) -> None:
    """What a reader types is understood."""
    for words in commands(path):
        command: click.Command | object = typer.main.get_command(app)
        rest = list(words)
        while rest and (below := getattr(command, "commands", None)):
            if rest[0].lstrip("[").startswith("-") and getattr(command, "invoke_without_command", False):
                break
            assert rest[0].partition("|")[0] in below, f"no command: dutybound {' '.join(words)}"
            command = below[rest.pop(0).partition("|")[0]]
        known = {option for item in getattr(command, "params", []) for option in item.opts}
        options = {word for word in rest if word.startswith("--")}
        assert options <= known, f"no such option: dutybound {' '.join(words)}"


@pytest.mark.parametrize("path", ADDRESSES, ids=name)
def test_every_path_named_is_served(path: Path, sample: RunningGateway) -> None:
    """A table of addresses holds no address that answers 404, and the guide for operators holds them all."""
    served = set(httpx.get(f"{sample.operator_url}/api/openapi.json").json()["paths"])
    named = " ".join(_CODE.findall(prose(path)))
    for public in {re.sub(r"\{\w+\}", "AAAA-AAAA-AAAA", place) for place in _PUBLIC.findall(named)}:
        assert httpx.get(f"{sample.url}{public}").status_code != 404, f"{name(path)}: {public}"
    operator = {place for place in _OPERATOR.findall(named) if place in served or not place.startswith(_WIRES)}
    for place in operator - {"/api/openapi.json", "/log/"}:
        known = {place, place.replace("...", "{path}")}
        assert known & served, f"{name(path)}: {place}"
    if path.name == "operator.md":
        assert served <= operator
