# SPDX-License-Identifier: Apache-2.0
"""An instance fits the schema it was made for, or none is made."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, IPvAnyAddress, TypeAdapter

from gateway.sample_schema import MAX_LENGTH, MAX_VALUES, UnfitSchema, instance


class Colour(enum.Enum):
    """An enumeration, which pydantic puts behind a reference."""

    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    """Bounds and formats."""

    name: Annotated[str, Field(min_length=9, max_length=12)]
    short: Annotated[str, Field(max_length=2)]
    share: Annotated[float, Field(gt=0, lt=1)]
    count: Annotated[int, Field(ge=10, le=19, multiple_of=7)]
    below: Annotated[int, Field(lt=-3)]
    colour: Colour
    kind: Literal["leaf"]
    at: AwareDatetime
    maybe: int | None
    tags: Annotated[list[str], Field(min_length=3)]


class Tree(BaseModel):
    """A schema that holds itself, twice, so that a careless walk never ends."""

    leaf: Leaf
    left: Tree | None
    right: Tree | None
    others: list[Tree]
    by_name: dict[str, int]


@pytest.mark.parametrize(
    "model", [Leaf, Tree, list[Tree], dict[str, Leaf], IPvAnyAddress | None, tuple[int, str], Tree | Leaf, bool, None]
)
def test_an_instance_fits_what_pydantic_describes(model: Any) -> None:
    """pydantic writes the schema and accepts the instance."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    adapter.validate_python(instance(adapter.json_schema()), strict=False)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (True, "sample"),
        ({}, "sample"),
        ({"const": [1]}, [1]),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": ["null", "string"]}, None),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 1}),
        ({"required": ["a"]}, {"a": "sample"}),
        ({"properties": {"a": {"pattern": "x"}, "b": {"type": "null"}}}, {"b": None}),
        ({"items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "maxItems": 0}, []),
        ({"prefixItems": [{"type": "integer"}, {"type": "null"}], "items": False}, [1, None]),
        ({"type": "string", "minLength": 8}, "samplesa"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "integer", "minimum": 5, "exclusiveMaximum": 7, "multipleOf": 3}, 6),
        ({"type": "number", "exclusiveMinimum": 2, "maximum": 2.5}, 2.5),
        ({"oneOf": [{"pattern": "x"}, {"type": "integer"}]}, 1),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 3}}}, 3),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "integer"}}},
                    {"properties": {"a": {"minimum": 4}}, "required": ["a"]},
                ]
            },
            {"a": 4},
        ),
    ],
)
def test_known_schemas_give_known_values(schema: Any, value: Any) -> None:
    """The kindest value is chosen, always the same."""
    assert instance(schema) == value


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {"type": "text"},
        {"type": 5},
        {"enum": []},
        {"enum": "ab"},
        {"anyOf": []},
        {"anyOf": [{"pattern": "x"}]},
        {"allOf": {}},
        {"allOf": [{"minimum": 1}, {"minimum": 2}], "type": "integer"},
        {"$ref": "http://example.com/schema"},
        {"$ref": "#/$defs/none"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "string", "pattern": "^a$"},
        {"type": "string", "format": "colour"},
        {"type": "string", "format": "date", "maxLength": 3},
        {"type": "string", "minLength": MAX_LENGTH + 1},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "integer", "minimum": 1.2, "maximum": 1.8},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": "number", "multipleOf": 0},
        {"type": "integer", "minimum": "1"},
        {"type": "array", "minItems": 2, "uniqueItems": True},
        {"type": "array", "minItems": 2, "maxItems": 1},
        {"type": "array", "items": {"type": "array", "minItems": 999, "items": {}}, "minItems": 999},
        {"type": "object", "minProperties": 3},
        {"type": "object", "required": [5]},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
    ],
)
def test_what_cannot_be_fitted_is_refused(schema: Any) -> None:
    """Broken, contradictory, endless and too clever schemas end soon, in one kind of error."""
    with pytest.raises(UnfitSchema):
        instance(schema)


def test_an_optional_branching_recursion_stays_small() -> None:
    """A tree that may go on for ever stops where it may."""
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abc"}}

    def size(value: dict[str, Any]) -> int:
        return 1 + sum(map(size, value.values()))

    assert size(instance(schema)) <= MAX_VALUES


SCHEMAS = st.recursive(
    st.sampled_from(
        [True, {}, {"type": "string"}, {"type": "integer", "minimum": 3}, {"$ref": "#"}, {"$ref": "#/a"}, 5]
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(["properties", "items", "anyOf", "allOf", "type", "required", "minItems", "a", "enum"]),
        st.one_of(inner, st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner), st.just(["a"])),
        max_size=4,
    ),
    max_leaves=12,
)


@given(SCHEMAS)
def test_any_schema_gives_an_instance_or_the_one_error(schema: Any) -> None:
    """Whatever a client sends as a schema, nothing else comes out, and the same twice."""
    try:
        made = instance(schema)
    except UnfitSchema:
        return
    assert made == instance(schema)
