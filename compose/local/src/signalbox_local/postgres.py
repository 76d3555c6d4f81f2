"""Real PostgreSQL: TCP on loopback, SCRAM passwords, never as root and never on somebody else's data."""

import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from signalbox_local import folders, probe
from signalbox_local.errors import ForeignData, ServerNotReady
from signalbox_local.process import OWNED, Account, Lifetime, is_zombie, run
from signalbox_local.programs import Programs, postgres_major
from signalbox_local.secret import password_in, write_private
from signalbox_local.server import Server

_STOP = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "smart": signal.SIGTERM}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # the path of a socket may not exceed 107 bytes, that of a checkout does
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}


class PostgresServer(Server):
    """One cluster with the superuser `postgres`. Its data survives stop and kill.

    `settings` are server parameters (say `{"fsync": "off", "max_connections": "200"}`) that override ours at every
    start. As root it runs as `postgres` or `nobody`, and lies in /var/tmp where that user cannot enter `folder`.
    """

    name = "postgres"
    ready_seconds = 60.0
    stop_seconds = 20.0
    stop_signal = signal.SIGINT

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] = {},
        life: Lifetime = OWNED,
        programs: Programs | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(folder, life=life, programs=programs, port=port)
        self.settings = {**_SETTINGS, **settings}

    @property
    def url(self) -> str:
        """The superuser's URL; known once `start` was called."""
        password = (self.folder / "password").read_text()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/postgres"

    def healthy(self) -> bool:
        return self.running() and probe.postgres("127.0.0.1", self.port)

    # ------------------------------------------------------------------ start

    def launch(self) -> None:
        """Start the server without waiting; makes the cluster the first time (1 to 3 s). Raises what `start` does."""
        if self.running():
            return
        binaries = self.programs.postgres()
        folders.make(self.folder)
        account = folders.account_for_postgres()
        data = folders.reachable(self.folder, account, self.programs.reporter) / "data"
        if data.exists():
            account = self._check_data(data, binaries)
        else:
            self._initialise(data, binaries, account)
        self.changed += self.book.settle("postgres")
        options = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(self.port), *options]
        self.process.start(command, life=self.life, env=_environment(), account=account)

    def wait_ready(self, seconds: float | None = None) -> None:
        """Wait until it takes logins. Raises ServerNotReady."""
        deadline = time.monotonic() + (self.ready_seconds if seconds is None else seconds)
        while True:
            try:
                return self.process.wait_ready(self.healthy, seconds=max(0.0, deadline - time.monotonic()))
            except ServerNotReady:
                if time.monotonic() > deadline or self.running() or not old_server_lingers(self.process.log_tail()):
                    raise
                self.launch()

    def _check_data(self, data: Path, binaries: Path) -> Account | None:
        """Whose the data is; raises ForeignData when we may not or cannot use it."""
        account = folders.owner_of(data)
        if account and os.geteuid() != 0:
            raise ForeignData(
                f"{data} belongs to {account.name}, not to you",
                f"run as the user who made it (often root), or move {self.folder} away for a new, empty database",
            )
        if account is None and os.geteuid() == 0:
            raise ForeignData(f"{data} belongs to root, whom PostgreSQL refuses", f"move {data} away")
        version, wanted = _text(data / "PG_VERSION"), postgres_major(binaries)
        if version != str(wanted):
            made = f"was made by PostgreSQL {version}" if version else "holds no PostgreSQL data"
            raise ForeignData(
                f"{data} {made}; the server in {binaries} is version {wanted}",
                f"move {self.folder} away for a new, empty database, or set SIGNALBOX_POSTGRES_BIN to that version",
            )
        if not (self.folder / "password").exists():
            raise ForeignData(
                f"{data} holds PostgreSQL data, but the file with its password, {self.folder / 'password'}, is missing",
                f"put it back, or move {self.folder} away for a new, empty database",
            )
        self._check_nobody_runs(data)
        return account

    def _check_nobody_runs(self, data: Path) -> None:
        lines = _text(data / "postmaster.pid").splitlines()
        pid = lines[0] if lines else ""
        if pid.isdigit() and is_zombie(int(pid)):
            # PostgreSQL takes a dead postmaster for alive until its parent has reaped it, which the first process of a
            # container may never do. Backends that outlive it are still found, by their shared memory.
            (data / "postmaster.pid").unlink(missing_ok=True)
        # a server works in its data folder: that tells it from a stranger who was given the pid of a dead one
        if pid.isdigit() and _working_folder(int(pid)) == data.resolve():
            port = lines[3] if len(lines) > 3 else "?"
            raise ForeignData(
                f"a PostgreSQL that this stack did not start (pid {pid}, port {port}) runs on {data}",
                f"stop it (`kill -INT {pid}`), then again",
            )

    def _initialise(self, data: Path, binaries: Path, account: Account | None) -> None:
        """initdb, in a draft that becomes `data` in one step: a half-made cluster is never started."""
        password = password_in(self.folder / "password")
        draft, secret, log = data.with_name("data.new"), data.with_name("password.new"), self.folder / "initdb.log"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        write_private(secret, password)
        if account:
            os.chown(draft, account.uid, account.gid)
            os.chown(secret, account.uid, account.gid)
        command = [
            str(binaries / "initdb"), "-D", str(draft), "-U", "postgres", f"--pwfile={secret}",
            "--no-locale", "-E", "UTF8", "--auth=scram-sha-256", "--no-instructions",
        ]  # fmt: skip
        try:
            code = run(command, log=log, account=account, env=_environment(), seconds=120)
        finally:
            secret.unlink()
        if code:
            tail = "\n".join(f"  | {line}" for line in _text(log).splitlines()[-12:])
            raise ServerNotReady(f"initdb failed (log: {log}):\n{tail}", "mend what it names, then again")
        draft.replace(data)

    # ------------------------------------------------------------------ stop

    def stop(self, mode: Literal["fast", "immediate", "smart"] = "fast") -> None:
        """Stop as pg_ctl does; SIGKILL after 20 s. `immediate` leaves a recovery to the next start."""
        self.process.stop(stop_signal=_STOP[mode])

    def kill(self) -> None:
        """kill -9 the postmaster; its children notice and end by themselves."""
        self.process.kill()

    def restart(self, mode: Literal["fast", "immediate", "smart"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def discard(self) -> None:
        """Kill a throw-away server and remove its data, wherever it lies."""
        self.kill()
        elsewhere = self.folder / "elsewhere"
        if elsewhere.is_symlink():
            shutil.rmtree(elsewhere.resolve(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def old_server_lingers(log: str) -> bool:
    """Whether a start failed only because a killed server is not all gone yet: PostgreSQL says so in text alone."""
    return "pre-existing shared memory block" in log or 'lock file "postmaster.pid" already exists' in log


def _environment() -> dict[str, str]:
    # nothing of the caller's PG* or locale variables; English messages, whatever the machine speaks
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _working_folder(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
