"""Runs the console's scripts: `console.py types lint check test build`, or `e2e` with a stack of its own.

`oozie` runs the browser's tests of reruns, with a stack and a real Oozie of its own.

Packages come from the lock file; Node from where the local stack takes it.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from signalbox_local.console import find_node
from signalbox_local.ports import free_ports

ROOT: Final = Path(__file__).parents[2]
CONSOLE: Final = ROOT / "services" / "console"
LOCAL: Final = [sys.executable, "-m", "signalbox_local.app"]
CHROMIUM: Final = "SIGNALBOX_CHROMIUM"
E2E_FILES: Final = os.environ.get("E2E", "").split()


def main(scripts: list[str]) -> int:
    node, npm = find_node()
    environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"}
    install(npm, environment)
    if scripts == ["oozie"]:
        return on_real_oozie(npm, environment)
    if scripts == ["e2e"]:
        return in_browser(npm, environment)
    return next((1 for script in scripts if run([*npm, "run", "-s", script], environment)), 0)


def install(npm: list[str], environment: dict[str, str]) -> None:
    """Bring the packages of the lock file, unless they are there."""
    stamp = CONSOLE / "node_modules" / ".package-lock.json"
    if not stamp.exists() or stamp.stat().st_mtime < (CONSOLE / "package-lock.json").stat().st_mtime:
        subprocess.run(
            [*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=CONSOLE, env=environment, check=True
        )


def in_browser(npm: list[str], environment: dict[str, str]) -> int:
    """The tests in a browser. A stack that `SIGNALBOX_API_URL` names is used; else one is started and taken away."""
    chromium = os.environ.get(CHROMIUM) or shutil.which("chromium") or ""
    if not chromium:
        print(f"there is no Chromium: install Debian's package `chromium`, or set {CHROMIUM}", file=sys.stderr)
        return 1
    environment[CHROMIUM] = chromium
    if environment.get("SIGNALBOX_API_URL"):
        return run([*npm, "run", "-s", "e2e"], environment)
    return asyncio.run(beside_a_provider(npm, environment))


async def beside_a_provider(npm: list[str], environment: dict[str, str]) -> int:
    """The tests in a browser, on a stack whose people may also sign in at a real OpenID provider."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.oidc import CALLBACK, CLIENT_ID, CLIENT_SECRET, running_provider

    (port,) = free_ports(1)
    redirect = f"http://127.0.0.1:{port}{CALLBACK}"
    people = {"sub-carol": {"preferred_username": "carol", "email": "carol@example.com", "email_verified": True}}
    async with running_provider(redirect, people) as provider:
        settings = {
            "SIGNALBOX_PORT": str(port), "SIGNALBOX_OIDC_ISSUER": provider.issuer, "SIGNALBOX_OIDC_ROLE": "viewer",
            "SIGNALBOX_OIDC_CLIENT_ID": CLIENT_ID, "SIGNALBOX_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "SIGNALBOX_OIDC_REDIRECT_URL": redirect, "SIGNALBOX_OIDC_NAME": "Example SSO",
        }  # fmt: skip
        return await asyncio.to_thread(on_own_stack, npm, {**environment, **settings})


def on_own_stack(npm: list[str], environment: dict[str, str]) -> int:
    """The tests in a browser, on a stack that is started and taken away."""
    with tempfile.TemporaryDirectory(prefix="signalbox-console-") as folder:
        environment["SIGNALBOX_LOCAL_STACK"] = folder
        try:
            if run([*LOCAL, "up", "--scripted", "--services", "--console"], environment):
                return 1
            return run([*npm, "run", "-s", "e2e", "--", *E2E_FILES], {**environment, **addresses(Path(folder))})
        finally:
            run([*LOCAL, "down"], environment)


def on_real_oozie(npm: list[str], environment: dict[str, str]) -> int:
    """The builder's tests in a browser, on a real Oozie that is started for them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from engines.oozie.assembly import SERVER_FILES, why_not
    from engines.oozie.oozie_process import OozieProcess

    if reason := why_not():
        print(f"a real Oozie: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="signalbox-oozie-") as folder:
        server = OozieProcess.in_folder(Path(folder))
        try:
            server.start()
            environment["SIGNALBOX_OOZIE_URL"] = server.url
            environment["SIGNALBOX_OOZIE_APPLICATIONS"] = (SERVER_FILES / "fixtures").as_uri()
            return in_browser(npm, environment)
        finally:
            server.stop()


def addresses(stack: Path) -> dict[str, str]:
    """Where the stack is, and who may sign in."""
    lines = [line.removeprefix("export ") for line in (stack / "env").read_text().splitlines()]
    found = dict(line.split("=", 1) for line in lines if line.startswith("SIGNALBOX_API_URL="))
    return {
        "SIGNALBOX_API_URL": found["SIGNALBOX_API_URL"].strip("'\""),
        "SIGNALBOX_TOKEN": (stack / "admin-token").read_text().strip(),
        "SIGNALBOX_PASSWORD_FILE": str(stack / "admin-password"),
        "SIGNALBOX_STACK_FOLDER": str(stack),
    }


def run(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, cwd=CONSOLE, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
