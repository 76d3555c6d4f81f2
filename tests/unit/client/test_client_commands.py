"""The command line without a server: what it covers, prints and refuses."""

import io
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from signalbox_client import (
    command,
    contexts,
    documents,
    inputs,
    live,
    output,
    reference,
    watch,
    waterfall,
    yaml_files,
)
from signalbox_client.api import Api, Refused, Unreachable
from signalbox_client.app import ALONE, OURS, app
from signalbox_client.commands import dead_letters, definitions, oozie_jobs, plans, secrets, status, tasks
from signalbox_client.commands.live import watch as watch_events
from signalbox_client.contexts import BadContext, Context, Contexts, NotLoggedIn
from signalbox_client.exit_codes import EndedBadly
from signalbox_contracts.definitions import KINDS
from signalbox_contracts.states import PlanState, TaskState

OPENAPI = Path(__file__).parents[3] / "services" / "api-gateway" / "openapi.json"
COMMAND = Path(sys.executable).with_name("signalbox")


def test_every_operation_of_the_api_has_a_command_and_no_command_is_of_nothing() -> None:
    document = json.loads(OPENAPI.read_text())
    operations = {one["operationId"] for methods in document["paths"].values() for one in methods.values()}
    commands = {name for name, _ in reference.commands()}
    expected = {
        ALONE.get(one, one.rpartition("_")[0].replace("_", "-") + " " + one.rpartition("_")[2]) for one in operations
    }
    assert commands - OURS == expected


def test_every_state_of_the_contracts_has_an_icon() -> None:
    words = {state.value for state in (*PlanState, *TaskState)} - {"OTHER"}
    assert words == set(output.STATES), "output.STATES"


def test_columns_name_fields_that_the_api_answers() -> None:
    """A column that misses its field prints nothing, for ever."""
    schemas = json.loads(OPENAPI.read_text())["components"]["schemas"]
    columns = {
        "Plan": (*command.PLAN, *plans.COLUMNS), "PlanEvent": plans.EVENTS, "Item": plans.ITEMS,
        "Task": plans.TASKS, "TaskShown": tasks.FIELDS, "Attempt": tasks.ATTEMPTS, "TaskEvent": tasks.EVENTS,
        "Secret": secrets.COLUMNS, "DeadLetter": dead_letters.FIELDS, "Me": status.ME, "ConsumerGroup": status.GROUPS,
        "UnreadableDefinition": status.UNREADABLE,
        **{KINDS[kind.kind].__name__: kind.lines for kind, _ in definitions.KINDS_ABOUT},
    }  # fmt: skip
    for name, shown in columns.items():
        known = set(schemas[name]["properties"])
        for title, get in shown:
            assert callable(get) or get.partition(".")[0] in known, f"{name}: {title} shows {get}"


def test_the_page_of_the_commands_is_fresh() -> None:
    assert reference.FILE.read_text() == reference.text()


def test_control_sequences_of_others_never_reach_a_terminal() -> None:
    nasty = "a\x1b[2Jb\x1b]0;title\x07c\x07\u202ed\r\n\te"
    assert output.plain(nasty) == "abcd\n\te"


def test_a_table_is_aligned_whatever_the_colours(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["a", "b"], [["\x1b[31mred\x1b[0m", "1"], ["x", "22"]])
    lines = capsys.readouterr().out.splitlines()
    assert [output.plain(line) for line in lines] == ["a    b", "red  1", "x    22"]


def test_a_long_error_is_one_short_line_in_a_list() -> None:
    shown = command.error_in_short({"error": "failed:\n" + "a trace " * 100})
    assert shown.startswith("failed: a trace")
    assert len(shown) == command.WIDEST_ERROR
    assert command.error_in_short({"error": None}) == ""


