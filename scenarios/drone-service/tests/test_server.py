"""The service over real sockets: answers, refusals, and how it stops."""

import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from drone_service.release import RELEASE
from drone_service.server import MAX_BODY, Server

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECTION = {
    "type": "Feature",
    "properties": {"name": "test"},
    "geometry": {"type": "LineString", "coordinates": [[5.0, 52.0], [5.01, 52.0]]},
}
JSON = {"Content-Type": "application/json"}


class ServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(("127.0.0.1", 0))
        cls.server.RequestHandlerClass.log_message = lambda *_: None
        cls.thread = threading.Thread(target=cls.server.serve_forever, kwargs={"poll_interval": 0.05})
        cls.thread.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.thread.join()
        cls.server.server_close()

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.server.server_address, timeout=5)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def plan(self, document):
        response, body = self.call("POST", "/plan", json.dumps(document), JSON)
        return response.status, json.loads(body)

    def test_healthz(self):
        response, body = self.call("GET", "/healthz")
        self.assertEqual(response.status, 200)
        self.assertEqual(json.loads(body), {"status": "ok", "release": RELEASE})

    def test_release_has_a_name(self):
        self.assertRegex(RELEASE, r"^[a-z0-9][a-z0-9._-]{0,62}$")

    def test_plan_of_the_sample(self):
        sample = json.loads((ROOT / "samples" / "dike-section.geojson").read_text())
        status, plan = self.plan({"section": sample, "flight": {"altitude": 60}})
        self.assertEqual(status, 200)
        self.assertEqual(plan["release"], RELEASE)
        self.assertGreater(plan["section"]["length_m"], 1000)
        # 120 m corridor, 90 m pictures, steps of at most 36 m: one gap of 30 m.
        self.assertEqual(len(plan["tracks"]["features"]), 2)
        self.assertAlmostEqual(plan["track_spacing_m"], 30.0, delta=0.02)
        self.assertAlmostEqual(sum(leg["seconds"] for leg in plan["legs"]), plan["total"]["seconds"], delta=1)

    def test_bare_feature(self):
        status, plan = self.plan(SECTION)
        self.assertEqual(status, 200)
        # 0.01 degree east at 52 north is 686.78 m.
        self.assertAlmostEqual(plan["section"]["length_m"], 686.8, delta=0.1)

    def test_refused_requests(self):
        def line(*coordinates):
            return {**SECTION, "geometry": {"type": "LineString", "coordinates": list(coordinates)}}

        for name, document, status, path in (
            ("not an object", [1], 422, "$"),
            ("not a feature", {"section": {"type": "Point"}}, 422, "$.section"),
            ("no geometry", {"type": "Feature"}, 422, "$.geometry"),
            ("one position", line([5, 52]), 422, "$.geometry.coordinates"),
            ("a text for a number", line([5, 52], ["5", 52]), 422, "$.geometry.coordinates[1]"),
            ("true for a number", line([5, 52], [True, 52]), 422, "$.geometry.coordinates[1]"),
            ("off the earth", line([5, 52], [5, 95]), 422, "$.geometry.coordinates[1]"),
            ("a huge number", line([5, 52], [10**400, 52]), 422, "$.geometry.coordinates[1]"),
            ("all one place", line([5, 52], [5, 52]), 422, "$.geometry.coordinates"),
            ("too long", line([5, 52], [7, 52]), 422, "$.geometry.coordinates"),
            ("unknown setting", {"section": SECTION, "flight": {"hight": 3}}, 422, "$.flight.hight"),
            ("out of bounds", {"section": SECTION, "flight": {"speed": 0}}, 422, "$.flight.speed"),
            ("settings are no object", {"section": SECTION, "flight": 3}, 422, "$.flight"),
            ("unknown key", {"section": SECTION, "fly": 1}, 422, "$.fly"),
            ("home far away", {"section": SECTION, "home": [6, 52]}, 422, "$.flight"),
        ):
            with self.subTest(name):
                got, answer = self.plan(document)
                self.assertEqual(got, status, answer)
                self.assertIn(path, [p["path"] for p in answer["problems"]])

    def test_all_problems_at_once(self):
        status, answer = self.plan({"section": {"type": "Feature"}, "flight": {"speed": -1, "reserve": 2}})
        self.assertEqual(status, 422)
        self.assertEqual(len(answer["problems"]), 3)

    def test_protocol(self):
        for name, method, path, body, headers, status in (
            ("not JSON", "POST", "/plan", "{", JSON, 400),
            ("NaN", "POST", "/plan", '{"home": NaN}', JSON, 400),
            ("not UTF-8", "POST", "/plan", b"\xff", JSON, 400),
            ("deep nesting", "POST", "/plan", "[" * 100_000, JSON, 400),
            ("other media", "POST", "/plan", "{}", {"Content-Type": "text/plain"}, 415),
            ("too large", "POST", "/plan", None, {**JSON, "Content-Length": str(MAX_BODY + 1)}, 413),
            ("absurd length", "POST", "/plan", None, {**JSON, "Content-Length": "9" * 5000}, 413),
            ("negative length", "POST", "/plan", None, {**JSON, "Content-Length": "-1"}, 400),
            ("unknown path", "GET", "/", None, {}, 404),
            ("wrong method", "GET", "/plan", None, {}, 405),
            ("wrong method", "POST", "/healthz", "{}", JSON, 405),
            ("wrong method", "DELETE", "/plan", None, {}, 405),
        ):
            with self.subTest(name):
                response, _ = self.call(method, path, body, headers)
                self.assertEqual(response.status, status)

    def test_metrics(self):
        self.plan(SECTION)
        self.call("GET", "/nowhere")
        response, body = self.call("GET", "/metrics")
        text = body.decode()
        self.assertTrue(response.getheader("Content-Type").startswith("text/plain; version=0.0.4"))
        self.assertRegex(text, r'drone_service_requests_total\{route="/plan",status="200"\} [1-9]')
        self.assertRegex(text, r'drone_service_requests_total\{route="other",status="404"\} [1-9]')
        self.assertIn(f'drone_service_info{{release="{RELEASE}"}} 1', text)
        self.assertNotIn("nowhere", text)


class StopTest(unittest.TestCase):
    def test_sigterm_finishes_what_is_under_way(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "drone_service", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        connection = self.connect(port)
        self.addCleanup(connection.close)
        body = json.dumps(SECTION).encode()
        # Half a request, then the signal, then the rest.
        head = f"POST /plan HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:10])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(process.poll(), "the service left a request unanswered")
        connection.sendall(body[10:])
        answer = connection.makefile("rb").read()
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:80])
        self.assertEqual(process.wait(timeout=5), 0)

    def connect(self, port):
        deadline = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=5)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
