"""A private Kerberos key distribution centre (MIT, Debian packages krb5-kdc, krb5-admin-server, krb5-user)."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.deadlines import block_until

REALM: Final = "SIGNALBOX.TEST"
SERVICE: Final = "HTTP/localhost"
PROGRAMS: Final = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
_PLACES: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def why_not() -> str:
    """Why none can be started here; empty if one can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"no {', '.join(missing)}: packages krb5-kdc, krb5-admin-server and krb5-user"
    try:
        import gssapi  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
        import krb5  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError as error:
        return f"the Python packages gssapi and krb5 are needed: {error}"
    return ""


@dataclass
class KeyCentre:
    """One realm in a folder, with the principals that the tests use."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @classmethod
    def started(cls, folder: Path) -> "KeyCentre":
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        centre = cls(folder, port)
        centre._write()
        centre._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        for principal, password in ((SERVICE, "-randkey"), ("alice", "-pw wonderland")):
            centre._run("kadmin.local", "-r", REALM, "-q", f"addprinc {password} {principal}@{REALM}")
        centre._run("kadmin.local", "-r", REALM, "-q", f"ktadd -k {centre.keytab} {SERVICE}@{REALM}")
        program = _program("krb5kdc")
        assert program is not None
        with (folder / "krb5kdc.out").open("ab") as out:
            centre.process = subprocess.Popen(
                [program, "-n", "-r", REALM], env=centre.environment, stdout=out, stderr=out
            )
        centre._wait()
        return centre

    @property
    def keytab(self) -> Path:
        return self.folder / "http.keytab"

    @property
    def config(self) -> Path:
        return self.folder / "krb5.conf"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": _PLACES,
            "KRB5_CONFIG": str(self.config),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.folder / 'tickets'}",
        }

    def log_in(self, user: str, password: str) -> None:
        """Put a ticket of this user into the cache."""
        self._run("kinit", f"{user}@{REALM}", text=password + "\n")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)

    def _write(self) -> None:
        self.config.write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"
            "rdns = false\ndns_canonicalize_hostname = false\nudp_preference_limit = 1\n"
            f"[realms]\n{REALM} = {{\n kdc = 127.0.0.1:{self.port}\n}}\n"
            f"[domain_realm]\nlocalhost = {REALM}\n"
        )
        (self.folder / "kdc.conf").write_text(
            f"[kdcdefaults]\nkdc_ports = {self.port}\nkdc_tcp_ports = {self.port}\n"
            f"[realms]\n{REALM} = {{\n database_name = {self.folder}/principal\n key_stash_file = {self.folder}/stash\n"
            f" kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n}}\n"
        )

    def _run(self, name: str, *words: str, text: str = "") -> None:
        program = _program(name)
        assert program is not None
        done = subprocess.run(
            [program, *words], env=self.environment, input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{name} {words}: {done.stderr} {done.stdout}"

    def _wait(self) -> None:
        block_until(self._answers, why=lambda: (self.folder / "krb5kdc.out").read_text())

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


def _program(name: str) -> str | None:
    return shutil.which(name, path=_PLACES)