@pytest.mark.parametrize("form", ["json", "jsonl", "yaml", "name"])
def test_data_is_printed_in_the_form_that_was_asked_for(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.rows([{"id": "p1", "n": 1}], form, (("id", "id"),))
    printed = capsys.readouterr().out
    expected = {"json": '[\n  {\n    "id": "p1",\n    "n": 1\n  }\n]\n', "jsonl": '{"id": "p1", "n": 1}\n',
                "yaml": "- id: p1\n  n: 1\n", "name": "p1\n"}  # fmt: skip
    assert printed == expected[form]


def test_a_trace_is_drawn_below_its_parents() -> None:
    def span(id: str, parent: str | None, service: str, name: str, start: int, end: int, status: str = "ok") -> Any:
        times = {"start_ns": str(start), "end_ns": str(end)}
        return {"span_id": id, "parent_id": parent, "service": service, "name": name, "status": status, **times}

    spans = [
        span("a", None, "gateway", "POST", 0, 4_000_000),
        span("b", "a", "planner", "process", 2_000_000, 4_000_000),
        span("c", "gone", "x", "alone", 1, 2, "error"),
    ]
    lines = waterfall.drawn(spans)
    assert [line.rpartition("ms")[2].strip() for line in lines] == ["gateway: POST", "planner: process", "✗ x: alone"]
    assert lines[0].startswith("█" * 40)
    assert lines[1].startswith(" " * 20 + "█" * 20)


def test_a_trace_whose_parents_form_a_loop_is_drawn_with_each_span_once() -> None:
    """A faulty or forged span made its whole trace vanish, and one without an id was drawn for ever."""

    def span(id: str | None, parent: str | None, start: int | None) -> Any:
        times = {"start_ns": start, "end_ns": None if start is None else start + 1}
        return {"span_id": id, "parent_id": parent, "service": "s", "name": id, "status": "ok", **times}

    spans = [
        span("child", "b", 1), span("a", "b", 2), span("b", "a", 3), span("self", "self", 4), span("root", None, 5),
        span(None, None, None),
    ]  # fmt: skip
    drawn = [line.rpartition("ms")[2][3:] for line in waterfall.drawn(spans)]
    loop = " (its parents form a loop)"
    assert drawn == ["s: None", "s: root", f"s: b{loop}", "  s: child", "  s: a", f"s: self{loop}"]


def test_contexts_are_kept_where_only_their_owner_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (contexts.URL, contexts.TOKEN, contexts.CONTEXT):
        monkeypatch.delenv(name, raising=False)
    contexts.save(Contexts("b", {"a": Context("http://a", "ta"), "b": Context("http://b", "tb")}))
    assert stat.S_IMODE(contexts.file().stat().st_mode) == 0o600
    assert contexts.api() == Api("http://b", "tb")
    assert contexts.api("a") == Api("http://a", "ta")
    with pytest.raises(BadContext, match="no context c: a, b"):
        contexts.api("c")
    monkeypatch.setenv(contexts.URL, "http://a/")
    assert contexts.api() == Api("http://a", "ta"), "a token is only sent to where it was kept for"
    monkeypatch.setenv(contexts.URL, "http://elsewhere")
    with pytest.raises(NotLoggedIn, match="elsewhere"):
        contexts.api()
    monkeypatch.setenv(contexts.TOKEN, "t")
    assert contexts.api() == Api("http://elsewhere", "t")


class Server(BaseHTTPRequestHandler):
    """Answers from a list; what it was asked is kept."""

    answers: ClassVar[list[tuple[int, Any]]] = []
    requests: ClassVar[list[tuple[str, str, str | None, str | None]]] = []
    bodies: ClassVar[list[bytes]] = []

    def _answer(self) -> None:
        type(self).bodies.append(self.rfile.read(int(self.headers.get("content-length") or 0)))
        key, authorization = self.headers.get("idempotency-key"), self.headers.get("authorization")
        type(self).requests.append((self.command, self.path, key, authorization))
        status, body = type(self).answers.pop(0)
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.answers, Server.requests, Server.bodies = [], [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_post_whose_answer_is_lost_is_repeated_under_the_same_key(server: str) -> None:
    Server.answers[:] = [(0, None), (200, {"id": "p1"})]
    assert Api(server, "t").post("/plans", {}) == {"id": "p1"}
    (first, second) = Server.requests
    assert first[2] is not None
    assert first == second


def test_a_delete_whose_answer_is_lost_is_not_repeated(server: str) -> None:
    Server.answers[:] = [(0, None), (204, None)]
    with pytest.raises(Unreachable):
        Api(server, "t").delete("/jobs/a")
    assert len(Server.requests) == 1


def test_a_token_does_not_follow_a_redirect(server: str) -> None:
    Server.answers[:] = [(302, {})]
    with pytest.raises(Refused, match="HTTP 302"):
        Api(server, "t").get("/me")


def test_a_list_is_read_over_as_many_pages_as_it_takes(server: str) -> None:
    Server.answers[:] = [(200, {"items": [1, 2], "next_cursor": "c"}), (200, {"items": [3], "next_cursor": None})]
    assert list(Api(server, "t").pages("/plans", {"state": ["A", "B"]})) == [1, 2, 3]
    assert [path for _, path, _, _ in Server.requests] == [
        "/api/v1/plans?state=A&state=B&limit=200", "/api/v1/plans?state=A&state=B&limit=200&cursor=c",
    ]  # fmt: skip


@pytest.mark.parametrize("cursors", [("c", "c"), ("a", "b", "a")])
def test_a_list_that_leads_back_to_an_earlier_page_ends_with_an_error(server: str, cursors: tuple[str, ...]) -> None:
    """The command would read the same pages for ever."""
    Server.answers[:] = [(200, {"items": [1], "next_cursor": cursor}) for cursor in cursors]
    done = run(server, "plan", "list", "--all", "-o", "jsonl")
    assert (done.exit_code, done.stdout) == (5, "1\n" * len(cursors))
    assert "a cursor of an earlier page" in done.stderr


def run(server: str, *words: str, token: str = "sbt_x") -> Result:
    """The command line in this process: starting an interpreter for each would take most of the time."""
    environment = {"HOME": "/nowhere", "SIGNALBOX_API_URL": server, "SIGNALBOX_TOKEN": token}
    return CliRunner().invoke(app, list(words), env=environment, catch_exceptions=False)


def test_a_definition_that_cannot_be_read_is_named_with_what_helps(server: str) -> None:
    detail = "job nightly, revision 42, cannot be read: work.kind: is unknown"
    problem = {
        "type": "/problems/unreadable", "title": "t", "status": 409, "detail": detail, "trace_id": "abc",
        "kind": "job", "id": "nightly", "revision": 42,
        "errors": [{"field": "work.kind", "value": None, "allowed": "is unknown"}],
    }  # fmt: skip
    Server.answers[:] = [(409, problem)]
    result = run(server, "job", "show", "nightly")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[:3] == [
        f"error: {detail}",
        "  `signalbox job versions nightly` lists the versions that can be read",
        "  `signalbox job update nightly -f FILE` replaces it, `signalbox job delete nightly` removes it",
    ]


def test_an_older_version_that_cannot_be_read_is_no_reason_to_replace_the_present_one(server: str) -> None:
    detail = "job nightly, version 3, cannot be read: work.kind: is unknown"
    problem = {
        "type": "/problems/unreadable", "title": "t", "status": 409, "detail": detail, "trace_id": "abc",
        "kind": "job", "id": "nightly", "version": 3,
        "errors": [{"field": "work.kind", "value": None, "allowed": "is unknown"}],
    }  # fmt: skip
    Server.answers[:] = [(409, problem)]
    result = run(server, "job", "diff", "nightly", "--from", "3", "--to", "5")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [f"error: {detail}", "  problem unreadable, trace abc"]


def test_a_run_of_a_schedule_has_the_types_of_its_targets_parameters(server: str) -> None:
    """A number was always sent as a text, and refused."""
    target = {"kind": "job", "id": "load", "version": 4}
    declared = {"n": {"type": "integer"}, "word": {"type": "string"}}
    Server.answers[:] = [(200, {"target": target}), (200, {"params": declared}), (202, {"id": "p", "state": "PENDING"})]
    Server.requests.clear()
    Server.bodies.clear()
    assert run(server, "schedule", "run", "nightly", "-p", "n=7", "-p", "word=7", "-o", "name").exit_code == 0
    assert [path for _, path, *_ in Server.requests][:2] == ["/api/v1/schedules/nightly", "/api/v1/jobs/load?version=4"]
    assert json.loads(Server.bodies[2])["params"] == {"n": 7, "word": "7"}


STEP: dict[str, Any] = {"id": "load", "state": "RUNNING", "depends_on": [], "counts": {"total": 1}}


def test_the_graph_of_a_plan_is_that_of_its_pipeline(server: str) -> None:
    """The plan of another pipeline was drawn, and no edges where the plan has more than 100 steps."""
    Server.answers[:] = [(200, {"target": "pipeline:weekly", "target_version": 3, "steps": [STEP]})]
    refused = run(server, "pipeline", "graph", "daily", "--plan", "p")
    assert refused.exit_code == 2
    assert "p ran pipeline:weekly, not pipeline:daily" in plain(refused.stderr)

    ids = [f"s{number}" for number in range(101)]
    ran = [{**STEP, "id": id} for id in ids]
    defined = [
        {"id": id, "depends_on": [{"step": before, "when": "always"}] if before else []}
        for before, id in zip([None, *ids], ids, strict=False)
    ]
    Server.answers[:] = [
        (200, {"target": "pipeline:daily", "target_version": 3, "steps": ran}), (200, {"steps": defined}),
    ]  # fmt: skip
    Server.requests.clear()
    lines = run(server, "pipeline", "graph", "daily", "--plan", "p").stdout.splitlines()
    assert Server.requests[1][1] == "/api/v1/pipelines/daily?version=3"
    assert lines[1].strip() == "▶ s1  ← s0:always  RUNNING"


def test_a_file_is_compared_as_it_would_be_saved(server: str, tmp_path: Path) -> None:
    """A word that is misspelt was left out, so that nothing differed; a file of another id was compared."""
    step = {"id": "load", "work": {"kind": "process", "argv": ["true"]}}
    saved = {"kind": "pipeline", "id": "daily", "name": "daily", "steps": [step]}
    file = tmp_path / "daily.yaml"
    file.write_text("id: daily\nsteps:\n  - id: load\n    depnds_on: [a]\n    work: {kind: process, argv: ['true']}\n")
    Server.answers[:] = [(200, saved)]
    result = run(server, "pipeline", "diff", "daily", "--file", str(file))
    assert result.exit_code == 2
    assert "daily.yaml:4:16" in result.stdout
    file.write_text(json.dumps({**saved, "id": "weekly"}))
    result = run(server, "pipeline", "diff", "daily", "--file", str(file))
    assert result.exit_code == 2
    assert "is pipeline weekly, not daily" in plain(result.stderr)
    file.write_text(json.dumps({"id": "load", "nam": "x", "work": step["work"]}))
    Server.answers[:] = [(200, {"kind": "job", "id": "load", "name": "load", "work": step["work"]})]
    result = run(server, "job", "diff", "load", "--file", str(file))
    assert result.exit_code == 2
    assert "nam" in result.stderr


def plain(text: str) -> str:
    """A message of the usage box as one line."""
    return " ".join(text.replace("│", " ").split())


def test_the_status_lists_definitions_that_cannot_be_read(server: str) -> None:
    shown = {"kind": "job", "id": "nightly", "revision": 42, "reason": "work.kind: is unknown"}
    Server.answers[:] = [(200, {"unreadable": [shown]}), (200, {"unreadable": {"ok": False, "problem": "no answer"}})]
    lines = run(server, "status").stdout.splitlines()
    assert any(line.split() == ["job", "nightly", "42", "work.kind:", "is", "unknown"] for line in lines)
    assert "definitions  ✗ no answer" in run(server, "status").stdout


@pytest.mark.parametrize(
    ("status", "code"), [(401, 4), (403, 4), (404, 3), (409, 2), (412, 2), (422, 2), (500, 5), (501, 2)]
)
def test_a_problem_is_reported_with_its_fields_and_has_its_exit_code(server: str, status: int, code: int) -> None:
    problem = {
        "type": "/problems/some", "title": "t", "status": status, "detail": "no such \x1b[2Jthing", "trace_id": "abc",
        "errors": [{"field": "rules.limit", "value": "-1", "allowed": "at least 0"}],
    }  # fmt: skip
    Server.answers[:] = [(status, problem)]
    done = run(server, "plan", "pause", "p1")
    assert (done.exit_code, done.stdout) == (code, "")
    assert "no such thing" in done.stderr
    assert "rules.limit -1: at least 0" in done.stderr
    assert "trace abc" in done.stderr


def test_a_problem_that_only_repeats_its_field_is_one_line_with_the_value(server: str) -> None:
    wrong = {"field": "event_date", "value": "2026-02-30", "allowed": "is no day"}
    Server.answers[:] = [(422, {"type": "/problems/invalid", "detail": "event_date: is no day", "errors": [wrong]})]
    printed = run(server, "plan", "pause", "p1").stderr
    assert printed.startswith("error: event_date 2026-02-30: is no day\n")
    assert printed.count("is no day") == 1


def test_what_destroys_asks_and_without_a_terminal_needs_yes(server: str) -> None:
    done = run(server, "job", "delete", "nightly")
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert Server.requests == []


CONFIRMED = [
    (name, one) for name, one in reference.commands() if any(option.name == "yes" for option in one.params)
]  # fmt: skip


@pytest.mark.parametrize(("name", "one"), CONFIRMED, ids=[name for name, _ in CONFIRMED])
def test_every_command_that_asks_refuses_without_a_terminal_and_without_yes(server: str, name: str, one: Any) -> None:
    """A script takes exit code 0 for done."""
    needed = [option for option in one.params if option.required]
    words = ["x1" for option in needed if option.param_type_name == "argument"]
    words += [word for option in needed if option.param_type_name == "option" for word in (option.opts[0], "x1")]
    words += ["--fail"] if name == "task resolve" else []
    Server.answers[:] = [(200, TASK)]  # what is read to ask
    done = run(server, *name.split(), *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert [method for method, *_ in Server.requests if method != "GET"] == []


def test_a_rerun_on_oozie_with_yes_starts_exactly_what_was_previewed(server: str) -> None:
    previewed = {"id": "p1", "state": "PREVIEWED", "version": 2, "preview_hash": "h", "preview_expires_at": "soon",
                 "counts": {"waiting": 1, "total": 1}}  # fmt: skip
    Server.answers[:] = [
        (202, {"id": "p1"}), (200, previewed), (200, {"items": [], "next_cursor": None}),
        (202, {"operation_id": "o1"}), (200, {"id": "o1", "operation": "plan.apply", "state": "done"}),
        (200, {**previewed, "state": "RUNNING"}),
    ]  # fmt: skip
    done = run(server, "oozie", "rerun", "--engine", "ooz", "--workflow", "1-W", "--yes", "-o", "name")
    assert done.exit_code == 0, done.stderr
    applied = next(body for body in Server.bodies if b"preview_hash" in body)
    assert json.loads(applied) == {"preview_hash": "h", "confirm_deletions": False, "reason": ""}


TASK = {"id": "t1", "state": "UNKNOWN", "attempt": 2, "engine": "local", "run_key": "sb-t1-2"}


@pytest.mark.parametrize(
    "words", [(), ("--adopt", "--fail"), ("--retry", "--handle", "run-1"), ("--fail", "--attempt", "0")]
)
def test_a_word_on_an_unknown_task_is_one_word(server: str, words: tuple[str, ...]) -> None:
    done = run(server, "task", "resolve", "t1", "--reason", "looked", "--yes", *words)
    assert done.exit_code == 2
    assert Server.requests == []


def test_a_word_on_an_unknown_task_needs_a_reason(server: str) -> None:
    done = run(server, "task", "resolve", "t1", "--fail", "--yes")
    assert (done.exit_code, Server.requests) == (2, [])
    assert "--reason" in done.stderr


def test_a_word_on_an_unknown_task_is_about_the_attempt_that_was_shown(server: str) -> None:
    Server.answers[:] = [(200, TASK)]
    done = run(server, "task", "resolve", "t1", "--retry", "--reason", "looked")
    assert done.exit_code == 2
    assert "Task t1 on local is UNKNOWN in attempt 2" in " ".join(done.stderr.replace("│", " ").split())
    assert len(Server.requests) == 1, "asked for, and nothing sent without --yes"
    for words, attempt in ((("--adopt", "--handle", "run-1"), 2), (("--fail", "--attempt", "1"), 1)):
        Server.requests.clear()
        Server.answers[:] = [(200, TASK), (202, {"operation_id": "o1", "task": TASK})]
        done = run(server, "task", "resolve", "t1", "--reason", "looked", "--yes", *words, "-o", "name")
        assert (done.exit_code, done.stdout) == (0, "o1\n"), done.stderr
        assert [(method, path) for method, path, _, _ in Server.requests][-1] == ("POST", "/api/v1/tasks/t1/resolve")
        assert json.loads(Server.bodies[-1]) == {
            "action": words[0].removeprefix("--"), "attempt": attempt, "reason": "looked",
            "handle": "run-1" if "--handle" in words else None,
        }  # fmt: skip


def test_a_plan_that_failed_ends_with_the_errors_of_its_first_tasks(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [{"item_key": f"i{number}", "error": "failed: no such file"} for number in range(3)]
    Server.answers = [(200, {"items": failed, "next_cursor": None})]
    with pytest.raises(EndedBadly, match="plan p ended: FAILED"):
        watch.plan_ended_well(Api(server, "t"), {"id": "p", "state": "FAILED", "counts": {"failed": 5}})
    shown = capsys.readouterr().err.splitlines()
    assert shown == [*(f"i{number}: failed: no such file" for number in range(3)),
        "2 more: signalbox task list --plan p --state FAILED",
    ]  # fmt: skip
    assert Server.requests[0][1].startswith("/api/v1/plans/p/tasks?state=FAILED")


def test_a_server_that_is_not_there_has_its_exit_code() -> None:
    done = run("http://127.0.0.1:1", "plan", "cancel", "p1", "--yes")
    assert done.exit_code == 5
    assert "does not answer" in done.stderr


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [(200, b"<html>", 5), (200, b"[]", 5), (200, b"", 5), (404, b"<html>", 3), (502, b"", 5)],
)
def test_a_server_that_is_not_signalbox_is_one_line_with_its_address(
    server: str, status: int, answer: bytes, code: int
) -> None:
    """A proxy, a captive portal, or the console's address without its API."""
    Server.answers[:] = [(status, answer)]
    done = run(server, "plan", "list", "-o", "json")
    assert (done.exit_code, done.stdout) == (code, "")
    assert f"{server} does not answer as the API of Signalbox" in done.stderr


@pytest.mark.parametrize("url", ["http://[::1", "http://host:99999", "http://host:x", "http://host:0", "http://"])
def test_an_address_that_is_none_is_one_line_and_exit_code_2(url: str) -> None:
    done = run(url, "plan", "list")
    assert done.exit_code == 2
    assert "is not a URL" in done.stderr


def test_a_host_that_no_name_can_have_is_not_reached() -> None:
    done = run("http://a..b", "plan", "cancel", "p1", "--yes")
    assert done.exit_code == 5
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("wait", [False, True])
def test_what_begins_several_operations_prints_one_json_list(server: str, count: int, wait: bool) -> None:
    begun = [{"operation_id": f"o{number}", "plan_id": f"p{number}"} for number in range(count)]
    ended = [{"id": f"o{number}", "operation": "plan.cancel", "state": "done"} for number in range(count)]
    Server.answers[:] = [(202, {"operations": begun}), *((200, one) for one in ended)]
    done = run(server, "job", "stop", "nightly", "--yes", "-o", "json", *(["--wait"] if wait else []))
    assert done.exit_code == 0
    assert json.loads(done.stdout) == (ended if wait else begun)


def test_good_files_are_an_empty_json_list(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("id: p\nsteps: [{id: a, engine: e, work: {kind: scripted, script: {}}}]\n")
    done = run("http://127.0.0.1:1", "pipeline", "validate", str(file), "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, []), done.stderr


def test_the_log_of_another_system_does_not_steer_a_terminal(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv(contexts.URL, server)
    monkeypatch.setenv(contexts.TOKEN, "sbt_x")
    details = {"job": "1-W", "cut": False, "command": "oozie \x1b[2Jjob", "text": "a\x1b]0;title\x07b\n"}
    Server.answers[:] = [(202, {"id": "o"}), (200, {"id": "o", "operation": "o", "state": "done", "details": details})]
    oozie_jobs.oozie_show("1-W", "oozie")
    Server.answers[:] = [(200, b"key\r\n\x1b[2J=1\n")]
    plans.plan_export("p", "csv")
    assert terminal.getvalue() == "ab\nkey\n=1\n"


def test_a_terminal_without_the_letters_of_a_table_shows_others(server: str) -> None:
    plan: dict[str, Any] = {
        "id": "p1", "state": "SUCCEEDED", "name": "näme", "actor": "user:ann", "created_at": "2026-01-01T00:00:00Z",
        "started_at": None, "ended_at": None, "waiting": [],
        "counts": dict.fromkeys(("total", "succeeded", "failed", "skipped", "cancelled"), 0),
    }  # fmt: skip
    Server.answers[:] = [(200, {"items": [plan], "next_cursor": None})] * 2
    environment = {**os.environ, "SIGNALBOX_API_URL": server, "SIGNALBOX_TOKEN": "x", "PYTHONIOENCODING": "ascii"}
    for form, shown in (("table", "? SUCCEEDED"), ("yaml", '"n\\xE4me"')):
        command = [str(COMMAND), "plan", "list", "-o", form]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, shown in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_named_context_is_forgotten_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    contexts.save(Contexts("a", {"a": Context("http://a", "ta"), "b": Context("http://b", "tb")}))
    assert CliRunner().invoke(app, ["--context", "b", "logout"]).exit_code == 0
    assert contexts.load() == Contexts("a", {"a": Context("http://a", "ta")})
    assert CliRunner().invoke(app, ["--context", "b", "logout"]).exit_code == 4


def test_a_word_that_json_does_not_have_is_a_text() -> None:
    assert inputs.values(["a=NaN", "b=-Infinity", "c=1"], "-d") == {"a": "NaN", "b": "-Infinity", "c": 1}


def test_a_key_of_two_lines_is_refused_before_it_is_sent(server: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sbt_a\nsbt_b\n")
    done = run(server, "login", "--url", server, "--token-file", str(file))
    assert (done.exit_code, "sbt_" in done.stderr, Server.requests) == (2, False, [])


def test_the_live_feed_goes_on_with_a_fresh_token_when_the_one_in_use_has_ended() -> None:
    tokens: list[str] = []

    def serve(connection: ServerConnection) -> None:
        assert connection.request is not None
        tokens.append(connection.request.headers["Authorization"])
        connection.recv()
        if tokens[-1] == "Bearer old":
            connection.close(live.UNAUTHENTICATED)
            return
        connection.send(json.dumps({"subscribed": {"id": "watch", "sequence": 0}}))
        connection.send(json.dumps({"events": [{"sequence": 1}]}))
        connection.recv()

    with serve_websockets(serve, "127.0.0.1", 0, subprotocols=[live.PROTOCOL]) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listening.socket.getsockname()[1]}"
        feed = live.Feed(Api(url, "old", renew=lambda: "fresh"))
        assert next(feed.events()) == {"sequence": 1}
        assert tokens == ["Bearer old", "Bearer fresh"]
        with pytest.raises(Refused, match="valid token"):
            next(live.Feed(Api(url, "old")).events())
        listening.shutdown()


def test_a_plan_that_has_ended_is_not_watched_for_ever(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The feed replays nothing unless positions to, and nothing more comes."""
    positions: list[Any] = []

    def connection(feed: live.Feed, _: Any) -> Iterator[dict[str, Any]]:
        positions.append(feed.after)
        yield from feed._read({"subscribed": {"id": "watch", "sequence": 7, "newest": 7}})  # pyright: ignore[reportPrivateUsage]
        pytest.fail("it goes on")

    monkeypatch.setattr(live.Feed, "_connection", connection)
    monkeypatch.setenv(contexts.URL, server)
    monkeypatch.setenv(contexts.TOKEN, "sbt_x")
    Server.answers[:] = [(200, {"id": "p1", "state": "FAILED"})]
    watch_events(plan="p1")
    assert (positions, capsys.readouterr().err) == ([None], "plan p1 has ended: FAILED\n")


def test_empty_lists_say_what_to_do(server: str) -> None:
    Server.answers[:] = [(200, {"items": [], "next_cursor": None})]
    done = run(server, "job", "list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "signalbox job create" in done.stderr


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("event_date: 2026-01-31\n", {"event_date": "2026-01-31"}),
        ("labels: {on: x, 1: y}\nno: yes\n", {"labels": {"on": "x", "1": "y"}, "no": "yes"}),
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ("a: 0o17\nb: 017\n", {"a": 15, "b": 17}),
        ("{a: 2026-01-31, b: [x]}\n", {"a": "2026-01-31", "b": ["x"]}),
    ],
)
def test_a_file_is_yaml_1_2_with_the_types_of_json(text: str, found: dict[str, Any]) -> None:
    assert documents.parse(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!binary aGk=\n", "a: bytes is not allowed"),
        ("a: &x [*x]\n", "anchor"),
        ("a: 1\na: 2\n", "line 2"),
        ('{"a": 1, "a": 2}', "a is given more than once"),
        ("a: [1\n", "line"),
        ('{"a": 1\n"b": 2}', "line 2"),
        ("- 1\n", "must hold one object"),
        ("a: .inf\n", "a: float is not allowed"),
        ("a: !!python/object:os.system x\n", "line 1"),
        ("a: !!bool maybe\n", "not what its tag says"),
        ("a: !!int\n", "not what its tag says"),
    ],
)
def test_a_file_that_is_no_document_says_where_in_one_line(text: str, words: str) -> None:
    with pytest.raises(documents.InvalidDocument, match=words) as caught:
        documents.parse(text)
    assert "\n" not in str(caught.value)


def test_a_value_of_a_text_parameter_stays_the_text_it_is() -> None:
    declared = {"s": {"type": "string"}, "d": {"type": "date"}, "n": {"type": "integer"}, "j": {"type": "json"}}
    given = {"s": "20200219", "d": "2020-02-19", "n": "7", "j": "[1]", "unknown": "1"}
    assert inputs.typed(given, declared) == {
        "s": "20200219", "d": "2020-02-19", "n": 7, "j": [1], "unknown": "1",
    }  # fmt: skip


def test_contexts_that_others_can_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    contexts.save(Contexts("a", {"a": Context("http://a", "ta")}))
    contexts.file().chmod(0o644)
    with pytest.raises(BadContext, match="can be read by others"):
        contexts.load()


def test_a_context_file_that_cannot_be_opened_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    contexts.file().mkdir(parents=True, mode=0o700)  # root reads everything, but no folder
    with pytest.raises(BadContext, match="cannot be read: Is a directory"):
        contexts.load()


def test_a_token_with_a_newline_is_one_line_and_exit_code_2(server: str) -> None:
    done = run(server, "plan", "list", token="sbt_a\nb")
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert "SIGNALBOX_TOKEN is not a token" in done.stderr
    assert "sbt_a" not in done.stderr


def test_a_token_does_not_travel_in_clear_unless_asked_to() -> None:
    assert contexts.is_plain_and_remote("http://signalbox.example")
    assert not contexts.is_plain_and_remote("https://signalbox.example")
    assert not contexts.is_plain_and_remote("http://127.0.0.1:8080")


def test_a_marked_log_is_read_completely_wherever_its_pieces_end_and_goes_on_from_its_last_mark() -> None:
    stream = "é one\n\x007\n\x007\ntwo\n\x0011\n\x00end\n".encode()
    for size in range(1, len(stream) + 1):
        reader = tasks.MarkedLog()
        text = b"".join(
            part for at in range(0, len(stream), size) for part in reader.feed(stream[at : at + size])
        )  # fmt: skip
        assert (text.decode(), reader.offset, reader.ended) == ("é one\ntwo\n", 11, True)
    broken = tasks.MarkedLog()
    assert b"".join(broken.feed(b"one\n\x004\nhalf a li")) == b"one\n"
    broken.broke_off()
    assert b"".join(broken.feed(b"half a line\n\x0016\n")) == b"half a line\n"
    assert (broken.offset, broken.ended) == (16, False)


def test_a_letter_that_comes_in_two_pieces_is_one_letter_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    for at in range(3):
        output.write_through("é\n".encode()[at : at + 1])
    assert terminal.getvalue() == "é\n"


def test_a_followed_log_goes_on_where_it_was_after_a_restart_of_the_api() -> None:
    """The first API breaks off in mid-letter and in mid-text, nobody answers for a while, the next one goes on."""
    requests: list[str] = []

    class _Log(BaseHTTPRequestHandler):
        pieces: ClassVar[list[bytes]] = []

        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            for piece in self.pieces:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None: ...

    def serve(port: int, pieces: list[bytes]) -> ThreadingHTTPServer:
        served = ThreadingHTTPServer(("127.0.0.1", port), type("Log", (_Log,), {"pieces": pieces}))
        threading.Thread(target=served.handle_request, daemon=True).start()
        return served

    first = serve(0, [b"caf\xc3\x004", b"\n", b"lost without a mark"])
    port = first.server_address[1]
    environment = {**os.environ, "SIGNALBOX_API_URL": f"http://127.0.0.1:{port}", "SIGNALBOX_TOKEN": "sbx_a_b"}
    with subprocess.Popen(
        [str(COMMAND), "task", "logs", "0192", "-f"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        assert following.stdout.read(4) == b"caf\xc3"
        first.server_close()
        second = serve(port, [b"\xa9 au lait\n\x0014\n", b"\0end\n"])
        rest, errors = following.communicate(timeout=60)
        second.server_close()
    assert (following.returncode, rest) == (0, b"\xa9 au lait\n"), errors
    assert ["since=4" in path for path in requests] == [False, True]


@pytest.mark.parametrize(
    ("words", "definition"),
    [
        (
            ["--image", "registry.example/load:7", "--env", "DAY=1", "--", "load", "--day", "1"],
            {"id": "load", "name": "load", "work": {"kind": "kubernetes", "image": "registry.example/load:7",
             "command": ["load", "--day", "1"], "environment": {"DAY": "1"}}},
        ),
        (
            ["hello", "--image", "busybox", "--completions", "3", "--limit", "memory=1Gi", "--engine", "k"],
            {"id": "hello", "name": "hello", "engine": "k", "work": {"kind": "kubernetes", "image": "busybox",
             "completions": 3, "limits": {"memory": "1Gi"}}},
        ),
        (
            ["--spark", "/apps/rank.py", "--arg", "x", "--max-attempts", "2"],
            {"id": "rank", "name": "rank", "retries": {"max_attempts": 2},
             "work": {"kind": "spark", "application": "/apps/rank.py", "arguments": ["x"]}},
        ),
    ],
)  # fmt: skip
def test_a_job_is_made_of_an_image_or_an_application(server: str, words: list[str], definition: dict[str, Any]) -> None:
    Server.answers[:] = [(201, {"id": "x", "name": "x", "version": 1, "revision": 1})]
    done = run(server, "job", "create", "-o", "json", *words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(Server.bodies[-1]) == definition


@pytest.mark.parametrize(
    "words",
    [("--image", "a", "--conf", "spark.a=1"), ("--image", "a", "--spark", "b.py"), ("--spark", "b.py", "--", "x")],
)
def test_a_job_of_an_image_takes_no_options_of_spark(server: str, words: tuple[str, ...]) -> None:
    done = run(server, "job", "create", *words)
    assert (done.exit_code, Server.requests) == (2, [])


@pytest.mark.parametrize(
    "word",
    [
        "1_000",
        "1_0.5",
        "0b11",
        "012",
        "+7",
        "0o17",
        "0x1F",
        "1e3",
        ".5",
        "-0",
        "12:30",
        "2026-03-31",
        "yes",
        "1.",
        "1_e3",
    ],
)
def test_both_readers_of_yaml_take_a_word_for_the_same(word: str, tmp_path: Path) -> None:
    """`1_000` was a thousand in a job's file and a text in a pipeline's."""
    file = tmp_path / "one.yaml"
    file.write_text(f"value: {word}\n")
    (document,) = yaml_files.read_documents(str(file))
    assert documents.parse(file.read_text()) == document.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: [1, 2}", "line 1: expected ',' or ']'"),
        ("{\n  name: a: b\n}", "line 2: "),
        ('{"name": [1, 2}', "line 1: Expecting ',' delimiter"),
    ],
)
def test_a_mistake_in_braces_has_the_words_of_the_language_it_begins_in(text: str, words: str) -> None:
    """YAML without quotes was answered `Expecting property name enclosed in double quotes`."""
    with pytest.raises(documents.InvalidDocument) as refused:
        documents.parse(text)
    assert str(refused.value).startswith(words), str(refused.value)
    assert "double quotes" not in str(refused.value)
