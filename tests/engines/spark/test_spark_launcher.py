"""The launcher's JAR: it is what its sources compile to, and does what the launcher of Python applications does."""

import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engines.spark.distribution import compile_jar, spark_home
from engines.spark.launcher import make
from signalbox_chassis.start_fence import JAR, RunEnd
from signalbox_local.programs import Programs

pytestmark = pytest.mark.engine


def test_the_committed_jar_is_made_of_the_sources(tmp_path: Path) -> None:
    """Without it a change of a source would never reach a cluster."""
    make(tmp_path / "made.jar")
    with zipfile.ZipFile(tmp_path / "made.jar") as made, zipfile.ZipFile(JAR) as committed:
        assert made.namelist() == committed.namelist()
        for name in made.namelist():
            assert made.read(name) == committed.read(name), f"{name}: `cd tests; python -m engines.spark.launcher`"


SOURCE = """
package probe;
public final class Mains {
  public static final class Good { public static void main(String[] words) { System.out.println("ran"); } }
  public static final class Odd {
    public static void main(String[] words) { throw new IllegalStateException("a\\0b \\ud83d\\ude00 \\ud83d \\" end"); }
  }
  public static final class Instance { public void main(String[] words) { } }
  public static final class Broken {
    static final int N = Integer.parseInt("none");
    public static void main(String[] words) { }
  }
  public static final class Exits {
    public static void main(String[] words) { System.exit(7); }
  }
  public static final class ExitsLater {
    public static void main(String[] words) {
      Thread main = Thread.currentThread();
      new Thread(() -> {
        while (main.isAlive()) { Thread.yield(); }
        System.exit(3);
      }).start();
    }
  }
  public static final class Waits {
    public static void main(String[] words) throws Exception {
      System.out.println("waits");
      System.out.flush();
      Thread.sleep(60000);
    }
  }
  public static final class Result {
    public static void main(String[] words) throws Exception {
      java.nio.file.Files.write(java.nio.file.Paths.get("signalbox-result.json"), "{}".getBytes());
    }
  }
}
"""


class Api(BaseHTTPRequestHandler):
    """Gives its answers in order, as they are; what was sent is kept."""

    answers: ClassVar[list[bytes]] = []
    requests: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).requests.append((self.path, body))
        self.wfile.write(type(self).answers.pop(0))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None: ...


