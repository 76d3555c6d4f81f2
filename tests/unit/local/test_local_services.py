"""Services of the stack: configured the same they run on, otherwise they restart; what reaches them of the caller."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from signalbox_local import services, supervisor
from signalbox_local.process import OWNED
from signalbox_local.progress import Reporter
from signalbox_local.services import SupervisedService
from signalbox_local.settings import Settings, load
from signalbox_local.signalbox import OURS, Signalbox
from signalbox_local.stack import Stack
from support.deadlines import block_until

ANSWERS = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def service(tmp_path: Path) -> Generator[SupervisedService]:
    service = SupervisedService(tmp_path / "thing", "thing", life=OWNED)
    service.settle()
    yield service
    service.process.kill()


def run(service: SupervisedService, **more: str) -> None:
    command = [sys.executable, "-c", ANSWERS]
    service.configure(command, {"PORT": str(service.book["http"]), **more})
    service.launch()
    service.wait_ready(20)


def test_a_service_configured_the_same_runs_on_and_otherwise_restarts(service: SupervisedService) -> None:
    run(service, SIGNALBOX_LOG_LEVEL="INFO")
    first = service.child
    run(service, SIGNALBOX_LOG_LEVEL="INFO")
    assert service.child == first
    assert service.changed == []
    run(service, SIGNALBOX_LOG_LEVEL="DEBUG")
    assert service.child not in (first, None)
    assert service.changed == ["thing is restarted: its settings changed"]


def test_another_terminal_is_no_reason_to_restart(service: SupervisedService, monkeypatch: pytest.MonkeyPatch) -> None:
    run(service)
    first = service.child
    monkeypatch.setenv("LANG", "tlh_QO")
    run(service)
    assert service.child == first


def test_variables_for_one_start_reach_the_next_one_only(service: SupervisedService) -> None:
    run(service)
    service.restart_with({"SIGNALBOX_CRASH_AT": "nowhere"})
    block_until(lambda: service.starts == 2, seconds=10)
    assert supervisor.child_of(service.folder)["once"] == ["SIGNALBOX_CRASH_AT"]
    assert not (service.folder / supervisor.ONCE_FILE).exists()


def test_services_get_the_callers_settings_but_none_of_the_stacks_own() -> None:
    caller = {
        "SIGNALBOX_TRACE_RATIO": "0.5",
        "AWS_REGION": "x",
        "AIRFLOW_URL": "http://airflow",
        "AIRFLOW_HOME": "/x",
        "SIGNALBOX_DATABASE_URL": "postgresql://admin:secret@h/d",
        "SIGNALBOX_LOCAL_STACK": "/x",
        "SIGNALBOX_TOKEN": "sbt_a_b",
        "HISTFILE": "/x",
    }
    assert services.pass_on(caller, OURS) == {
        "SIGNALBOX_TRACE_RATIO": "0.5",
        "AWS_REGION": "x",
        "AIRFLOW_URL": "http://airflow",
    }


def test_the_api_listens_on_the_port_named_or_on_one_that_stays(tmp_path: Path) -> None:
    fixed = Signalbox(load({"SIGNALBOX_LOCAL": str(tmp_path), "SIGNALBOX_PORT": "18099"}), Reporter(), OWNED)
    fixed.api.settle()
    assert fixed.api_url == "http://127.0.0.1:18099"
    free = Signalbox(Settings(tmp_path, tmp_path / "other", tmp_path), Reporter(), OWNED)
    free.api.settle()
    again = Signalbox(Settings(tmp_path, tmp_path / "other", tmp_path), Reporter(), OWNED)
    again.api.settle()
    assert again.api_url == free.api_url


def test_services_are_stopped_before_the_servers_they_talk_to(tmp_path: Path) -> None:
    for name in ("kafka/node1", "postgres", "planner", "api-gateway"):
        folder = tmp_path / "stack" / name
        folder.mkdir(parents=True)
        (folder / "server.pid").write_text("{}")
    for name in ("planner", "api-gateway"):
        (tmp_path / "stack" / name / supervisor.SPEC_FILE).write_text("{}")
    stack = Stack(Settings(tmp_path, tmp_path / "stack", tmp_path))
    first, second = stack._pid_files()  # pyright: ignore[reportPrivateUsage]
    assert {file.parent.name for file in first} == {"planner", "api-gateway"}
    assert {file.parent.name for file in second} == {"node1", "postgres"}


def test_the_key_of_the_vault_is_made_once_and_is_private(tmp_path: Path) -> None:
    stack = Signalbox(Settings(tmp_path, tmp_path, tmp_path), Reporter(), OWNED)
    key = stack._secret_key()  # pyright: ignore[reportPrivateUsage]
    assert stack._secret_key() == key  # pyright: ignore[reportPrivateUsage]
    assert (tmp_path / "secret-key").stat().st_mode & 0o077 == 0
