"""Free loopback ports, chosen once and remembered, and who holds one that is taken."""

import json
import random
import socket
from collections.abc import Mapping
from pathlib import Path

from signalbox_local.errors import PortTaken

# Below 32768, where Linux' ephemeral ports begin: a client that retries a dead server's port on loopback may be given
# that very port as its own source port, connect to itself, and keep the server from binding it again.
LOWEST, HIGHEST = 20000, 31999


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now (ports in TIME_WAIT count as free, as for a server)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randrange(LOWEST, HIGHEST + 1)
        if port not in chosen and is_free(port):
            chosen.append(port)
    return chosen


class PortBook:
    """The ports of one server, kept in a file of its folder so that a restart gives the same addresses."""

    def __init__(self, file: Path, fixed: Mapping[str, int] | None = None) -> None:
        self.file = file
        self.fixed = dict(fixed or {})
        self.ports = {**self._read(), **self.fixed}

    def _read(self) -> dict[str, int]:
        try:
            return {str(name): int(port) for name, port in json.loads(self.file.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # never written, or cut off by a crash: choose again

    def settle(self, *names: str) -> list[str]:
        """Give each of `names` a free port, the remembered one where it is still free.

        Call it only while the server is down. Returns a line of text for each port that had to change.
        Raises PortTaken where the setting insists on a port that somebody holds.
        """
        changed: list[str] = []
        for name in names:
            port = self.ports.get(name)
            if port is not None and is_free(port):
                continue
            if name in self.fixed:
                raise port_taken(self.fixed[name], name)
            self.ports[name] = next(p for p in free_ports(len(self.ports) + 1) if p not in self.ports.values())
            if port is not None:
                changed.append(f"port {port} is taken by {holder(port)}: {name} moves to {self.ports[name]}")
        self.file.write_text(json.dumps(self.ports))
        return changed

    def __getitem__(self, name: str) -> int:
        return self.ports[name]


def port_taken(port: int, name: str) -> PortTaken:
    return PortTaken(
        f"{name} cannot listen on 127.0.0.1:{port}: it is taken by {holder(port)}",
        f"stop that process, or set SIGNALBOX_{name.upper()}_PORT to another port (unset: a free one is chosen)",
    )


def holder(port: int) -> str:
    """Who listens on a TCP port, as `name (pid 12)`; `another process` when the system does not tell us."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            found = str(fd.readlink()) in sockets
        except OSError:
            continue
        if found:
            process = fd.parent.parent
            return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return "another process"


def _listening_inodes(port: int) -> list[str]:
    inodes: list[str] = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            columns = line.split()
            # columns: slot, local address, remote address, state (0A = LISTEN), ..., inode at 9
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.append(columns[9])
    return inodes