def answered(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


GOOD = answered("200 OK", b"{}")
LAUNCHER = ("signalbox.Launcher",)


@pytest.fixture(scope="module")
def mains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("mains") / "Mains.java"
    source.write_text(SOURCE)
    compile_jar([source], source.with_suffix(".jar"))
    return source.with_suffix(".jar")


@pytest.fixture
def api() -> Iterator[str]:
    Api.answers, Api.requests = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def start(
    api: str, mains: Path, name: str, folder: Path, jars: Sequence[str] = (), main: Sequence[str] = LAUNCHER
) -> subprocess.Popen[str]:
    environment = {
        **os.environ, "SIGNALBOX_START_URL": api, "SIGNALBOX_START_SECRET": "s-e-c-r-e-t",
        "SIGNALBOX_CLAIM_SECONDS": "30",
    }  # fmt: skip
    path = os.pathsep.join([str(JAR), str(mains), *jars])
    words = [Programs().java().path, "-cp", path, *main, f"probe.Mains${name}"]
    return subprocess.Popen(
        words, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def launch(
    api: str, mains: Path, name: str, folder: Path, jars: Sequence[str] = (), main: Sequence[str] = LAUNCHER
) -> subprocess.CompletedProcess[str]:
    with start(api, mains, name, folder, jars, main) as running:
        try:
            output, errors = running.communicate(timeout=60)
        finally:
            running.kill()
    return subprocess.CompletedProcess(running.args, running.returncode, output, errors)


def reported() -> RunEnd:
    (end,) = [body for path, body in Api.requests if path == "/end"]
    return RunEnd.model_validate_json(json.dumps({name: end[name] for name in end if name != "run"}))


@pytest.mark.parametrize(
    "answer",
    [
        answered("502 Bad Gateway", b"<html>"), answered("200 OK", b"<html>log in"), b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        answered("503 Away", b'{"detail":"' + b"\\n" * 4000 + b'"}'),
    ],
)  # fmt: skip
def test_whatever_a_proxy_answers_the_claim_is_repeated(api: str, mains: Path, tmp_path: Path, answer: bytes) -> None:
    """A page of a proxy with status 200 was taken for an agreement: every copy of the driver ran."""
    Api.answers = [answer, GOOD, GOOD]
    done = launch(api, mains, "Good", tmp_path)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert [path for path, _ in Api.requests] == ["/claim", "/claim", "/end"]
    assert reported() == RunEnd(exit_code=0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{ "detail" : "not me: \\"driver-2\\" has\\u0020this\\nwork" }', 'not me: "driver-2" has this\nwork'),
        (b"<html>" * 100, "status 409"), (b'{"detail":"cut', "status 409"), (b'{"detail":"\\u12"}', "status 409"),
    ],
)  # fmt: skip
def test_a_refusal_has_its_reason(api: str, mains: Path, tmp_path: Path, body: bytes, reason: str) -> None:
    Api.answers = [answered("409 Conflict", body)]
    done = launch(api, mains, "Good", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"signalbox: the application is not started: {reason}\n"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "Odd",
            'java.lang.IllegalStateException: a\N{REPLACEMENT CHARACTER}b \U0001f600 \N{REPLACEMENT CHARACTER} " end',
        ),
        ("Instance", "probe.Mains$Instance has no method main(String[])"),
        ("Broken", "java.lang.ExceptionInInitializerError"),
        ("Missing", "the main class probe.Mains$Missing is in none of the JARs"),
    ],
)
def test_an_application_that_fails_or_cannot_begin_is_reported_as_failed(
    api: str, mains: Path, tmp_path: Path, name: str, error: str
) -> None:
    """One that could not begin was reported without an exit code, as if somebody had ended its driver."""
    Api.answers = [GOOD, GOOD]
    done = launch(api, mains, name, tmp_path)
    assert done.returncode == 1
    assert reported() == RunEnd(exit_code=1, error=error)
    assert "s-e-c-r-e-t" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "code", "place"), [("Exits", 7, "Exits.main"), ("ExitsLater", 3, "ExitsLater.lambda$")]
)
def test_an_application_that_calls_exit_is_said_to_have_done_so(
    api: str, mains: Path, tmp_path: Path, name: str, code: int, place: str
) -> None:
    """Its exit code is not known here. One whose `main` had returned was reported with 0."""
    Api.answers = [GOOD, GOOD]
    done = launch(api, mains, name, tmp_path)
    assert (done.returncode, reported()) == (code, RunEnd())
    assert done.stderr.startswith(f"signalbox: System.exit was called at probe.Mains${place}")
    assert done.stderr.endswith("; Java does not tell its exit code\n")


@pytest.mark.parametrize(
    ("name", "code", "end"),
    [("Good", 0, RunEnd(exit_code=0)), ("Exits", 7, RunEnd()), ("Instance", 1, None)],
)  # fmt: skip
def test_an_exit_by_spark_after_the_end_of_main_is_none_of_the_application(
    api: str, mains: Path, tmp_path: Path, name: str, code: int, end: RunEnd | None
) -> None:
    """It was reported without the exit code 0, and could run again if the master forgot its driver."""
    Api.answers = [GOOD, GOOD]
    words = [
        "org.apache.spark.deploy.SparkSubmit", "--master", "local[1]",
        "--conf", "spark.submit.callSystemExitOnMainExit=true", "--class", "signalbox.Launcher", str(mains),
    ]  # fmt: skip
    done = launch(api, mains, name, tmp_path, [str(spark_home() / "jars" / "*")], words)
    assert done.returncode == code, done.stderr
    assert (reported().exit_code, reported().error[:5]) == (1, "probe") if end is None else reported() == end
    assert ("System.exit was called" in done.stderr) is (name == "Exits"), done.stderr


def test_an_application_that_is_told_to_end_did_not_call_exit(api: str, mains: Path, tmp_path: Path) -> None:
    Api.answers = [GOOD, GOOD]
    with start(api, mains, "Waits", tmp_path) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "waits\n"
        running.terminate()
        assert running.stderr.read() == ""
    assert (running.returncode, reported()) == (143, RunEnd())


def test_a_result_that_cannot_be_reported_is_no_success(api: str, mains: Path, tmp_path: Path) -> None:
    """With exit code 0 the task succeeded without its result."""
    Api.answers = [GOOD, answered("404 Not Found", b"{}")]
    done = launch(api, mains, "Result", tmp_path)
    assert (done.returncode, reported().result) == (74, "e30=")
    assert "the result could not be reported: status 404" in done.stderr
