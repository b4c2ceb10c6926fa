# SPDX-License-Identifier: Apache-2.0
"""Writes a small word-processor document: Office Open XML (ECMA-376, WordprocessingML), nothing beyond what is needed.

Headings, paragraphs and tables of two columns. What must hold: the same content gives the same bytes; any text may
stand in it, characters that XML cannot carry are replaced by U+FFFD.
"""

import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDTHS = (2800, 6500)  # of the two columns, in twentieths of a point
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip file cannot tell an earlier time

_CONTENT_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{MEDIA_TYPE}.main+xml"/>'
    '<Override PartName="/word/styles.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/></Types>'
)
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
_ROOT_RELATIONS = (
    f'{_PACKAGE}<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="word/document.xml"/></Relationships>'
)
_DOCUMENT_RELATIONS = (
    f'{_PACKAGE}<Relationship Id="rId1" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>'
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 0 is the title, 1 a section."""

    text: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; line breaks in the text are kept."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a name and a value."""

    rows: tuple[tuple[str, str], ...]


Part = Heading | Paragraph | Table


def document(parts: Iterable[Part], language: str) -> bytes:
    """The .docx file. `language` is a tag such as zh-CN or en-US."""
    body = "".join(map(_part, parts))
    section = (
        '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1440" w:right="1300" w:bottom="1440" '
        'w:left="1300" w:header="700" w:footer="700" w:gutter="0"/></w:sectPr>'
    )
    files = {
        "[Content_Types].xml": _CONTENT_TYPES,
        "_rels/.rels": _ROOT_RELATIONS,
        "word/document.xml": f'<w:document xmlns:w="{_W}"><w:body>{body}{section}</w:body></w:document>',
        "word/_rels/document.xml.rels": _DOCUMENT_RELATIONS,
        "word/styles.xml": _styles(language),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(
                zipfile.ZipInfo(name, _EARLIEST),
                '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + content,
                zipfile.ZIP_DEFLATED,
            )
    return out.getvalue()


def _part(part: Part) -> str:
    match part:
        case Heading(text, level):
            return _paragraph(text, "Title" if level == 0 else f"Heading{level}")
        case Paragraph(text):
            return _paragraph(text)
        case Table(rows):
            grid = "".join(f'<w:gridCol w:w="{width}"/>' for width in _WIDTHS)
            lines = "".join("<w:tr>" + "".join(map(_cell, row, _WIDTHS)) + "</w:tr>" for row in rows)
            properties = f'<w:tblPr><w:tblStyle w:val="Grid"/><w:tblW w:w="{sum(_WIDTHS)}" w:type="dxa"/></w:tblPr>'
            # A table must not be the last thing of a body, and two must not touch.
            return f"<w:tbl>{properties}<w:tblGrid>{grid}</w:tblGrid>{lines}</w:tbl>" + _paragraph("")


def _cell(text: str, width: int) -> str:
    return f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/></w:tcPr>{_paragraph(text)}</w:tc>'


def _paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    lines = _FORBIDDEN.sub("\ufffd", text).split("\n")
    runs = "<w:br/>".join(f'<w:t xml:space="preserve">{escape(line)}</w:t>' for line in lines)
    return f"<w:p>{properties}<w:r>{runs}</w:r></w:p>" if text else f"<w:p>{properties}</w:p>"


def _styles(language: str) -> str:
    tag = escape(language, {'"': "&quot;"})
    fonts = '<w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:eastAsia="SimSun" w:cs="Calibri"/>'
    border = "".join(
        f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="808080"/>'
        for side in ("top", "left", "bottom", "right", "insideH", "insideV")
    )

    def heading(name: str, shown: str, size: int) -> str:
        return (
            f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{shown}"/><w:basedOn w:val="Normal"/>'
            f'<w:pPr><w:keepNext/><w:spacing w:before="240" w:after="120"/></w:pPr>'
            f'<w:rPr><w:b/><w:sz w:val="{size}"/></w:rPr></w:style>'
        )

    return (
        f'<w:styles xmlns:w="{_W}"><w:docDefaults><w:rPrDefault><w:rPr>{fonts}<w:sz w:val="22"/>'
        f'<w:lang w:val="{tag}" w:eastAsia="{tag}"/></w:rPr></w:rPrDefault></w:docDefaults>'
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>'
        + heading("Title", "Title", 36)
        + heading("Heading1", "heading 1", 28)
        + '<w:style w:type="table" w:styleId="Grid"><w:name w:val="Table Grid"/><w:tblPr><w:tblBorders>'
        + border
        + "</w:tblBorders></w:tblPr></w:style></w:styles>"
    )
