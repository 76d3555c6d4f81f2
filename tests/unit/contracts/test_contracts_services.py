"""Services are found by what they declare; a declaration that cannot be used is named."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from signalbox_contracts.services import GROUP, ServiceSpec, ServiceUnusable, installed_services
from signalbox_contracts.topics import topic


def declared(name: str, order: int = 50) -> ServiceSpec:
    return ServiceSpec(
        name=name, package="no", app=f"{__name__}:declared", settings="no:no", migrations=Path(), order=order,
        consumers={"control": ("requests.v1", "operations.v1"), "facts": ("tasks.v1", "requests.v1")}, definitions=True,
        writes=("plans.v1", "states.v1"),
    )  # fmt: skip


LATE, EARLY = declared("late", 90), declared("early", 10)
OTHER_LATE = declared("late")


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}", GROUP)


def test_services_start_in_the_order_they_declare() -> None:
    assert installed_services([entry("late", "LATE"), entry("early", "EARLY")]) == (EARLY, LATE)


def test_topics_groups_and_schema_follow_from_the_declaration() -> None:
    spec = declared("file-mover")
    assert spec.schema == "file_mover"
    assert spec.reads == ("requests.v1", "operations.v1", "tasks.v1", "definitions.v1")
    assert spec.sends == ("plans.v1", "states.v1", "dead-letters.v1")
    assert list(spec.groups) == ["file-mover.control", "file-mover.facts"]


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ([EntryPoint("gone", "no_such_module:SERVICE", GROUP)], "gone = no_such_module:SERVICE.*ModuleNotFoundError"),
        ([entry("gone", "NO_SUCH_NAME")], "cannot be loaded: AttributeError"),
        ([entry("odd", "entry")], "odd = .* is not the ServiceSpec of a service with that name"),
        ([entry("early", "LATE")], "is not the ServiceSpec of a service with that name"),
        ([entry("late", "LATE"), entry("late", "OTHER_LATE")], "another package declares a service with that name"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_named(points: list[EntryPoint], problem: str) -> None:
    with pytest.raises(ServiceUnusable, match=problem):
        installed_services(points)


def test_a_reference_that_leads_nowhere_is_named() -> None:
    assert EARLY.load(EARLY.app) is declared
    with pytest.raises(ServiceUnusable, match="early: no:no cannot be loaded: ModuleNotFoundError"):
        EARLY.load(EARLY.settings)


@pytest.mark.parametrize("spec", installed_services(), ids=lambda spec: spec.name)
def test_a_service_reads_and_writes_only_topics_of_the_contracts(spec: ServiceSpec) -> None:
    assert all(topic(name) for name in (*spec.reads, *spec.sends))
