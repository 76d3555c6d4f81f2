"""Airflow's packages: installed once on a machine, kept in the user's cache.

The versions are locked in `requirements-3.txt` and `requirements-2.txt`: a later release of one of their hundred
dependencies cannot break the tests.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from signalbox_local.settings import cache_folder

INSTALL_SECONDS: Final = 900
_FOLDER: Final = Path(__file__).parent


def wanted_major() -> int:
    """The major version to test with: 3, or what `AIRFLOW` names (`make test-airflow AIRFLOW=2`)."""
    return int(os.environ.get("AIRFLOW") or 3)


def is_installed(major: int) -> bool:
    """Whether this Airflow is in the cache."""
    return (_target(_requirements(major), major) / "installed").exists()


def airflow_environment(major: int) -> Path:
    """The virtual environment with this Airflow, installed unless it is in the cache."""
    requirements = _requirements(major)
    target = _target(requirements, major)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        if not (target / "installed").exists():
            shutil.rmtree(target, ignore_errors=True)
            _install(requirements, target)
            (target / "installed").touch()
    return target


def _requirements(major: int) -> Path:
    return _FOLDER / f"requirements-{major}.txt"


def _target(requirements: Path, major: int) -> Path:
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache_folder() / f"airflow-{major}-{digest}"


def _install(requirements: Path, target: Path) -> None:
    """Install with uv, which the project's environment holds. A virtual environment cannot be moved afterwards."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise RuntimeError("uv is missing: run `make setup`")
    python = str(target / "bin" / "python")
    print(f"installing {requirements.stem.replace('requirements-', 'Airflow ')} into {target} (about 200 MB, once)")
    commands = [
        [uv, "venv", "-q", "--python", sys.executable, str(target)],
        [uv, "pip", "install", "-q", "--no-deps", "--compile-bytecode", "--python", python, "-r", str(requirements)],
    ]
    for command in commands:
        with tempfile.TemporaryFile("w+") as errors:
            code = subprocess.run(command, stderr=errors, timeout=INSTALL_SECONDS, check=False).returncode
            errors.seek(0)
            if code:
                raise RuntimeError(f"installing Airflow failed: {errors.read()[-2000:]}")


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
