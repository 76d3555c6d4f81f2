"""`healthcheck PATH [PORT]`: exits with 0 when the service of this container answers 200 there, else with 1.

A container of a program that serves nothing (tools, a worker of reprocessing) is healthy as long as it runs.
"""

import os
import socket
import sys

SECONDS = 4


def main() -> int:
    path = sys.argv[1]
    if len(sys.argv) == 2 and "." in os.environ.get("SIGNALBOX_MODULE", ""):  # services are packages: signalbox_planner
        return 0
    port = int(sys.argv[2] if len(sys.argv) > 2 else os.environ["SIGNALBOX_HTTP_PORT"])
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            connection.settimeout(SECONDS)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            line = connection.makefile("rb").readline(200)
    except OSError as error:
        print(f"port {port}: {error}")
        return 1
    print(line.decode(errors="replace").strip())
    return 0 if b" 200" in line else 1


if __name__ == "__main__":
    sys.exit(main())
