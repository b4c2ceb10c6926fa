# SPDX-License-Identifier: Apache-2.0
"""The explicit label in DOCX, XLSX and PPTX (ISO/IEC 29500): where people look first, moving nothing.

Implements GB 45438-2025 clause 5: in a text document the first paragraph; on the first slide words on a dark plate in a
corner, with letters of at least the asked part of its shorter side; in a workbook a text box on its first sheet, beside
the cells that are used, because a new row would move what formulas count on. A signed package is refused.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import unquote
from xml.sax.saxutils import escape, quoteattr

from labeling.errors import DamagedFile, RefusedFile, UnsupportedFormat
from labeling.explicit.image import ImageLabel
from labeling.implicit.ooxml import RELATIONSHIPS, TYPES, open_package, part_of
from labeling.implicit.xml_elements import Element, end_of_tag, find_elements, insert_last
from labeling.implicit.zip_archive import Archive

_NAME: Final = "AI label"
_DOCUMENT_RELATIONSHIP: Final = "officeDocument"
_EMU_A_POINT: Final = 12_700
_INK_OF_SIZE: Final = 0.70
"""Height of a capital letter's ink in parts of the font's size, in the fonts that office programs come with; Chinese
characters are taller."""
_LEGIBLE_PT: Final = 9.0
_MOST_COLUMN: Final = 16_383
# What may stand behind the drawing of a sheet, in the order of its schema.
_BEHIND_DRAWING: Final = (
    "legacyDrawing", "legacyDrawingHF", "drawingHF", "picture", "oleObjects", "controls", "webPublishItems",
    "tableParts", "extLst",
)  # fmt: skip
_TRANSITIONAL: Final = "http://schemas.openxmlformats.org"
_STRICT: Final = "http://purl.oclc.org/ooxml"


def _opened(data: bytes) -> Archive:
    archive = open_package(data)
    if any(name.startswith("_xmlsignatures/") for name in archive.names):
        raise RefusedFile("the Office file is digitally signed and a label would break the signature; label it first")
    return archive


def _relationships_of(name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(folder, "_rels", f"{base}.rels")


def _targets(archive: Archive, name: str) -> list[tuple[str, str, str]]:
    """Identifier, kind (the last part of the type) and part of each relationship of a part."""
    path = _relationships_of(name) if name else RELATIONSHIPS
    content = archive.read(path)
    found = []
    for element in find_elements(part_of(archive, path), ("Relationship",)) if content is not None else ():
        if element.attributes.get("TargetMode") == "External":
            continue
        target = unquote(element.attributes.get("Target", ""))
        joined = target.lstrip("/") if target.startswith("/") else posixpath.join(posixpath.dirname(name), target)
        kind = element.attributes.get("Type", "").rpartition("/")[2]
        found.append((element.attributes.get("Id", ""), kind, posixpath.normpath(joined)))
    return found


def _main_part(archive: Archive) -> tuple[str, bytes]:
    for _, kind, target in _targets(archive, ""):
        if kind == _DOCUMENT_RELATIONSHIP:
            return target, part_of(archive, target)
    raise DamagedFile("the Office file names no document; ask its maker for a sound file")


def _first_of(archive: Archive, main: str, listing: bytes, item: str) -> str:
    """The part of the first slide or sheet that the main part lists."""
    targets = {name: target for name, _, target in _targets(archive, main)}
    for element in find_elements(listing, (item,)):
        # `r:id` under whatever prefix; a slide has an `id` of its own besides.
        names = [value for key, value in element.attributes.items() if key.endswith(":id")]
        if names and names[0] in targets:
            return targets[names[0]]
    raise UnsupportedFormat("the Office file has neither a slide nor a sheet to show a label on; add one")


def label_text_document(data: bytes, words: str) -> bytes:
    """The text document with the words as its first paragraph."""
    archive = _opened(data)
    name, part = _main_part(archive)
    bodies = find_elements(part, ("body",))
    if not bodies or bodies[0].close is None:
        raise DamagedFile("the text document has no body; ask its maker for a sound file")
    text = escape(words)
    first = next(iter(find_elements(part, ("p",))), None)
    if first is not None and f">{text}</".encode() in part[first.start : first.end]:
        return data
    prefix = bodies[0].prefix
    own = "<\0p><\0r><\0rPr><\0b/></\0rPr><\0t>{}</\0t></\0r></\0p>".replace("\0", prefix).format(text)
    at = end_of_tag(part, bodies[0].start)
    return archive.replace({name: part[:at] + own.encode() + part[at:]})


def _namespace(part: bytes, kind: str) -> str:
    """The namespace of DrawingML in the file's own dialect of the standard."""
    if _STRICT.encode() in part:
        return f"{_STRICT}/drawingml/{kind}"
    return f"{_TRANSITIONAL}/drawingml/2006/{kind}"


