"""The HTTP face: POST /plan, GET /healthz, GET /metrics.

A body is bounded before it is read, a slow client is cut off, and a fault of the
caller is answered with what is wrong and where.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .metrics import Metrics
from .plan import Infeasible, make
from .release import RELEASE
from .request import Invalid, parse, render

MAX_BODY = 1 << 20
METHODS = {"/plan": "POST", "/healthz": "GET", "/metrics": "GET"}
JSON_TYPES = ("application/json", "application/geo+json")


class Server(ThreadingHTTPServer):
    """Serves until stop; requests under way are finished before it returns."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.metrics = Metrics(RELEASE)
        self.stopping = threading.Event()

    def stop(self) -> None:
        """Ends serve_forever; may be called from a signal handler."""
        self.stopping.set()
        # shutdown waits for the loop that a signal handler interrupts: not here.
        threading.Thread(target=self.shutdown).start()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "drone-service"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        path = self._route()
        if path == "/healthz":
            if self.server.stopping.is_set():
                self._send(503, {"status": "stopping", "release": RELEASE})
            else:
                self._send(200, {"status": "ok", "release": RELEASE})
        elif path == "/metrics":
            self._send_bytes(200, "text/plain; version=0.0.4; charset=utf-8", self.server.metrics.text().encode())

    def do_POST(self) -> None:
        if self._route() != "/plan":
            return
        body = self._body()
        if body is None:
            return
        begin = time.perf_counter()
        try:
            request = parse(body)
            plan = make(request.centre_line, request.settings, request.home)
        except Invalid as error:
            status = 400 if error.problems[0]["problem"].startswith("not JSON") else 422
            self._send(status, {"error": "the request can't be used", "problems": error.problems})
            return
        except Infeasible as error:
            self._send(422, {"error": str(error), "problems": [{"path": "$.flight", "problem": str(error)}]})
            return
        self.server.metrics.planned(time.perf_counter() - begin, len(plan.legs))
        self._send(200, {"release": RELEASE, **render(request, plan)})

    def _refuse_method(self) -> None:
        self._route()

    do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method

    def _route(self) -> str | None:
        """The path, if this method belongs to it; else the refusal is sent."""
        path = self.path.split("?", 1)[0]
        method = METHODS.get(path)
        if method == self.command:
            return path
        if method is None:
            self._refuse(404, "no such path; there are " + ", ".join(METHODS))
        else:
            self._refuse(405, f"use {method}", {"Allow": method})
        return None

    def _body(self) -> bytes | None:
        """The request's body, or None after a refusal was sent."""
        if self.headers.get("Transfer-Encoding"):
            return self._refuse(411, "send a Content-Length, not chunks")
        media = self.headers.get_content_type()
        if media not in JSON_TYPES:
            return self._refuse(415, "send " + " or ".join(JSON_TYPES))
        text = self.headers.get("Content-Length")
        if text is None:
            return self._refuse(411, "send a Content-Length")
        if not (text.isascii() and text.isdigit()):
            return self._refuse(400, "Content-Length must be a number")
        if len(text) > 9 or int(text) > MAX_BODY:
            return self._refuse(413, f"at most {MAX_BODY} bytes are read")
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            return self._refuse(400, "the body ended early")
        return body

    def _refuse(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        # What the caller still sends is not read, so this connection is done.
        self.close_connection = True
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = (json.dumps(document) + "\n").encode()
        self._send_bytes(status, "application/json", data, headers)

    def _send_bytes(self, status: int, media: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        if self.server.stopping.is_set():
            self.close_connection = True
        route = self.path.split("?", 1)[0]
        self.server.metrics.request(route if route in METHODS else "other", status)
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, template: str, *args: Any) -> None:
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": template % args}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
