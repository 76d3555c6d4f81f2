"""`signalbox KIND list … usage`, for every kind of definition: one function registers the commands of a kind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from signalbox_client import exit_codes, inputs, pipeline_files
from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.inputs import Everything, File, Form, Label, Limit, Yes, api
from signalbox_client.output import Column, ago, echo, one, rows

IfRevision = Annotated[int | None, typer.Option("--if-revision", help="only if this is still the current revision")]
OptionalFile = Annotated[str, typer.Option("-f", "--file", help="compare with this file: YAML or JSON")]
_CHANGED: tuple[Column, ...] = (
    ("revision", "revision"), ("changed", "updated_at"), ("by", "updated_by"),
)  # fmt: skip
_VERSIONS: tuple[Column, ...] = (
    ("version", "version"), ("revision", "revision"), ("made", "created_at"), ("by", "created_by"),
    ("reason", "reason"), ("name", "name"),
)  # fmt: skip
_CHANGES: tuple[Column, ...] = (
    ("field", "path"), ("change", "change"), ("before", "before"), ("after", "after"),
)  # fmt: skip
_ANSWER_FIELDS: Final = frozenset({"version", "revision", "created_at", "updated_at", "updated_by", "state"})
"""Fields the API adds to a definition."""


@dataclass(frozen=True, kw_only=True)
class DefinitionCommands:
    """How one kind looks: its path in the API, the columns of a list, the lines of `show`."""

    kind: str
    path: str
    columns: tuple[Column, ...]
    fields: tuple[Column, ...] = ()
    """Lines of `show` between the columns and who changed it."""
    refers_to_engines: bool = False

    @property
    def lines(self) -> tuple[Column, ...]:
        return (
            *self.columns, *self.fields, ("description", "description"), ("project", "project"), ("labels", "labels"),
            *_CHANGED,
        )  # fmt: skip

    @property
    def a_kind(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


def match(revision: int | None) -> dict[str, str]:
    """The header that refuses a change decided on another revision."""
    return {} if revision is None else {"If-Match": f'"{revision}"'}


def add_definition_commands(
    app: typer.Typer, kind: DefinitionCommands, *, create: bool = True, update: bool = True
) -> None:
    """Register the commands of one kind. Without `create` or `update` the kind has such a command of its own."""
    _add_reads(app, kind)
    _add_history(app, kind)
    if create:
        _add_create(app, kind)
    _add_delete(app, kind)
    if update:
        _add_update(app, kind)


def _add_reads(app: typer.Typer, kind: DefinitionCommands) -> None:
    empty = f"no {kind.path}: `signalbox {kind.kind} create -f FILE` saves one"

    def list_all(params: Mapping[str, Any], limit: int, everything: bool, output: str) -> None:
        found = api().pages(f"/{kind.path}", params, limit=inputs.row_limit(limit, everything))
        rows(found, output, kind.columns, empty=empty)

    if kind.refers_to_engines:

        @command(app, "list", help=f"List {kind.path}.")
        def list_with_engine(
            engine: list[str] | None = None,
            project: list[str] | None = None,
            label: Label = None,
            q: str = "",
            limit: Limit = 50,
            all: Everything = False,
            output: Form = "table",
        ) -> None:
            list_all({"engine": engine, "project": project, "label": label, "q": q}, limit, all, output)

    else:

        @command(app, "list", help=f"List {kind.path}.")
        def list_plain(
            project: list[str] | None = None,
            label: Label = None,
            q: str = "",
            limit: Limit = 50,
            all: Everything = False,
            output: Form = "table",
        ) -> None:
            list_all({"project": project, "label": label, "q": q}, limit, all, output)

    @command(app, "show", help=f"Show {kind.a_kind}, or one of its versions.")
    def show(id: str, version: int | None = None, output: Form = "table") -> None:
        one(api().get(place(kind.path, id), {"version": version}), output, kind.lines)


def _add_history(app: typer.Typer, kind: DefinitionCommands) -> None:
    @command(app, "versions", help=f"List the versions of {kind.a_kind}, newest first.")
    def versions(id: str, limit: Limit = 50, all: Everything = False, output: Form = "table") -> None:
        found = api().pages(place(kind.path, id, "versions"), limit=inputs.row_limit(limit, all))
        rows(found, output, _VERSIONS, name="version")

    @command(app, "diff", help=f"Compare two versions of {kind.a_kind}, or the newest with a file.")
    def diff(
        id: str,
        from_version: Annotated[int | None, typer.Option("--from", min=1, help="the older version")] = None,
        to_version: Annotated[int | None, typer.Option("--to", min=1, help="the newer version")] = None,
        file: OptionalFile = "",
        output: Form = "table",
    ) -> None:
        if file and (from_version or to_version):
            raise typer.BadParameter("give either --file or versions")
        if file:
            changes = _differences(kind, id, _written(kind, id, file))
        else:
            params = {"from": from_version, "to": to_version}
            changes = api().get(place(kind.path, id, "diff"), params)["changes"]
        rows(changes, output, _CHANGES, name="path", empty="no differences")

    @command(app, "usage", help=f"List what uses {kind.a_kind}. While anything uses it, it cannot be deleted.")
    def usage(id: str, output: Form = "table") -> None:
        users = api().get(place(kind.path, id, "usage"))["users"]
        rows([{"id": user} for user in users], output, (("used by", "id"),), empty="nothing uses it")


def _add_create(app: typer.Typer, kind: DefinitionCommands) -> None:
    @command(app, "create", help=f"Save a new {kind.kind} from a file.")
    def create(file: File, output: Form = "table") -> None:
        one(api().post(f"/{kind.path}", inputs.document(file)), output, kind.lines)


def _add_delete(app: typer.Typer, kind: DefinitionCommands) -> None:
    @command(app, "delete", help=f"Delete {kind.a_kind} that nothing uses. Its versions and plans stay readable.")
    def delete(id: str, if_revision: IfRevision = None, yes: Yes = False) -> None:
        inputs.sure(f"Delete {kind.kind} {id}?", yes)
        api().delete(place(kind.path, id), headers=match(if_revision))
        echo(f"{kind.kind} {id} is deleted")


def _add_update(app: typer.Typer, kind: DefinitionCommands) -> None:
    @command(app, "update", help=f"Save the next version of {kind.a_kind} from a file.")
    def update(id: str, file: File, if_revision: IfRevision = None, output: Form = "table") -> None:
        body = inputs.document(file)
        one(api().put(place(kind.path, id), body, headers=match(if_revision)), output, kind.lines)


def _written(kind: DefinitionCommands, id: str, file: str) -> dict[str, Any]:
    """The definition in a file, which must be the one that is compared."""
    if kind.kind == "pipeline" and file != "-":
        documents, problems = pipeline_files.checked([file])
        if problems:
            rows(problems, "table", pipeline_files.PROBLEMS)
            raise typer.Exit(exit_codes.USAGE)
        if len(documents) > 1:
            raise typer.BadParameter(f"{file} has {len(documents)} pipelines: one can be compared", param_hint="--file")
        written: dict[str, Any] = documents[0].value
    else:
        written = inputs.document(file)
    if written.get("id", id) != id:
        raise typer.BadParameter(f"{file} is {kind.kind} {written['id']}, not {id}", param_hint="--file")
    return written


def _differences(kind: DefinitionCommands, id: str, written: dict[str, Any]) -> list[dict[str, Any]]:
    """The saved definition against a file, both with every default filled in."""
    from pydantic import ValidationError  # slow to import, and rarely needed

    from signalbox_contracts.definitions import KINDS
    from signalbox_contracts.definitions.differences import differences
    from signalbox_contracts.definitions.problems import problems_in

    saved = api().get(place(kind.path, id))
    forms: list[dict[str, Any]] = []
    for name, form, extra in (("the saved definition", saved, "ignore"), ("the file", written, "forbid")):
        bare = {key: value for key, value in form.items() if key not in _ANSWER_FIELDS}
        bare |= {"id": id, "name": bare.get("name", id)}
        try:
            forms.append(
                KINDS[kind.kind].model_validate(bare, extra=extra).model_dump(mode="json", exclude={"version"})
            )
        except ValidationError as error:
            raise typer.BadParameter(f"{name}: {'; '.join(map(str, problems_in(error)))}") from None
    return [
        {"path": c.path, "change": c.change, "before": c.before, "after": c.after} for c in differences(*forms)
    ]  # fmt: skip


def _changed(found: Any) -> str:
    return ago(found["updated_at"])


def _target(found: Any) -> str:
    version = found["target"].get("version")
    return f"{found['target']['kind']}:{found['target']['id']}" + (f"@{version}" if version else "")


_WHO: tuple[Column, ...] = (("changed", _changed), ("by", "updated_by"), ("name", "name"))
JOB: Final = DefinitionCommands(
    kind="job", path="jobs", refers_to_engines=True,
    columns=(("job", "id"), ("version", "version"), ("work", "work.kind"), ("engine", "engine"), *_WHO),
    fields=(("does", "work"), ("params", "params"), ("retries", "retries"), ("time limits", "time_limits")),
)  # fmt: skip
PIPELINE: Final = DefinitionCommands(
    kind="pipeline", path="pipelines", refers_to_engines=True,
    columns=(
        ("pipeline", "id"), ("version", "version"), ("steps", lambda found: len(found["steps"])), *_WHO,
    ),
    fields=(("params", "params"), ("does", "steps"), ("rules", "rules")),
)  # fmt: skip


def _problem(found: Any) -> str:
    """Why a schedule stands still; its note is shown beside it."""
    state: dict[str, Any] = found.get("state") or {}
    note = str(state.get("note") or "")
    return "" if note == found.get("note") else note


SCHEDULE: Final = DefinitionCommands(
    kind="schedule", path="schedules",
    columns=(
        ("schedule", "id"), ("cron", "cron"), ("zone", "zone"), ("starts", _target), ("paused", "paused"),
        ("next", "state.next_due_at"), *_WHO,
    ),
    fields=(
        ("params", "params"), ("missed", "missed"), ("overlap", "overlap"), ("event date", "event_date"),
        ("from", "starts_at"), ("until", "ends_at"), ("jitter", "jitter_seconds"), ("note", "note"),
        ("last tick", "state.last_due_at"), ("last fired", "state.last_fired_at"), ("fired", "state.fired"),
        ("skipped", "state.skipped"), ("problem", _problem),
    ),
)  # fmt: skip
TRIGGER: Final = DefinitionCommands(
    kind="trigger", path="triggers",
    columns=(
        ("trigger", "id"), ("types", "match.types"), ("sources", "match.sources"), ("starts", _target),
        ("paused", "paused"), *_WHO,
    ),
    fields=(
        ("match", "match"), ("mapping", "mapping"), ("debounce", "debounce_seconds"), ("batch", "batch"),
        ("starts per minute", "starts_per_minute"),
        ("missed", "missed"), ("overlap", "overlap"),
        ("note", "note"), ("matched", "state.matched"), ("not matched", "state.not_matched"),
        ("last match", "state.last_matched_at"),
    ),
)  # fmt: skip
CHANNEL: Final = DefinitionCommands(
    kind="channel", path="channels",
    columns=(
        ("channel", "id"), ("kind", "destination.kind"), ("enabled", "enabled"), ("fallback", "fallback"), *_WHO,
    ),
    fields=(("destination", "destination"), ("messages per minute", "messages_per_minute")),
)  # fmt: skip
SUBSCRIPTION: Final = DefinitionCommands(
    kind="subscription", path="subscriptions",
    columns=(
        ("subscription", "id"), ("channel", "channel"), ("events", "events"), ("at least", "at_least"),
        ("enabled", "enabled"), *_WHO,
    ),
    fields=(
        ("match labels", "match_labels"), ("plans", "plans"), ("targets", "targets"), ("digest", "digest_seconds"),
        ("deadline", "deadline"),
    ),
)  # fmt: skip
FREEZE: Final = DefinitionCommands(
    kind="freeze", path="freezes", refers_to_engines=True,
    columns=(
        ("freeze", "id"), ("phase", "state.phase"), ("engines", "engines"), ("projects", "projects"),
        ("mode", "mode"), ("from", "starts_at"), ("until", "ends_at"), ("by", "author"), ("reason", "reason"),
    ),
    fields=(("calendar", "calendar"), ("running", "state.running"), ("waiting", "state.waiting")),
)  # fmt: skip
MOVE: Final = DefinitionCommands(
    kind="move", path="moves", refers_to_engines=True,
    columns=(
        ("move", "id"), ("coordinator", "coordinator"), ("on", "engine"), ("moved at", "moved_at"), ("dag", "dag_id"),
        ("airflow", "airflow_engine"), *_WHO,
    ),
    fields=(("logical date", "logical_date"), ("conf", "conf"), ("nominal time in", "nominal_time_key")),
)  # fmt: skip


def _slots(found: Any) -> str:
    state: dict[str, Any] = found.get("state") or {}
    return f"{state.get('slots_used', 0)}/{found['limits']['concurrency']}"


def _last_answer(found: Any) -> str:
    state: dict[str, Any] = found.get("state") or {}
    return ago(state.get("last_answer_at"))


ENGINE: Final = DefinitionCommands(
    kind="engine", path="engines",
    columns=(
        ("engine", "id"), ("kind", "connection.kind"), ("intake", "intake"), ("breaker", "state.breaker"),
        ("slots", _slots), ("queued", "state.queued"), ("unknown", "state.unknown"), ("name", "name"),
    ),
    fields=(("connection", "connection"), ("last answer", _last_answer), ("last error", "state.last_error")),
)  # fmt: skip
KINDS_ABOUT: Final[tuple[tuple[DefinitionCommands, str], ...]] = (
    (ENGINE, "What work runs on."),
    (JOB, "Saved, versioned work on one engine."),
    (PIPELINE, "Saved, versioned graphs of steps."),
    (SCHEDULE, "Cron rules that start jobs and pipelines."),
    (TRIGGER, "Rules that start work for matching events."),
    (CHANNEL, "Places to notify."),
    (SUBSCRIPTION, "Which events go to which channel."),
    (FREEZE, "Stops of new work."),
    (MOVE, "Oozie coordinators that moved to Airflow DAGs."),
)


def _groups() -> Iterator[tuple[str, typer.Typer]]:
    for kind, about in KINDS_ABOUT:
        app = group(about)
        add_definition_commands(app, kind, create=kind is not JOB, update=kind is not ENGINE)
        yield kind.kind, app


GROUPS: Final[dict[str, typer.Typer]] = dict(_groups())
"""The commands of every kind. A kind's own verbs are added by the module of its name."""
