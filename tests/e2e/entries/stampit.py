"""stampit FILE SECONDS: write down when this run began and ended (monotonic seconds) in one shared file."""

import os
import sys
import time


def stamp(word: str) -> None:
    line = f"{word} {os.environ['SIGNALBOX_RUN_KEY']} {os.getpid()} {time.monotonic():.6f}\n"
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


stamp("began")
time.sleep(float(sys.argv[2]))
stamp("ended")
