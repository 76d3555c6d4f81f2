"""What every definition says: its kind, id, project, name and labels."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from signalbox_contracts.vocabulary import Name, Ordinal, Value

Title = Annotated[str, Field(min_length=1, max_length=200)]
ShortText = Annotated[str, Field(max_length=1024)]
ParamName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""A parameter's name: a word that a template can say (`params.day`)."""

Labels = Annotated[dict[Name, Annotated[str, Field(max_length=255)]], Field(max_length=50)]
PlanLabels = Annotated[dict[Name, Annotated[str, Field(max_length=255)]], Field(max_length=51)]
"""Those of a definition, and the one with the schedule or trigger that started the plan."""
Texts = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=255)], Annotated[str, Field(max_length=16_384)]],
    Field(max_length=500),
]
"""Names and texts: an environment, properties, a configuration."""

Params = Annotated[dict[ParamName, JsonValue], Field(max_length=200)]


class Definition(Value):
    """A saved thing that others refer to by kind and id. `project` is the unit permissions are bound to."""

    id: Name
    project: Name = "default"
    name: Title
    description: ShortText = ""
    labels: Labels = Field(default_factory=dict)


class Target(Value):
    """What a schedule or trigger starts; without `version` the newest at that moment."""

    kind: Literal["job", "pipeline"]
    id: Name
    version: Ordinal | None = None
