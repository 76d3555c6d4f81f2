"""The pods of workers run as a namespace that restricts its pods asks for, unless the operator says otherwise."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from signalbox_reprocessor.pods import CONTAINER_SECURITY, POD_SECURITY, pod_template
from signalbox_reprocessor.settings import ReprocessorSettings

MAIN = {"name": "main", "securityContext": CONTAINER_SECURITY}


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"securityContext": POD_SECURITY, "containers": [MAIN]}),
    (
        {"spec": {"nodeName": "one", "containers": [{"name": "aside"}, {"name": "main", "env": []}]}},
        {
            "securityContext": POD_SECURITY, "nodeName": "one",
            "containers": [{**MAIN, "env": []}, {"name": "aside"}],
        },
    ),
    (
        {"spec": {"securityContext": None, "containers": [{"name": "main", "securityContext": {"a": 1}}]}},
        {"securityContext": None, "containers": [{"name": "main", "securityContext": {"a": 1}}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "spec"), CASES, ids=["nothing said", "other fields", "its own security context"])
def test_a_template_is_restricted_where_it_says_nothing(raw: dict[str, Any], spec: dict[str, Any]) -> None:
    assert pod_template({**raw, "metadata": {"labels": {}}}) == {"metadata": {"labels": {}}, "spec": spec}


@pytest.mark.parametrize(
    "template", ["[]", "{", '{"spec": 1}', '{"spec": {"containers": {}}}', '{"spec": {"containers": [1]}}']
)
def test_a_template_that_is_none_is_refused_at_the_start(template: str) -> None:
    with pytest.raises(ValidationError, match="reprocessing_pod_template"):
        ReprocessorSettings(
            database_url=SecretStr("postgresql://here/signalbox"), kafka_bootstrap="kafka:9092",
            reprocessing_pod_template=template,
        )  # fmt: skip
