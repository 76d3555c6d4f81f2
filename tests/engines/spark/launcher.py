"""Makes the JVM launcher's JAR from its sources: `python -m engines.spark.launcher` in `tests/`."""

from pathlib import Path

from engines.spark.distribution import LAUNCHER_SOURCES, compile_jar
from signalbox_chassis.start_fence import JAR


def make(jar: Path) -> None:
    """Compile the sources into a JAR."""
    compile_jar(sorted(LAUNCHER_SOURCES.rglob("*.java")), jar)


if __name__ == "__main__":
    make(JAR)
