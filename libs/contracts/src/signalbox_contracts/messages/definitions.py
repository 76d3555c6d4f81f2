"""`definitions.v1`, compacted: the newest snapshot of every definition, each with a gateway-wide revision."""

from datetime import datetime
from typing import Literal, Self

from pydantic import model_validator

from signalbox_contracts.definitions import AnyDefinition
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import fact_id
from signalbox_contracts.vocabulary import Name, Value, Version


class DefinitionSnapshotData(Value):
    """One definition as of a revision. Revisions grow over the whole gateway, so "have you seen r42" has an answer."""

    kind: Name
    id: Name
    revision: Version
    deleted: bool = False
    definition: AnyDefinition | None = None
    """The last form, also when it is deleted: history keeps it."""

    @model_validator(mode="after")
    def _is_about_its_definition(self) -> Self:
        if self.definition is None:
            if not self.deleted:
                raise ValueError("definition is missing: only a deleted one may be without")
        elif (self.definition.kind, self.definition.id) != (self.kind, self.id):
            raise ValueError(f"definition is {self.definition.kind}:{self.definition.id}, not {self.kind}:{self.id}")
        return self


class DefinitionSnapshot(Event[DefinitionSnapshotData], frozen=True):
    """A definition is now so; with `deleted`, it is gone."""

    type: Literal["signalbox.definition.snapshot.v1"] = "signalbox.definition.snapshot.v1"

    @property
    def key(self) -> str:
        """`kind:id`: the compacted topic keeps the newest of each."""
        return f"{self.data.kind}:{self.data.id}"


class TombstoneData(Value):
    """Which definition is gone for good."""

    kind: Name
    id: Name


class DefinitionTombstone(Event[TombstoneData], frozen=True):
    """A record without a value on the compacted topic: forget this key. Sent 30 d after the deleting snapshot."""

    type: Literal["signalbox.definition.tombstone.v1"] = "signalbox.definition.tombstone.v1"

    @property
    def key(self) -> str:
        """`kind:id`, as the snapshots had it."""
        return f"{self.data.kind}:{self.data.id}"

    @classmethod
    def from_key(cls, key: str, time: datetime) -> Self:
        """The tombstone of a key; raises `ValueError` when it is not `kind:id`."""
        kind, _, id = key.partition(":")
        name = cls.type_name()
        return cls.of(
            TombstoneData(kind=kind, id=id),
            subject=key,
            source="signalbox/api-gateway",
            time=time,
            id=fact_id(name, key, int(time.timestamp() * 1000)),
        )


MESSAGES = (DefinitionSnapshot,)
