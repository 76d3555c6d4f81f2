"""The AsyncAPI 3.0 document, made from the table of topics and what the installed services declare."""

from typing import Any, Final

from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.services import ServiceSpec, installed_services
from signalbox_contracts.topics import TOPICS, Topic
from signalbox_contracts.wire import CONTENT_TYPE

BINDING_VERSION: Final = "0.5.0"
_KEYS: Final = "UTF-8 text: {key}"


def message_name(message: type[Event[Any]]) -> str:
    """The message's type, or `any` for an outside event."""
    return "any" if message is TriggerEvent else message.type_name()


def schema_path(topic: Topic, message: type[Event[Any]]) -> str:
    """Where a message's JSON Schema is, below `libs/contracts`."""
    return f"schemas/{topic.name}/{message_name(message)}.json"


def asyncapi(version: str) -> dict[str, Any]:
    """The document, with the services in the order of their names."""
    by_name = sorted(installed_services(), key=lambda service: service.name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Signalbox",
            "version": version,
            "description": "What Signalbox services say to each other, and what others may say to them. Generated.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {name: operation for service in by_name for name, operation in _operations(service)},
        "components": {
            "messages": {
                _id(topic, message): _message(topic, message) for topic in TOPICS for message in topic.messages
            }
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    kept = topic.retention_seconds * 1000
    configuration["delete.retention.ms" if topic.compacted else "retention.ms"] = kept
    configuration["max.message.bytes"] = int(topic.config()["max.message.bytes"])
    return {
        "address": topic.full_name(),
        "description": f"{topic.kind}; the key is the {topic.key}; a reader's unknown types: {topic.unknown}",
        "messages": {
            message_name(message): {"$ref": f"#/components/messages/{_id(topic, message)}"}
            for message in topic.messages
        },
        "bindings": {
            "kafka": {
                "topic": topic.full_name(),
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _message(topic: Topic, message: type[Event[Any]]) -> dict[str, Any]:
    return {
        "name": message_name(message),
        "title": message.__name__,
        "summary": (message.__doc__ or "").strip().split("\n")[0],
        "contentType": CONTENT_TYPE,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{schema_path(topic, message)}"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": _KEYS.format(key=topic.key)},
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operations(service: ServiceSpec) -> list[tuple[str, dict[str, Any]]]:
    directions = [(topic, "receive") for topic in service.reads] + [(topic, "send") for topic in service.sends]
    return [
        (
            f"{service.name}.{action}.{topic}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic}"},
                "title": f"{service.name} {'reads' if action == 'receive' else 'writes'} {topic}",
            },
        )
        for topic, action in directions
    ]


def _id(topic: Topic, message: type[Event[Any]]) -> str:
    return f"{topic.name}.{message_name(message)}"
