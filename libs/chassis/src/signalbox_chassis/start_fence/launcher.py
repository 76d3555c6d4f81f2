"""Runs a Python application behind Signalbox's start fence.

It runs on the engine, with the engine's Python (3.8 and newer) and nothing but the standard library. Before the
application it claims the run key; a copy that may not start ends with 0 and does nothing, one that cannot ask ends with
75. The names of its variables are those of the JVM's launcher.
"""

from __future__ import annotations

import base64
import json
import os
import runpy
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn

CANNOT_ASK = 75
CANNOT_REPORT = 74
RESULT = "signalbox-result.json"
MAX_RESULT_BYTES = 16384
MAX_ANSWER_BYTES = 1 << 20


class _Stay(urllib.request.HTTPRedirectHandler):
    """The secret must not follow a redirect, and the page of a login behind it agrees to nothing."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


class Fence:
    """The claims of one run, at Signalbox's API."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.url = environment["SIGNALBOX_START_URL"]
        self.secret = environment["SIGNALBOX_START_SECRET"]
        self.run = environment.get("SIGNALBOX_START_RUN") or Path.cwd().name
        self.seconds = float(environment.get("SIGNALBOX_CLAIM_SECONDS", "120"))

    def post(self, name: str, body: Mapping[str, Any], seconds: float) -> tuple[int, str]:
        """Status and reason of an answer that settles it; status 0 when there was none in time."""
        deadline, wait, reason = time.monotonic() + seconds, 0.25, ""
        while True:
            status, reason = self._post_once(name, body)
            if status in (200, 401, 404, 409, 422):
                return status, reason
            if time.monotonic() + wait > deadline:
                return 0, reason
            time.sleep(wait)
            wait = min(wait * 2, 5.0)

    def _post_once(self, name: str, body: Mapping[str, Any]) -> tuple[int, str]:
        request = urllib.request.Request(
            self.url + "/" + name,
            data=json.dumps(dict(body, run=self.run)).encode(),
            headers={"Content-Type": "application/json", "Authorization": "Bearer " + self.secret},
        )
        try:
            with _OPENER.open(request, timeout=10) as response:
                if not response.read(MAX_ANSWER_BYTES).lstrip().startswith(b"{"):
                    return 0, "what answers is not Signalbox"
                return response.status, ""
        except urllib.error.HTTPError as error:
            return error.code, _detail(error)
        except (OSError, ValueError, HTTPException) as error:  # HTTPException: what answers speaks no HTTP
            return 0, str(error)


def _detail(error: urllib.error.HTTPError) -> str:
    """The reason in an answer; a proxy in between may answer with anything."""
    try:
        return str(json.loads(error.read(MAX_ANSWER_BYTES))["detail"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError, HTTPException):
        return f"status {error.code}"


def claim(fence: Fence) -> None:
    """Return when the application may start; end the process otherwise."""
    status, reason = fence.post("claim", {"nonce": uuid.uuid4().hex}, fence.seconds)
    if status == 200:
        return
    if status == 409:
        note("the application is not started: " + reason)
        leave(0)
    note(f"the application is not started, for its start could not be claimed at {fence.url}: {reason}")
    leave(CANNOT_ASK)


def find(application: str) -> Path:
    """The application's file: a path, or what Spark fetched for `--py-files`."""
    path = Path(application)
    if path.is_file():
        return path
    fetched = [Path(folder) / path.name for folder in sys.path]
    return next((file for file in fetched if file.is_file()), path)


def run(application: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code and error of the application."""
    path = find(application)
    if not path.is_file():
        return 2, f"the application {application} does not exist on this worker"
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            code = (end.code or 0) & 0xFF  # as the system takes it
            return code, f"exit code {code}" if code else ""
        note(str(end.code))
        return 1, str(end.code)
    except BaseException as error:  # also what is no Exception ends an application
        traceback.print_exc()
        return 1, f"{type(error).__name__}: {error}"
    return 0, ""


def result() -> dict[str, Any]:
    """The result the application left, as fields of the report."""
    path = Path(os.environ.get("SIGNALBOX_RESULT", RESULT))
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(MAX_RESULT_BYTES + 1)
    except OSError:
        return {}
    return {"result": base64.b64encode(data).decode(), "result_bytes": size}


def storable(text: str) -> str:
    """The text with a replacement for what UTF-8 and PostgreSQL cannot hold, such as bytes of a file's name."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def follow_parent() -> None:
    """End with the JVM that started us: a driver that is killed must not run on as an orphan."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def note(text: str) -> None:
    sys.stderr.write(f"signalbox: {text}\n")
    sys.stderr.flush()


def leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def main() -> None:
    fence = Fence(os.environ)
    for name in ("SIGNALBOX_START_URL", "SIGNALBOX_START_SECRET"):
        del os.environ[name]
    claim(fence)
    follow_parent()
    os.environ["SIGNALBOX_RESULT"] = str(Path(RESULT).resolve())
    application, arguments = sys.argv[1], sys.argv[2:]
    code, error = run(application, arguments)
    left = result()
    end: dict[str, Any] = {"exit_code": code, "error": storable(error)[:4000], **left}
    status, reason = fence.post("end", end, 600 if left else 20)
    if error:
        note("the application failed: " + error)
    if status != 200 and left and not code:
        note("the result could not be reported: " + reason)
        code = CANNOT_REPORT
    leave(code)


if __name__ == "__main__":
    main()
