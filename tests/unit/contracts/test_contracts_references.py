"""References, differences and the choice of an engine: the pure rules that every kind of definition shares."""

import pytest

from signalbox_contracts.definitions import KINDS
from signalbox_contracts.definitions.differences import differences
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.placement import NoFittingEngine, choose_engine
from signalbox_contracts.definitions.references import Reference, references
from signalbox_contracts.samples import definitions as samples


def test_references_name_every_definition_and_secret_with_its_field() -> None:
    found = {
        one.id: references(one)
        for one in (
            samples.pipeline(),
            samples.schedule(),
            samples.trigger(),
            samples.subscription(),
            samples.freeze(),
            samples.move(),
        )
    }
    assert found == {
        "daily": (Reference("engine", "local", "steps.0.engine"),),
        "nightly": (Reference("pipeline", "daily", "target.id"),),
        "new-files": (Reference("pipeline", "daily", "target.id"),),
        "failures": (Reference("channel", "to-slack", "channel"),),
        "month-end": (Reference("engine", "oozie-prod", "engines.0"),),
        "daily-load": (
            Reference("engine", "oozie-prod", "engine"),
            Reference("engine", "airflow-etl", "airflow_engine"),
        ),
    }
    slack = samples.channels()[0].model_copy(update={"fallback": "to-email"})
    assert references(slack) == (
        Reference("channel", "to-email", "fallback"), Reference("secret", "slack-token", ""),
    )  # fmt: skip
    job = samples.job().model_copy(update={"engine": "local"})
    assert references(job) == (Reference("engine", "local", "engine"),)


def test_every_kind_of_the_contracts_is_covered_by_references() -> None:
    """A kind that is forgotten here could be deleted while it is in use."""
    referring = {"job", "pipeline", "schedule", "trigger", "channel", "subscription", "freeze", "move"}
    assert set(KINDS) == referring | {"engine"}


def engines() -> list[Engine]:
    return [engine for engine in samples.engines() if engine.id in ("local", "play", "flink-main")]


def test_work_runs_on_the_named_engine_or_on_the_only_one_that_fits() -> None:
    assert choose_engine(engines(), work_kind="process", named="local").id == "local"
    assert choose_engine(engines(), work_kind="flink").id == "flink-main"


@pytest.mark.parametrize(
    ("kind", "named", "field", "words"),
    [
        ("process", "nowhere", "engine", "allowed are flink-main, local, play"),
        ("spark", "local", "work.kind", "engine local runs process, not spark"),
        ("spark", None, "engine", "must be named: engines that run spark: none is registered"),
    ],
)
def test_work_without_a_fitting_engine_is_refused(kind: str, named: str | None, field: str, words: str) -> None:
    with pytest.raises(NoFittingEngine, match=words) as caught:
        choose_engine(engines(), work_kind=kind, named=named)
    assert caught.value.field == field


def test_two_fitting_engines_leave_the_choice_to_the_caller() -> None:
    local = next(engine for engine in engines() if engine.id == "local")
    twin = local.model_copy(update={"id": "local-2"})
    with pytest.raises(NoFittingEngine, match="local, local-2"):
        choose_engine([local, twin], work_kind="process")


def test_differences_name_fields_by_pointer() -> None:
    before = {"a": 1, "same": [1, {"x": 1}], "gone": True, "list": [1, 2], "o/d~d": 1, "flag": 1}
    after = {"a": 2, "same": [1, {"x": 1}], "list": [1, 3, 4], "o/d~d": 2, "new": None, "flag": True}
    assert [(one.path, one.change, one.before, one.after) for one in differences(before, after)] == [
        ("/a", "changed", 1, 2),
        ("/gone", "removed", True, None),
        ("/list/1", "changed", 2, 3),
        ("/list/2", "added", None, 4),
        ("/o~1d~0d", "changed", 1, 2),
        ("/flag", "changed", 1, True),
        ("/new", "added", None, None),
    ]
