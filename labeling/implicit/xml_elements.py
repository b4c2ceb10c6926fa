# SPDX-License-Identifier: Apache-2.0
"""Where elements stand in an XML part, so that one can be cut out or put in without touching the bytes around it.

One pass of expat over the part: linear in its size whatever it holds. Declarations of entities are refused, because no
document format that is labelled here uses them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from xml.parsers import expat

from labeling.errors import DamagedFile, RefusedFile


@dataclass(slots=True)
class Element:
    """One element. ``name`` and the keys of ``attributes`` are as written, prefix included.

    ``start`` and ``end`` are byte indices of the whole element; ``close`` is the index of its end tag, None for an
    element that closes itself. ``text`` is all character data inside.
    """

    name: str
    start: int
    attributes: dict[str, str]
    text: str = ""
    close: int | None = None
    end: int = 0
    depth: int = 0
    """How many elements it stands in; 0 for the root."""

    @property
    def prefix(self) -> str:
        """The namespace prefix with its colon, empty without one."""
        return self.name.rpartition(":")[0] + ":" if ":" in self.name else ""


def as_utf8(content: bytes) -> bytes:
    """The part in UTF-8 without a mark; its declaration, if any, is dropped, as UTF-8 needs none."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise DamagedFile("an XML part of the file is in no encoding that its format allows; ask its maker") from None
    if text.startswith("<?xml"):
        text = text[text.find("?>") + 2 :].lstrip()
        return b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + text.encode("utf-8")
    return text.encode("utf-8")


def find_elements(xml: bytes, local_names: Collection[str]) -> list[Element]:
    """The elements with these local names, in document order, from UTF-8 XML.

    Raises :class:`DamagedFile` where it is not well-formed, :class:`RefusedFile` where it declares entities.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    found: list[Element] = []
    stack: list[Element | None] = []
    opened: list[Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        element = None
        if name.rpartition(":")[2] in local_names:
            element = Element(name, parser.CurrentByteIndex, attributes, depth=len(stack))
            found.append(element)
            opened.append(element)
        stack.append(element)

    def end(name: str) -> None:
        element = stack.pop()
        if element is None:
            return
        opened.pop()
        element.close, element.end = span_of_end(xml, element.start, parser.CurrentByteIndex)

    def characters(piece: str) -> None:
        if opened:
            opened[-1].text += piece

    def declare(*_: object) -> None:
        raise RefusedFile("an XML part of the file declares entities, which its format never needs; save it anew")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = declare
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise DamagedFile(f"an XML part of the file is not well-formed (line {error.lineno}); ask its maker") from None
    return found


def span_of_end(xml: bytes, start: int, at: int) -> tuple[int | None, int]:
    """Where the end tag of the element at ``start`` begins, and where the element ends.

    ``at`` is the place that expat states at the end of the element: the end tag, or, for an element that closes itself
    (first value None), whatever follows.
    """
    end = end_of_tag(xml, start)
    if xml[end - 2 : end] == b"/>":
        return None, end
    return at, xml.index(b">", at) + 1


def end_of_tag(xml: bytes, at: int) -> int:
    """The index after the ``>`` that closes the tag at ``at``, with quoted attribute values skipped."""
    quote = 0
    for index in range(at, len(xml)):
        byte = xml[index]
        if quote:
            if byte == quote:
                quote = 0
        elif byte in b"\"'":
            quote = byte
        elif byte == 0x3E:
            return index + 1
    raise DamagedFile("a tag in the XML does not end; ask the maker of the file")


def cut(xml: bytes, elements: Collection[Element]) -> bytes:
    """The part without these elements."""
    for element in sorted(elements, key=lambda element: element.start, reverse=True):
        xml = xml[: element.start] + xml[element.end :]
    return xml


def insert_last(xml: bytes, root_name: str, inner: str) -> bytes:
    """The part with ``inner`` as the last child of the first element of that local name.

    A NUL in ``inner``, which no XML can hold, stands for that element's prefix. Raises :class:`DamagedFile` where
    there is no such element.
    """
    roots = find_elements(xml, (root_name,))
    if not roots:
        raise DamagedFile("an XML part of the file lacks the element that its format asks for; ask its maker")
    root = roots[0]
    own = inner.replace("\0", root.prefix).encode("utf-8")
    if root.close is not None:
        return xml[: root.close] + own + xml[root.close :]
    return xml[: root.end - 2] + b">" + own + f"</{root.name}>".encode() + xml[root.end :]