def _shape_text(words: str, size_pt: float) -> tuple[str, str]:
    """The plate's fill and the words, in DrawingML under the prefix ``a``."""
    fill = '<a:solidFill><a:srgbClr val="{}"/></a:solidFill>'
    run = f'<a:rPr lang="zh-CN" sz="{round(size_pt * 100)}">{fill.format("FFFFFF")}</a:rPr><a:t>{escape(words)}</a:t>'
    return fill.format("222222"), f"<a:p><a:r>{run}</a:r></a:p>"


def _width_emu(words: str, size_pt: float) -> int:
    """Room for the words in any usual font: a full em for each wide character, two thirds for others."""
    ems = sum(2 / 3 if character.isascii() else 1.0 for character in words)
    return round((ems + 1) * size_pt * _EMU_A_POINT)


def label_presentation(data: bytes, words: str, image: ImageLabel) -> bytes:
    """The presentation with the words in a corner of its first slide."""
    archive = _opened(data)
    main, listing = _main_part(archive)
    name = _first_of(archive, main, listing, "sldId")
    slide = part_of(archive, name)
    if f'name="{_NAME}"'.encode() in slide:
        return data
    sizes = find_elements(listing, ("sldSz",))
    try:
        width, height = (int(sizes[0].attributes[key]) for key in ("cx", "cy"))
    except (IndexError, KeyError, ValueError):
        raise DamagedFile("the presentation does not say how large its slides are; ask its maker") from None
    size_pt = max(min(width, height) * image.height_bp / 10_000 / _EMU_A_POINT / _INK_OF_SIZE, _LEGIBLE_PT)
    box = (_width_emu(words, size_pt), round(1.6 * size_pt * _EMU_A_POINT))
    if box[0] > width or box[1] > height:
        raise UnsupportedFormat("the slides are too narrow for the label in one line; use shorter words")
    x = width - box[0] if image.corner.endswith("right") else 0
    y = height - box[1] if image.corner.startswith("bottom") else 0
    ids = [element.attributes.get("id", "") for element in find_elements(slide, ("cNvPr",))]
    number = max([1, *(int(value) for value in ids if value.isdecimal() and len(value) < 10)]) + 1
    fill, text = _shape_text(words, size_pt)
    shape = (
        f'<\0sp xmlns:a="{_namespace(slide, "main")}"><\0nvSpPr><\0cNvPr id="{number}" name="{_NAME}" '
        f'descr={quoteattr(words)}/><\0cNvSpPr/><\0nvPr/></\0nvSpPr><\0spPr><a:xfrm><a:off x="{x}" y="{y}"/>'
        f'<a:ext cx="{box[0]}" cy="{box[1]}"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/></a:prstGeom>{fill}'
        f'</\0spPr><\0txBody><a:bodyPr wrap="none" anchor="ctr"/>{text}</\0txBody></\0sp>'
    )
    trees = find_elements(slide, ("spTree",))
    if not trees:
        raise DamagedFile("the first slide of the presentation holds no shapes; ask its maker for a sound file")
    return archive.replace({name: _before_extensions(slide, trees[0], shape)})


def _before_extensions(slide: bytes, tree: Element, shape: str) -> bytes:
    """The shape as the last one of the tree; extensions of the tree itself stay behind it."""
    last = [
        element
        for element in find_elements(slide, ("extLst",))
        if element.depth == tree.depth + 1 and tree.start < element.start < tree.end
    ]
    if not last:
        return insert_last(slide, "spTree", shape)
    own = shape.replace("\0", tree.prefix).encode()
    return slide[: last[0].start] + own + slide[last[0].start :]


def label_workbook(data: bytes, words: str) -> bytes:
    """The workbook with the words in a text box on its first sheet, beside the cells that are used."""
    archive = _opened(data)
    main, listing = _main_part(archive)
    name = _first_of(archive, main, listing, "sheet")
    sheet = part_of(archive, name)
    if not find_elements(sheet, ("worksheet",)):
        raise UnsupportedFormat("the first sheet of the workbook is a chart; put a sheet with cells before it")
    drawing = next((target for _, kind, target in _targets(archive, name) if kind == "drawing"), None)
    column = _free_column(sheet)
    if drawing is not None:
        part = part_of(archive, drawing)
        if f'name="{_NAME}"'.encode() in part:
            return data
        return archive.replace({drawing: insert_last(part, "wsDr", _anchor(words, column, part, sheet))})
    return archive.replace(_new_drawing(archive, name, sheet, words, column))


