"""The launcher's JAR that is committed is what its sources compile to."""

import zipfile
from pathlib import Path

import pytest

from engines.spark.launcher import make
from signalbox_chassis.start_fence import JAR

pytestmark = pytest.mark.engine


def test_the_committed_jar_is_made_of_the_sources(tmp_path: Path) -> None:
    """Without it a change of a source would never reach a cluster."""
    make(tmp_path / "made.jar")
    with zipfile.ZipFile(tmp_path / "made.jar") as made, zipfile.ZipFile(JAR) as committed:
        assert made.namelist() == committed.namelist()
        for name in made.namelist():
            assert made.read(name) == committed.read(name), f"{name}: `cd tests; python -m engines.spark.launcher`"
