"""Our system config against Immich's published API description: names, types, limits, options, nullability."""

import json
from typing import Any

import pytest

from cluster.system_config import SystemConfig
from tests.shared_media import shared_dir

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def published() -> Schema:
    path = shared_dir() / "spec" / "openapi.json"
    schemas: Schema = json.loads(path.read_text())["components"]["schemas"]
    return schemas


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """What `schema` refers to, a null alternative told as `nullable`."""
    if "$ref" in schema:
        return resolved(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        (other,) = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return resolved(other, definitions) | {"nullable": True}
    return schema


def facts(schema: Schema, definitions: Schema) -> Schema:
    """What a client can rely on, nested, without titles and descriptions."""
    schema = resolved(schema, definitions)
    told: Schema = {
        key: schema[key] for key in ("type", "minimum", "maximum", "pattern", "minItems", "nullable") if key in schema
    }
    if schema.get("format") == "uri":
        told["format"] = "uri"
    if "enum" in schema:
        told |= {"enum": set(schema["enum"]), "type": "option"}
    if "items" in schema:
        told["items"] = facts(schema["items"], definitions)
    if "properties" in schema:
        told["required"] = set(schema.get("required", []))
        told["properties"] = {name: facts(part, definitions) for name, part in schema["properties"].items()}
    return told


def test_system_config_agrees_with_immichs_description(published: Schema) -> None:
    ours = SystemConfig.model_json_schema()

    assert facts(ours, ours["$defs"]) == facts(published["SystemConfigDto"], published)
