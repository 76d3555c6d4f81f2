"""Jobs: saved, versioned work on one engine."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from signalbox_contracts.definitions.definition import Definition, ParamName
from signalbox_contracts.definitions.params import Param
from signalbox_contracts.definitions.problems import InvalidFields
from signalbox_contracts.definitions.rules import OnUnknown, Priority, Retries, TimeLimits
from signalbox_contracts.definitions.secrets import is_secret_place, secret_refs, why_misplaced
from signalbox_contracts.definitions.spark_work import spark_problems
from signalbox_contracts.definitions.template import check_template, is_template, texts
from signalbox_contracts.definitions.work import SparkWork, Work
from signalbox_contracts.vocabulary import Name, Ordinal


class Job(Definition):
    """Work on one engine. Without `engine` it runs on the default engine of its kind."""

    kind: Literal["job"] = "job"
    version: Ordinal = 1
    engine: Name | None = None
    work: Work
    params: Annotated[dict[ParamName, Param], Field(max_length=200)] = Field(default_factory=dict)
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    priority: Priority = 50
    on_unknown: OnUnknown | None = None
    """None follows the engine's own policy."""

    @model_validator(mode="after")
    def _work_can_run(self) -> Self:
        check_work(self.work, frozenset(self.params), frozenset())
        return self


def check_work(work: Work, params: frozenset[str], steps: frozenset[str]) -> None:
    """Refuse (`InvalidFields`) what is not allowed in the work: templates, secrets, settings; each with its place."""
    if problems := list(work_problems(work, params, steps)):
        raise InvalidFields(problems)


def work_problems(work: Work, params: frozenset[str], steps: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Each field of the work that is not allowed (`work.argv.1`), and what is wrong."""
    if isinstance(work, SparkWork):
        yield from ((f"work.{field}", allowed) for field, allowed in spark_problems(work))
    for place, text in texts(work.model_dump(mode="json"), "work"):
        if secret_refs(text) and not is_secret_place(work.kind, place.removeprefix("work.")):
            yield place, why_misplaced(work.kind)
        elif is_template(text):
            try:
                check_template(text, params=params, steps=steps)
            except ValueError as error:
                yield place, str(error)
