"""Definitions as people write them."""

from typing import Any

import pytest

from signalbox_contracts.definitions.problems import InvalidDefinition
from signalbox_gateway.definitions.written import complete


@pytest.mark.parametrize(
    ("name", "id"),
    [("Nightly load", "nightly-load"), ("Übung: größe!", "ubung-groe"), ("  a.b_c  ", "a.b_c"), ("A" * 200, "a" * 100)],
)
def test_an_id_is_made_of_the_name(name: str, id: str) -> None:
    assert complete({"name": name})["id"] == id


def test_a_name_is_made_of_the_id() -> None:
    assert complete({"id": "nightly"})["name"] == "nightly"


def test_a_name_no_id_can_be_made_of_needs_one() -> None:
    with pytest.raises(InvalidDefinition, match="id"):
        complete({"name": "夜间"})


def test_an_id_that_is_not_the_paths_is_refused() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        complete({"id": "other", "name": "x"}, id="mine")
    assert caught.value.problems[0].field == "id"


def test_what_was_shown_may_be_sent_back() -> None:
    """Who edits a definition reads it first: what the gateway added must not stand in the way."""
    shown: dict[str, Any] = {
        "id": "e",
        "name": "E",
        "revision": 7,
        "created_at": "…",
        "updated_at": "…",
        "updated_by": "a",
        "state": {},
    }
    assert complete(dict(shown), id="e") == {"id": "e", "name": "E"}
    assert complete({**shown, "version": 3}, id="e", versioned=False) == {"id": "e", "name": "E"}
    assert complete({**shown, "version": 3}, id="e")["version"] == 3
