# SPDX-License-Identifier: Apache-2.0
"""The label joins an XMP packet and leaves everyone else's properties alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from labeling import implicit
from labeling.aigc import AigcLabel, parse
from labeling.errors import DamagedFile
from labeling.implicit import xmp
from labeling.sniff import FileFormat

NS = f'xmlns:TC260="{xmp.NAMESPACE}"'
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
JSON = AigcLabel("1", "P", "I").as_json()


def packet(inner: str) -> bytes:
    """A packet with padding, as editors write it."""
    body = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}</rdf:RDF></x:xmpmeta>'
    return f'<?xpacket begin="\ufeff" id="W5M0"?>{body}\n   \n<?xpacket end="w"?>'.encode()


EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}/></x:xmpmeta>'.encode()


def values(data: bytes) -> list[object]:
    return [field.value for field in xmp.read(data, "here")]


def test_a_new_packet_is_well_formed_and_holds_the_label() -> None:
    """Also as seen by another XML parser."""
    written = xmp.merge(None, JSON)
    root = ElementTree.fromstring(written)

    assert values(written) == [JSON]
    assert [element.text for element in root.iter(f"{{{xmp.NAMESPACE}}}AIGC")] == [JSON]


@pytest.mark.parametrize(
    "old",
    [
        f'<rdf:Description rdf:about="" {NS}><TC260:AIGC>{{"Label":"1"}}</TC260:AIGC></rdf:Description>',
        f"<rdf:Description rdf:about=\"\" {NS} TC260:AIGC='{{&quot;Label&quot;:&quot;1&quot;}}'/>",
        f'<rdf:Description rdf:about="" xmlns:o="{xmp.NAMESPACE}"><o:AIGC>{{"Label":"1"}}</o:AIGC></rdf:Description>',
        f'<rdf:Description rdf:about="" {NS}><TC260:AIGC><![CDATA[{{"Label":"1"}}]]></TC260:AIGC></rdf:Description>',
    ],
)
def test_former_labels_in_every_form_are_read_and_replaced(old: str) -> None:
    """Element, attribute, other prefix, CDATA; escapes undone."""
    data = packet(old + '<rdf:Description rdf:about="" xmlns:dc="d"><dc:title>kept</dc:title></rdf:Description>')
    merged = xmp.merge(data, JSON)

    assert values(data) == ['{"Label":"1"}']
    assert values(merged) == [JSON]
    assert b"<dc:title>kept</dc:title>" in merged


def test_other_properties_of_the_same_description_stay() -> None:
    """Only our property is cut, byte for byte around it."""
    before = '<rdf:Description rdf:about="uuid:1" xmlns:dc="d" dc:rights="a&gt;b">\n<dc:title>t</dc:title>'
    data = packet(f"{before}<TC260:AIGC {NS}>{{}}</TC260:AIGC>\n</rdf:Description>")
    merged = xmp.merge(data, JSON)

    assert before.encode() in merged
    assert values(merged) == [JSON]
    # All descriptions of a packet are about the same thing.
    assert merged.count(b'rdf:about="uuid:1"') == 2


def test_an_empty_label_element_is_cut_and_nothing_behind_it() -> None:
    """An element that closes itself ends where it stands."""
    inner = f'<rdf:Description rdf:about="" {NS} xmlns:dc="d"><TC260:AIGC/><dc:title>kept</dc:title></rdf:Description>'
    merged = xmp.merge(packet(inner), JSON)

    assert values(merged) == [JSON]
    assert b"<dc:title>kept</dc:title></rdf:Description>" in merged


def test_labels_nested_in_each_other_take_nothing_else_with_them() -> None:
    """Made to confuse: a label in a label, and as an attribute of itself."""
    inner = f'<rdf:Description rdf:about="" {NS} xmlns:dc="d"><TC260:AIGC TC260:AIGC="x"><TC260:AIGC>a</TC260:AIGC>'
    merged = xmp.merge(packet(inner + "</TC260:AIGC><dc:title>kept</dc:title></rdf:Description>"), JSON)

    assert values(merged) == [JSON]
    assert b"<dc:title>kept</dc:title></rdf:Description>" in merged


def test_several_labels_in_one_packet_become_one() -> None:
    """Clause 6.1 c)."""
    old = f'<rdf:Description rdf:about="" {NS}><TC260:AIGC>a</TC260:AIGC></rdf:Description>'

    assert values(packet(old * 3)) == ["a", "a", "a"]
    assert values(xmp.merge(packet(old * 3), JSON)) == [JSON]


def test_a_label_of_another_namespace_is_not_ours() -> None:
    """A property that is merely called AIGC stays."""
    data = packet('<rdf:Description rdf:about="" xmlns:x2="http://example/"><x2:AIGC>x</x2:AIGC></rdf:Description>')

    assert values(data) == []
    assert b"<x2:AIGC>x</x2:AIGC>" in xmp.merge(data, JSON)


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x00", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", packet("").replace(b"rdf:RDF", b"rdf:X")]
)
def test_a_packet_without_metadata_gives_way_to_a_new_one(data: bytes) -> None:
    """There is nothing in it to keep."""
    assert values(xmp.merge(data, JSON)) == [JSON]


@pytest.mark.parametrize(
    "data",
    [
        b"no xml",
        packet("<rdf:Description>"),
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    ],
)
def test_a_packet_that_is_no_xml_or_declares_entities_is_damaged(data: bytes) -> None:
    """No entity is ever expanded and no file fetched."""
    with pytest.raises(DamagedFile):
        xmp.merge(data, JSON)


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1, max_size=60)
)
def test_every_allowed_value_survives_xml(value: str) -> None:
    """Angle brackets and ampersands are allowed in values."""
    label = AigcLabel("1", value, value)
    (found,) = values(xmp.merge(None, label.as_json()))

    assert parse(str(found)).label == label


Encode = Callable[..., bytes]


MakePicture = Callable[..., Image.Image]


OTHER = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' dc:format='kept'/>"
    b"</rdf:RDF></x:xmpmeta>"
)


def only_label(data: bytes, kind: FileFormat) -> AigcLabel | None:
    (field,) = implicit.read(data, kind)
    return parse(field.value).label


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_xmp_of_others_is_merged(kind: str, label: AigcLabel, make_picture: MakePicture, encode: Encode) -> None:
    """Read by Pillow afterwards: both properties."""
    options: dict[str, object] = {"xmp": OTHER}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", OTHER.decode())
        options = {"pnginfo": text}
    elif kind == "TIFF":
        options = {"tiffinfo": {700: OTHER}}
    written = implicit.write(encode(make_picture(), kind, **options), FileFormat[kind], label)
    with Image.open(io.BytesIO(written)) as image:
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", "").encode()

    assert b"TC260:AIGC" in packet
    assert b"dc:format='kept'" in packet
    assert only_label(written, FileFormat[kind]) == label
