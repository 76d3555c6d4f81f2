"""What may change between two releases of a message, judged from its JSON Schemas.

Two readers must be served: today's, reading what an older release wrote, and an older release's, reading what today's
writes. So besides what is removed, renamed, retyped, newly required or narrowed, it is breaking when a field is no
longer required or a closed enumeration grows: old readers would refuse the message. Open enumerations
(`x-known-values`) may grow, and so may a union of tagged objects. An old reader of definitions skips a new kind;
elsewhere it parks the message until it is upgraded, so readers go first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

Schema = Mapping[str, Any]

_LOWER_BOUNDS: Final = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")
_UPPER_BOUNDS: Final = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")
_ABSENT: Final = object()


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """One line per breaking change from one schema to another, with its place; empty when there is none."""
    return list(_Comparison(old, new).compare(old, new, "message"))


def missing_messages(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """One line per message that a release had and the next has not."""
    return [f"{name}: the message is gone" for name in old if name not in new]


@dataclass
class _Comparison:
    old_root: Schema
    new_root: Schema
    seen: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def compare(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        yield from self._default(old, new, place)
        old, new = _resolved(old, self.old_root), _resolved(new, self.new_root)
        before, after = _alternatives(old, self.old_root), _alternatives(new, self.new_root)
        if len(before) == len(after) == 1:
            yield from self._one(before[0], after[0], place)
        else:
            yield from self._union(before, after, place)

    def _default(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        before, after = old.get("default", _ABSENT), new.get("default", _ABSENT)
        if before is not _ABSENT and after is not _ABSENT and before != after:
            yield f"{place}: its default was {before!r} and is {after!r}, so silence means something else"

    def _union(self, before: list[Schema], after: list[Schema], place: str) -> Iterator[str]:
        old = {_mark(schema): schema for schema in before}
        new = {_mark(schema): schema for schema in after}
        for mark, schema in old.items():
            if mark in new:
                yield from self._one(schema, new[mark], f"{place}<{mark}>" if len(old) > 2 else place)
            else:
                yield f"{place}: {mark} is no longer allowed"
        for mark in new:
            if mark not in old and not mark.startswith("tagged "):
                yield f"{place}: {mark} is now allowed, which old readers refuse"

    def _one(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        pair = (id(old), id(new))
        if pair in self.seen:
            return  # already compared, or being compared: a definition used twice, or recursive
        self.seen.add(pair)
        if old.get("type") != new.get("type"):
            yield f"{place}: retyped from {old.get('type', 'anything')} to {new.get('type', 'anything')}"
            return
        if old.get("format") != new.get("format"):
            yield f"{place}: retyped from format {old.get('format')} to {new.get('format')}"
        yield from _values(old, new, place)
        yield from _bounds(old, new, place)
        yield from self._properties(old, new, place)
        yield from self._parts(old, new, place)

    def _properties(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        before: dict[str, Schema] = old.get("properties", {})
        after: dict[str, Schema] = new.get("properties", {})
        for name, schema in before.items():
            if name not in after:
                yield f"{place}.{name}: removed or renamed"
            else:
                yield from self.compare(schema, after[name], f"{place}.{name}")
        was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
        yield from (f"{place}.{name}: newly required" for name in sorted(is_required - was_required))
        for name in sorted(was_required - is_required):
            if name in after:
                yield f"{place}.{name}: no longer required, but old readers refuse messages without it"

    def _parts(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        for keyword, mark in (("items", "[]"), ("additionalProperties", "{}"), ("propertyNames", "{name}")):
            before, after = old.get(keyword), new.get(keyword)
            if isinstance(before, dict) and isinstance(after, dict):
                yield from self.compare(cast("Schema", before), cast("Schema", after), f"{place}{mark}")
            elif isinstance(after, dict) or after is False:
                yield f"{place}{mark}: narrowed: it was free before"
        patterns: dict[str, Schema] = old.get("patternProperties", {})
        now: dict[str, Schema] = new.get("patternProperties", {})
        if set(patterns) != set(now):
            yield f"{place}{{name}}: names were {' or '.join(patterns) or 'free'}, are {' or '.join(now) or 'free'}"
        for pattern in patterns.keys() & now.keys():
            yield from self.compare(patterns[pattern], now[pattern], f"{place}{{}}")
        before_all, after_all = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before_all) != len(after_all):
            yield f"{place}: retyped from {len(before_all)} positions to {len(after_all)}"
        for index, (one, other) in enumerate(zip(before_all, after_all, strict=False)):
            yield from self.compare(one, other, f"{place}[{index}]")


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][str(schema["$ref"]).removeprefix("#/$defs/")]
    return schema


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """The members of a union, unions inside it laid flat; a schema that is none is its only member."""
    members: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    if not members:
        return [schema]
    return [inner for member in members for inner in _alternatives(_resolved(member, root), root)]


def _mark(schema: Schema) -> str:
    """What tells a member of a union from the others: its tag, else its type."""
    for name in ("kind", "type"):
        tag = schema.get("properties", {}).get(name, {}).get("const")
        if tag is not None:
            return f"tagged {tag}"
    parts = (
        schema.get("type", "anything"),
        schema.get("format"),
        schema.get("title") if "properties" in schema else None,
    )
    return " ".join(str(part) for part in parts if part)


def _values(old: Schema, new: Schema, place: str) -> Iterator[str]:
    if old.get("const") != new.get("const"):
        yield f"{place}: was always {old.get('const')!r} and is {new.get('const')!r}"
    if ("enum" in old) != ("enum" in new):
        yield f"{place}: {'opened' if 'enum' in old else 'closed'} enumeration: readers disagree on what is allowed"
    gone, come = _difference(old, new, "enum")
    if gone:
        yield f"{place}: enumeration narrowed by {gone}"
    if come and "enum" in old and "enum" in new:
        yield f"{place}: closed enumeration grew by {come}, which old readers refuse"
    forgotten, _ = _difference(old, new, "x-known-values")
    if forgotten:
        yield f"{place}: enumeration narrowed by {forgotten}"


def _difference(old: Schema, new: Schema, keyword: str) -> tuple[str, str]:
    before, after = old.get(keyword, []), new.get(keyword, [])
    gone = ", ".join(str(value) for value in before if value not in after)
    return gone, ", ".join(str(value) for value in after if value not in before)


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[str]:
    if new.get("pattern") not in (None, old.get("pattern")):
        yield f"{place}: its pattern was {old.get('pattern')!r} and is {new['pattern']!r}"
    for keyword in _LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{place}: narrowed: {keyword} was {old.get(keyword, 'free')} and is {new[keyword]}"
    for keyword in _UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{place}: narrowed: {keyword} was {old.get(keyword, 'free')} and is {new[keyword]}"
