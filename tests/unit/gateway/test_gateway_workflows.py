"""Workflows in the words of their API: states, texts that look like templates, what is said twice."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from signalbox_contracts.definitions.engine import AirflowConnection
from signalbox_contracts.definitions.template import render_all
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.states import PlanState, TaskState
from signalbox_gateway.default_engines import named_engines
from signalbox_gateway.settings import GatewaySettings
from signalbox_gateway.workflows import values, words

PAGE = Path(__file__).parents[3] / "docs" / "architecture" / "workflows.md"


def table() -> dict[str, tuple[set[str], set[str]]]:
    """The page's table: plan states and task states by word."""
    part = PAGE.read_text().partition("## States of a run")[2].partition("##")[0]
    rows = [line.split("|")[1:4] for line in part.splitlines() if line.startswith("| ") and "Plan" not in line]
    names = re.compile(r"[A-Z_]{4,}")
    return {word.strip(): (set(names.findall(plan)), set(names.findall(task))) for word, plan, task in rows}


def test_the_page_shows_the_word_of_every_state() -> None:
    shown = table()
    for plan in PlanState:
        if plan not in (PlanState.OTHER, PlanState.RUNNING):
            assert plan.value in shown[words.PLAN_WORDS[plan]][0]
    for task in TaskState:
        if task is not TaskState.OTHER:
            assert task.value in shown[words.TASK_WORDS[task]][1]
            run = words.run_state({"state": "RUNNING"}, {"state": task.value, "phase": None})
            assert run == words.TASK_WORDS[task]


def test_a_run_that_waits_inside_airflow_is_queued() -> None:
    assert words.run_state({"state": "RUNNING"}, {"state": "RUNNING", "phase": "submitted"}) == "queued"
    assert words.run_state({"state": "RUNNING"}, None) == "triggered"


@pytest.mark.parametrize("text", ["{{ params.x }}", "{% raw %}{% endraw %}", "{# a #}", "a {b} c", "{{{", "}} {{ '"])
def test_a_parameter_that_looks_like_a_template_reaches_airflow_as_it_is(text: str) -> None:
    """Without it a caller's text would be run as a template, or refused."""
    written: Any = {"text": text, "nested": [{"text": text}], "number": 3}
    work = AirflowWork(dag_id="d", conf=values.literal(written))
    assert render_all(work.conf, {"params": {}}) == written
    assert values.as_written(work.conf) == written


def test_a_number_that_is_given_twice_and_differently_is_refused() -> None:
    assert values.RunCreate(task_id=1, parameters={"task_id": 1, "a": 2}).conf() == {"task_id": 1, "a": 2}
    with pytest.raises(ValidationError, match=r"parameters\.task_id is not the task_id of this run"):
        values.RunCreate(task_id=1, parameters={"task_id": 2})


def test_the_address_in_the_environment_is_the_default_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_URL", "http://airflow.internal:8080")
    settings = GatewaySettings(
        kafka_bootstrap="127.0.0.1:1", database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none")
    )
    (engine,) = named_engines(settings)
    assert (engine.id, engine.connection) == ("airflow", AirflowConnection(url="http://airflow.internal:8080"))
    assert engine.labels == {"default": "true"}
