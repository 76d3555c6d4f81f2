"""JARs as users keep them: on a web server, where they may be replaced, slow, cut off or missing."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


class JarServer:
    """Serves the files of a folder by name, and counts how often each was fetched."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.fetched: dict[str, int] = {}
        self.statuses: dict[str, list[int]] = {}
        """Statuses to answer before the file is given, by name."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, name: str, content: bytes | Path) -> str:
        """Serve this under a name, in place of what was there; its URL."""
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        return self.url(name)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        jars = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.partition("?")[0].lstrip("/")
                jars.fetched[name] = jars.fetched.get(name, 0) + 1
                waiting, path = jars.statuses.get(name, []), jars.folder / name
                status = waiting.pop(0) if waiting else 200 if path.is_file() else 404
                self.send_response(status)
                if status != 200:
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_header("Content-Length", str(path.stat().st_size))
                self.end_headers()
                with path.open("rb") as file:
                    while chunk := file.read(1 << 20):
                        self.wfile.write(chunk)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return Handler
