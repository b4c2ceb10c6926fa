# SPDX-License-Identifier: Apache-2.0
"""The label inside an XMP packet (ISO 16684-1), which image formats share.

Practice guide TC260-PG-20259A: property ``AIGC`` of namespace ``http://www.tc260.org.cn/ns/AIGC/1.0/``, preferred
prefix ``TC260``, its value the bare seven-key JSON. An existing packet is merged into, never replaced: only the bytes
of our own property change, all others stay as they are, so other people's metadata and formatting survive.

Read in element and attribute form, under any prefix. A document type declaration is refused: no XMP has one, and
entities are how XML attacks its readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from labeling.errors import DamagedFile
from labeling.implicit.field import AigcField
from labeling.implicit.xml_elements import end_of_tag, span_of_end

NAMESPACE: Final = "http://www.tc260.org.cn/ns/AIGC/1.0/"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PROPERTY: Final = f"{NAMESPACE} AIGC"
_ATTRIBUTE = re.compile(rb"""\s+[\w.-]+:AIGC\s*=\s*(?:"[^"]*"|'[^']*')""")

_BEGIN: Final = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END: Final = '<?xpacket end="w"?>'


@dataclass(slots=True)
class _Places:
    """Byte spans found in one pass: our property in both forms, and where a new one can go."""

    values: list[str] = field(default_factory=list)
    elements: list[tuple[int, int]] = field(default_factory=list)
    """What to cut out: the property's element, or the whole description where it describes nothing else."""
    tags_with_attribute: list[int] = field(default_factory=list)
    rdf_end: int | None = None
    about: str | None = None
    root_is_svg: bool = False
    root_start: int | None = None
    metadata_end: int | None = None
    empty_metadata: tuple[int, int] | None = None


@dataclass(slots=True)
class _Open:
    """An element on the way down. ``holds_more`` says that it holds anything besides our property."""

    name: str
    start: int
    holds_more: bool
    labels: int = 0


def find_places(xml: bytes) -> _Places:
    """One expat pass over ``xml``. Raises :class:`DamagedFile` where it is not well-formed or has a DOCTYPE subset."""
    places = _Places()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    stack: list[_Open] = []
    text: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if not stack:
            places.root_start = parser.CurrentByteIndex
            places.root_is_svg = name.rpartition(" ")[2] == "svg"
        if stack and name != _PROPERTY:
            stack[-1].holds_more = True
        is_bare = name == f"{_RDF} Description" and attributes.keys() <= {f"{_RDF} about"}
        stack.append(_Open(name, parser.CurrentByteIndex, holds_more=not is_bare))
        if _PROPERTY in attributes:
            places.values.append(attributes[_PROPERTY])
            places.tags_with_attribute.append(parser.CurrentByteIndex)
        if name == f"{_RDF} Description" and places.about is None:
            places.about = attributes.get(f"{_RDF} about", "")
        if name == _PROPERTY:
            text.clear()

    def end(name: str) -> None:
        opened = stack.pop()
        at = parser.CurrentByteIndex
        if name == _PROPERTY:
            places.values.append("".join(text))
            places.elements.append((opened.start, span_of_end(xml, opened.start, at)[1]))
            if stack:
                stack[-1].labels += 1
        elif opened.labels and not opened.holds_more:
            del places.elements[-opened.labels :]
            places.elements.append((opened.start, span_of_end(xml, opened.start, at)[1]))
        elif name == f"{_RDF} RDF" and places.rdf_end is None:
            places.rdf_end = span_of_end(xml, opened.start, at)[0]
        elif len(stack) == 1 and name.rpartition(" ")[2] == "metadata":
            places.metadata_end, end = span_of_end(xml, opened.start, at)
            if places.metadata_end is None:
                places.empty_metadata = (opened.start, end)

    def characters(piece: str) -> None:
        if stack and stack[-1].name == _PROPERTY:
            text.append(piece)
        elif stack and not piece.isspace():
            stack[-1].holds_more = True

    def doctype(name: str, system_id: str | None, public_id: str | None, has_internal_subset: bool) -> None:
        # A plain SVG doctype is harmless; a subset can declare entities.
        if has_internal_subset:
            raise DamagedFile("the XML declares its own entities; metadata never needs that, remove the declaration")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise DamagedFile(f"the XML in the file is not well-formed (line {error.lineno}); ask its maker") from None
    return places


def _description(json_text: str, about: str) -> bytes:
    return (
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={quoteattr(about)} xmlns:TC260="{NAMESPACE}">'
        f"<TC260:AIGC>{escape(json_text)}</TC260:AIGC></rdf:Description>"
    ).encode()


def new_tree(json_text: str) -> bytes:
    """An ``x:xmpmeta`` element with the label alone, without packet wrapper (for SVG)."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="'
        + _RDF.encode()
        + b'">'
        + _description(json_text, "")
        + b"</rdf:RDF></x:xmpmeta>"
    )


def new_packet(json_text: str) -> bytes:
    """A whole packet with the label alone."""
    return _BEGIN.encode() + new_tree(json_text) + _END.encode()


def read(packet: bytes, place: str) -> list[AigcField]:
    """The label fields in a packet. Raises :class:`DamagedFile` where the packet is no XML."""
    return [AigcField(f"{place}, property TC260:AIGC", value, True) for value in find_places(_trim(packet)).values]


def remove(packet: bytes) -> bytes:
    """The packet without any label property; all other bytes as they were."""
    packet = _trim(packet)
    places = find_places(packet)
    cuts = list(places.elements)
    for tag in places.tags_with_attribute:
        end = end_of_tag(packet, tag)
        cuts += [(tag + match.start(), tag + match.end()) for match in _ATTRIBUTE.finditer(packet[tag:end])]
    # Labels nested in each other give spans inside spans; only the outermost is cut.
    kept, at = [], 0
    for start, end in sorted(cuts, key=lambda span: (span[0], -span[1])):
        if start >= at:
            kept.append(packet[at:start])
            at = end
    return b"".join(kept) + packet[at:]


def merge(packet: bytes | None, json_text: str) -> bytes:
    """The packet with exactly this label; a new packet where there was none.

    Padding before the packet's end is dropped: it only serves writers that change a packet in place.
    """
    if packet is None or not packet.strip(b"\x00 \t\r\n"):
        return new_packet(json_text)
    cleaned = _without_padding(remove(packet))
    places = find_places(cleaned)
    if places.rdf_end is None:
        # A packet without an RDF tree holds no metadata that could be lost.
        return new_packet(json_text)
    description = _description(json_text, places.about or "")
    return cleaned[: places.rdf_end] + description + cleaned[places.rdf_end :]


def _without_padding(packet: bytes) -> bytes:
    end = packet.rfind(b"<?xpacket")
    return packet[:end].rstrip() + packet[end:] if end > 0 else packet


def _trim(packet: bytes) -> bytes:
    """Writers end a packet with NUL or put a byte order mark before it; expat takes neither at the end."""
    return packet.strip(b"\x00 \t\r\n")
