"""The trace receiver as a process of the stack."""

import sys

from signalbox_local import folders, probe
from signalbox_local.server import Server


class OtlpReceiver(Server):
    """The receiver as a process. Its spans survive stop and kill."""

    name = "otlp"

    @property
    def endpoint(self) -> str:
        """http://127.0.0.1:port, for OTEL_EXPORTER_OTLP_ENDPOINT; known once `start` was called."""
        return f"http://127.0.0.1:{self.port}"

    def healthy(self) -> bool:
        return self.running() and probe.http(f"{self.endpoint}/healthz")

    def launch(self) -> None:
        if self.running():
            return
        folders.make(self.folder)
        self.changed += self.book.settle("otlp")
        command = [sys.executable, "-m", "signalbox_local.receiver", str(self.folder / "traces.db"), str(self.port)]
        self.process.start(command, life=self.life)