def _free_column(sheet: bytes) -> int:
    """The column behind the used cells, counted from 0; the first where the sheet does not say, or is very wide."""
    dimensions = find_elements(sheet, ("dimension",))
    last = dimensions[0].attributes.get("ref", "").rpartition(":")[2] if dimensions else ""
    letters = re.match(r"[A-Z]{1,3}", last)
    column = 0
    for letter in letters[0] if letters else "":
        column = column * 26 + ord(letter) - 64
    return column if column <= _MOST_COLUMN else 0


_SHEET_SIZE_PT: Final = 16.0


def _anchor(words: str, column: int, part: bytes, sheet: bytes) -> str:
    box = (_width_emu(words, _SHEET_SIZE_PT), round(1.6 * _SHEET_SIZE_PT * _EMU_A_POINT))
    ids = [element.attributes.get("id", "") for element in find_elements(part, ("cNvPr",))]
    number = max([1, *(int(value) for value in ids if value.isdecimal() and len(value) < 10)]) + 1
    fill, text = _shape_text(words, _SHEET_SIZE_PT)
    return (
        f'<\0oneCellAnchor xmlns:a="{_namespace(sheet, "main")}"><\0from><\0col>{column}</\0col><\0colOff>0</\0colOff>'
        f'<\0row>0</\0row><\0rowOff>0</\0rowOff></\0from><\0ext cx="{box[0]}" cy="{box[1]}"/>'
        f'<\0sp macro="" textlink="">'
        f'<\0nvSpPr><\0cNvPr id="{number}" name="{_NAME}" descr={quoteattr(words)}/><\0cNvSpPr txBox="1"/></\0nvSpPr>'
        f'<\0spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="{box[0]}" cy="{box[1]}"/></a:xfrm><a:prstGeom prst="rect">'
        f'<a:avLst/></a:prstGeom>{fill}</\0spPr><\0txBody><a:bodyPr wrap="none" anchor="ctr"/>{text}</\0txBody></\0sp>'
        f"<\0clientData/></\0oneCellAnchor>"
    )


def _new_drawing(archive: Archive, name: str, sheet: bytes, words: str, column: int) -> dict[str, bytes]:
    """The parts that give a sheet its first drawing."""
    root = f"{_TRANSITIONAL}/officeDocument/2006/relationships"
    if _STRICT.encode() in sheet:
        root = f"{_STRICT}/officeDocument/relationships"
    taken = set(archive.names)
    paths = (f"xl/drawings/drawing{number}.xml" for number in range(1, len(taken) + 2))
    path = next(path for path in paths if path not in taken)
    empty = (
        f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<xdr:wsDr '
        f'xmlns:xdr="{_namespace(sheet, "spreadsheetDrawing")}"></xdr:wsDr>'
    ).encode()
    parts = {path: insert_last(empty, "wsDr", _anchor(words, column, empty, sheet))}
    relationships = _relationships_of(name)
    former = (
        part_of(archive, relationships)
        if relationships in taken
        else b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"></Relationships>'
    )
    known = {element.attributes.get("Id") for element in find_elements(former, ("Relationship",))}
    own = next(f"rId{n}" for n in range(1, len(known) + 2) if f"rId{n}" not in known)
    parts[relationships] = insert_last(
        former, "Relationships", f'<\0Relationship Id="{own}" Type="{root}/drawing" Target="/{path}"/>'
    )
    parts[TYPES] = insert_last(
        part_of(archive, TYPES),
        "Types",
        f'<\0Override PartName="/{path}" ContentType="application/vnd.openxmlformats-officedocument.drawing+xml"/>',
    )
    worksheet = find_elements(sheet, ("worksheet",))[0]
    element = f'<{worksheet.prefix}drawing xmlns:r="{root}" r:id="{own}"/>'.encode()
    behind = [found for found in find_elements(sheet, _BEHIND_DRAWING) if found.depth == worksheet.depth + 1]
    if behind:
        parts[name] = sheet[: behind[0].start] + element + sheet[behind[0].start :]
    else:
        parts[name] = insert_last(sheet, "worksheet", element.decode())
    return parts
