"""Prefect: `python prefect_chain_peer.py N`: a flow of N trivial tasks, each with the result of the one before.

Its API server runs as a process of its own on SQLite, as its documentation begins; tasks run in the flow's process.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen


@contextmanager
def server() -> Iterator[None]:
    """An API server with a folder of its own, ended afterwards. Prefect reads the environment when it is imported."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        url = f"http://127.0.0.1:{port}/api"
        quiet = {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        os.environ.update(quiet, PREFECT_HOME=folder, PREFECT_API_URL=url)
        command = [str(Path(sys.executable).with_name("prefect")), "server", "start", "--port", port, "--no-ui"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(f"{url}/health", process)
            yield
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            if process.poll() is not None:
                sys.exit(f"prefect's server ended with {process.returncode}")
            time.sleep(0.2)
    sys.exit("prefect's server does not answer")


def main(count: int) -> None:
    with server():
        from prefect import flow, task

        @task
        def trivial(number: int) -> int:
            return number + 1

        @flow
        def chain(length: int) -> int:
            number = 0
            for _ in range(length):
                number = trivial(number)
            return number

        chain(5)
        began = time.perf_counter()
        answer = chain(count)
        seconds = time.perf_counter() - began
        if answer != count:
            sys.exit(f"prefect counted to {answer}")
        print(json.dumps({"peer": "prefect, sqlite", "tasks": count, "seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
