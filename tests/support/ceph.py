"""A real S3 server for tests: Ceph's RADOS gateway with one monitor and one OSD in memory, all on loopback.

From Debian packages (`.ci/install-s3`). The processes die with the test run, whatever ends it. Tried with Ceph 16.2.
"""

import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
import pytest
from obstore.store import S3Store

from signalbox_local.ports import free_ports
from signalbox_local.process import OWNED, ServerProcess

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
INSTALL = "apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw ceph-common"
ACCESS_KEY, SECRET_KEY = "AKSIGNALBOXTEST", "a-secret-of-this-test-run-only"
_OSD_STARTS = 10
_CLIENT_TRIES = 5

_CONF = """[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
mon initial members = a
ms bind msgr2 = false
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
osd memory target = 939524096
osd class load list = *
osd class default list = *
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
[mon]
mon data = {folder}/mon
[osd]
osd data = {folder}/osd
[client.rgw.a]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw_port}
"""


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


class Ceph:
    """One gateway. `options` are what `Blobs` (obstore's `S3Config`) needs to speak to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mon_port, self._rgw_port = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{self._rgw_port}"
        self.options: dict[str, Any] = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            "client_options": {"allow_http": True},
        }
        self._mon = self._process("mon", 10)
        self._osd = self._process("osd", 10)
        self._rgw = self._process("rgw", 10)

    def start(self) -> None:
        """Return when the gateway answers (about 15 s). Raises when a part does not come up."""
        for name in ("mon", "osd", "rgw", "run", "log"):
            (self._folder / name).mkdir(parents=True)
        fsid = str(uuid4())
        self._conf.write_text(
            _CONF.format(fsid=fsid, folder=self._folder, mon_port=self._mon_port, rgw_port=self._rgw_port)
        )
        self._start_mon(fsid)
        self._start_osd()
        self._rgw.start(self._command("radosgw", "-n", "client.rgw.a", "-f"), life=OWNED)
        self._rgw.wait_ready(self._answers, seconds=120)
        self._run_again("radosgw-admin", "user", "create", "--uid=t", "--display-name=t",
                        f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")  # fmt: skip

    def stop(self) -> None:
        for process in (self._rgw, self._osd, self._mon):
            process.kill()  # everything is in memory: nothing is worth an orderly stop

    def make_bucket(self, name: str) -> None:
        """obstore makes no buckets; a signed PUT of the bucket's own address does."""
        url = obstore.sign(S3Store(name, **self.options), "PUT", "", expires_in=timedelta(minutes=5))
        with urllib.request.urlopen(urllib.request.Request(url, b"", method="PUT"), timeout=60) as answer:
            assert answer.status == 200

    @property
    def _conf(self) -> Path:
        return self._folder / "ceph.conf"

    def _process(self, name: str, stop_seconds: float) -> ServerProcess:
        folder = self._folder / "processes" / name
        folder.mkdir(parents=True)
        return ServerProcess(folder, f"ceph {name}", stop_signal=signal.SIGTERM, stop_seconds=stop_seconds)

    def _start_mon(self, fsid: str) -> None:
        monmap = str(self._folder / "monmap")
        self._run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a",
                  f"v1:127.0.0.1:{self._mon_port}", monmap, conf=False)  # fmt: skip
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._mon.start(self._command("ceph-mon", "-i", "a", "-f"), life=OWNED)
        self._mon.wait_ready(lambda: self._succeeds("mon", "stat"), seconds=60)

    def _start_osd(self) -> None:
        osd_id = str(uuid4())
        self._run_again("ceph", "--connect-timeout", "10", "osd", "create", osd_id, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_id)
        for _ in range(_OSD_STARTS):
            self._osd.start(self._command("ceph-osd", "-i", "0", "-f"), life=OWNED)
            give_up_at = time.monotonic() + 60
            # two starts in seven end at once with "wrong fsid" (a race with auth none); the next one is well
            while self._osd.running() and time.monotonic() < give_up_at:
                if self._succeeds("osd", "stat", text="1 up"):
                    return
        raise RuntimeError(f"no OSD came up:\n{self._osd.log_tail()}")

    def _succeeds(self, *words: str, text: str = "") -> bool:
        try:
            return text in self._run("ceph", "--connect-timeout", "2", *words)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _command(self, program: str, *arguments: str) -> list[str]:
        path = shutil.which(program)
        assert path is not None, INSTALL
        return [path, "-c", str(self._conf), *arguments]

    def _run_again(self, program: str, *arguments: str) -> None:
        """Run a command that may be given twice: a new monitor refuses a client at times (a race with auth none)."""
        for attempts_left in reversed(range(_CLIENT_TRIES)):
            try:
                self._run(program, *arguments)
                return
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                if not attempts_left:
                    output = error.stderr or error.stdout
                    raise RuntimeError(f"{program} {' '.join(arguments)}: {output}\n{self._mon.log_tail()}") from error

    def _run(self, program: str, *arguments: str, conf: bool = True) -> str:
        command = self._command(program, *arguments) if conf else [program, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="session")
def ceph(run_folder: Path) -> Iterator[Ceph]:
    """The S3 server of this run, or a skip that says how to get one."""
    if missing := missing_programs():
        pytest.skip(f"no {', '.join(missing)}: {INSTALL} (or .ci/install-s3)")
    server = Ceph(run_folder / "ceph")
    try:
        server.start()
        yield server
    finally:
        server.stop()
