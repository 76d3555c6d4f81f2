"""`asyncapi.json` has the shape of AsyncAPI 3.0 and says what the tables say.

The official JSON Schema of AsyncAPI is not part of this repository. What is checked is the part we use: the required
fields and types of the root, channels, operations, messages and Kafka bindings, that every reference leads somewhere,
and that the document agrees with the table of topics and the declarations of the services.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from signalbox_contracts.generate import HOME
from signalbox_contracts.services import installed_services
from signalbox_contracts.topics import TOPICS

DOCUMENT: dict[str, Any] = json.loads((HOME / "asyncapi.json").read_text())

_REF = {
    "type": "object",
    "required": ["$ref"],
    "properties": {"$ref": {"type": "string"}},
    "additionalProperties": False,
}
_KAFKA_CHANNEL = {
    "type": "object",
    "properties": {
        "topic": {"type": "string"},
        "partitions": {"type": "integer", "minimum": 1},
        "replicas": {"type": "integer", "minimum": 1},
        "topicConfiguration": {
            "type": "object",
            "properties": {
                "cleanup.policy": {"type": "array", "items": {"enum": ["compact", "delete"]}},
                "retention.ms": {"type": "integer", "minimum": -1},
                "delete.retention.ms": {"type": "integer", "minimum": 0},
                "max.message.bytes": {"type": "integer", "minimum": 0},
            },
        },
        "bindingVersion": {"enum": ["0.4.0", "0.5.0"]},
    },
    "additionalProperties": False,
}
SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["asyncapi", "info"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "id": {"type": "string"},
        "info": {"type": "object", "required": ["title", "version"]},
        "defaultContentType": {"type": "string"},
        "channels": {
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages"],
                "properties": {
                    "address": {"type": ["string", "null"]},
                    "messages": {"type": "object", "additionalProperties": _REF, "minProperties": 1},
                    "description": {"type": "string"},
                    "bindings": {"properties": {"kafka": _KAFKA_CHANNEL}, "required": ["kafka"]},
                },
                "additionalProperties": False,
            }
        },
        "operations": {
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "properties": {"action": {"enum": ["send", "receive"]}, "channel": _REF, "title": {"type": "string"}},
                "additionalProperties": False,
            }
        },
        "components": {
            "properties": {
                "messages": {
                    "additionalProperties": {
                        "type": "object",
                        "required": ["name", "payload", "contentType", "summary", "bindings"],
                        "properties": {
                            "payload": {
                                "type": "object",
                                "required": ["schemaFormat", "schema"],
                                "properties": {"schema": _REF, "schemaFormat": {"type": "string"}},
                                "additionalProperties": False,
                            },
                            "bindings": {"required": ["kafka"]},
                        },
                    }
                }
            }
        },
    },
}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for inner in part.values():  # pyright: ignore[reportUnknownVariableType]
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:  # pyright: ignore[reportUnknownVariableType]
            yield from references(inner)


def resolve(reference: str) -> Any:
    if not reference.startswith("#/"):
        return json.loads((HOME / reference).read_text())
    place: Any = DOCUMENT
    for part in reference[2:].split("/"):
        place = place[part]
    return place


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    assert [problem.message for problem in Draft202012Validator(SHAPE).iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize("broken", ["asyncapi", "info", "channels", "operations"])
def test_the_shape_check_refuses_a_document_that_is_not_asyncapi(broken: str) -> None:
    wrong: dict[str, Any] = {
        "asyncapi": "2.6.0",
        "info": {},
        "channels": {"c": {"publish": {}}},
        "operations": {"o": {"action": "publish"}},
    }
    assert list(Draft202012Validator(SHAPE).iter_errors({**DOCUMENT, broken: wrong[broken]}))


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 2 * len(TOPICS)
    for reference in found:
        assert resolve(reference), reference


def test_channels_are_the_table_of_topics() -> None:
    assert {
        name: (channel["address"], channel["bindings"]["kafka"]["partitions"], len(channel["messages"]))
        for name, channel in DOCUMENT["channels"].items()
    } == {place.name: (place.full_name(), place.partitions, len(place.messages)) for place in TOPICS}


def test_operations_are_what_the_services_declare() -> None:
    services = installed_services()
    expected = {f"{service.name}.receive.{name}" for service in services for name in service.reads}
    expected |= {f"{service.name}.send.{name}" for service in services for name in service.sends}
    assert set(DOCUMENT["operations"]) == expected
    assert all(name.split(".")[1] == operation["action"] for name, operation in DOCUMENT["operations"].items())
