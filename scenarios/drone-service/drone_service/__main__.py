"""Runs the service: python -m drone_service [PORT]."""

from __future__ import annotations

import signal
import sys

from .server import Server


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    with Server(("0.0.0.0", port)) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
