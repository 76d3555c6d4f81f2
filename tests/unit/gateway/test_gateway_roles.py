"""Who may do what: every operation of the API by every role, on one's own object, another's, another project's."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from signalbox_gateway import openapi
from signalbox_gateway.http.openapi import operations
from signalbox_gateway.identity import passwords
from signalbox_gateway.identity.audit_entry import HIDDEN, without_secrets
from signalbox_gateway.identity.roles import ANY, NEEDS, Binding, Object, Role, permissions, reach

PAGE: Final = (Path(__file__).parents[3] / "docs" / "architecture" / "identity.md").read_text()
DOCUMENT: dict[str, Any] = json.loads(openapi.FILE.read_text())
OPERATIONS: Final = {one["operationId"]: one["x-permission"] for _, _, one in operations(DOCUMENT)}
OBJECTS: Final = {
    "own": Object("lake", frozenset({"yarn"}), "user:me"), "other's": Object("lake", frozenset({"yarn"}), "user:ann"),
    "other project's": Object("sea", frozenset({"yarn"}), "user:ann"),
}  # fmt: skip
LETTERS: Final = {"own": "o", "other's": "t", "other project's": "p"}


def cell(role: Role, permission: str, *, project: str) -> str:
    """On which objects a role bound to a project, or to everything, has a permission."""
    found = reach([Binding(role, project)], permission, "user:me")
    return "".join(LETTERS[name] for name, about in OBJECTS.items() if found.changes(about)) or "–"


def table() -> str:
    """The matrix, as the page has it."""
    roles = [(role, project) for project in (ANY, "lake") for role in Role]
    lines = [
        "| Permission | "
        + " | ".join(f"{role}{'' if project == ANY else ' of lake'}" for role, project in roles)
        + " |",
        "|---" * (len(roles) + 1) + "|",
    ]
    for permission in sorted(set(OPERATIONS.values())):
        cells = [cell(role, permission, project=project) for role, project in roles]
        lines.append(f"| `{permission}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_every_cell_of_role_operation_and_object_is_the_one_of_the_page() -> None:
    """A new permission without its row fails here: somebody decides who has it."""
    assert set(OPERATIONS.values()) <= set(NEEDS)
    assert table() in PAGE, table()


def test_every_operation_is_listed_with_its_permission() -> None:
    by_permission: dict[str, list[str]] = {}
    for operation, permission in sorted(OPERATIONS.items()):
        by_permission.setdefault(permission, []).append(f"`{operation}`")
    for permission, names in by_permission.items():
        assert f"| `{permission}` | {', '.join(names)} |" in PAGE, f"| `{permission}` | {', '.join(names)} |"


def test_a_viewer_has_no_permission_that_changes_anything_but_itself() -> None:
    mine = permissions([Binding(Role.VIEWER)])
    changing = {name for name in mine if not name.endswith(".read") and not NEEDS[name].public}
    assert changing == {"schedule.preview", "session.end", "password.change", "key.write"}


@pytest.mark.parametrize(
    ("less", "more"), [(Role.VIEWER, Role.USER), (Role.USER, Role.OPERATOR), (Role.OPERATOR, Role.ADMIN)]
)
def test_each_role_may_do_what_the_one_before_may(less: Role, more: Role) -> None:
    assert permissions([Binding(less)]) < permissions([Binding(more)])


def test_without_a_binding_nothing_is_allowed() -> None:
    assert all(reach([], name).nowhere for name, need in NEEDS.items() if need.role is not None)


def test_a_binding_to_an_engine_covers_what_runs_there_alone() -> None:
    mine = [Binding(Role.OPERATOR, "lake", "yarn")]
    control = reach(mine, "plan.control")
    assert control.changes(Object("lake", frozenset({"yarn"})))
    assert not control.changes(Object("lake", frozenset({"yarn", "flink"})))
    assert not control.changes(Object("lake"))
    assert reach(mine, "plan.read").sees(Object("lake", frozenset({"yarn", "flink"})))
    assert not reach(mine, "engine.write").changes(Object("lake", frozenset({"yarn"}), is_engine=True))


@pytest.mark.parametrize(
    "password",
    ["short", "password123", "P@ssw0rd!23", "qwertyuiop1", "12345678901", "aaaaaaaaaaaa", "letmein2026!!", "a" * 65,
     "ann-loves-tea", "nul\0 character in it"],
)  # fmt: skip
def test_a_bad_password_is_named(password: str) -> None:
    assert passwords.wrong_with(password, username="ann")


@pytest.mark.parametrize("password", ["four unrelated words", "x7#kmLq92vTz", "náhodná věta o moři"])
def test_a_good_password_is_taken(password: str) -> None:
    assert passwords.wrong_with(password, username="ann", email="ann@example.com") is None


def test_what_is_named_like_a_secret_is_hidden_and_references_stay() -> None:
    state = {"password": "x", "auth": {"token": "secret://lake", "api_key": "k"}, "secrets": ["a"], "name": "n"}
    expected = {
        "password": HIDDEN,
        "auth": {"token": "secret://lake", "api_key": HIDDEN},
        "secrets": HIDDEN,
        "name": "n",
    }
    assert without_secrets(state) == expected
