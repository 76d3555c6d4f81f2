"""Oozie's configuration XML, both ways."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

RUN_KEY: Final = "signalbox.run.key"
"""The property that carries our run key in every job and rerun of ours."""
EXTERNAL_ID: Final = "oozie.wf.external.id"
SKIP_NODES: Final = "oozie.wf.rerun.skip.nodes"
FAIL_NODES: Final = "oozie.wf.rerun.failnodes"
APPLICATION_PATHS: Final = {
    "workflow": "oozie.wf.application.path",
    "coordinator": "oozie.coord.application.path",
    "bundle": "oozie.bundle.application.path",
}
USER: Final = "user.name"
RESERVED: Final = frozenset({RUN_KEY, EXTERNAL_ID, SKIP_NODES, FAIL_NODES, USER, *APPLICATION_PATHS.values()})
"""Properties that only the engine sets: each decides what runs, or who it is."""
_ILLEGAL: Final = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(properties: Mapping[str, str]) -> bytes:
    """The body of a submit or rerun."""
    parts = [
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in properties.items()
    ]
    return f"<configuration>{''.join(parts)}</configuration>".encode()


def value_of(conf: str | None, name: str) -> str:
    """A property of a stored configuration, which may be too large to parse; empty where it is not set."""
    pattern = rf"<name>\s*{re.escape(name)}\s*</name>\s*<value>\s*([^<]*?)\s*</value>"
    found = re.search(pattern, conf or "")
    return unescape(found[1]) if found else ""


def run_key_of(conf: str | None) -> str | None:
    """The run key a job's stored configuration carries."""
    return value_of(conf, RUN_KEY) or None


def parse(conf: str) -> dict[str, str]:
    """All properties of a stored configuration. Raises ValueError for what is no configuration.

    A document type is refused, as Oozie refuses it: entities could grow without bound.
    """
    if "<!DOCTYPE" in conf:
        raise ValueError("a configuration with a document type is not allowed")
    try:
        root = ElementTree.fromstring(conf)
    except ElementTree.ParseError as error:
        raise ValueError(f"the configuration is no XML: {error}") from None
    properties = ((part.findtext("name"), part.findtext("value")) for part in root.iter("property"))
    return {name.strip(): value or "" for name, value in properties if name}


def why_not_allowed(name: str, value: str) -> str:
    """Why this property cannot be sent; empty if it can."""
    if not name or name != name.strip():
        return "a name without blanks at its ends is needed"
    if name in RESERVED:
        return "only Signalbox sets this property"
    if value == "":
        return "Oozie drops properties with an empty value: set a value, or leave the property out"
    if _ILLEGAL.search(name + value):
        return "characters that XML allows are allowed"
    return ""
