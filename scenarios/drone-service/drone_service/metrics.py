"""Counts what the service does, in Prometheus' text format."""

from __future__ import annotations

import threading
from collections import Counter

BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """Counters that many threads may share."""

    def __init__(self, release: str) -> None:
        self._lock = threading.Lock()
        self._release = release
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations = [0] * len(BUCKETS)
        self._duration_sum = 0.0
        self._duration_count = 0
        self._legs = 0

    def request(self, route: str, status: int) -> None:
        with self._lock:
            self._requests[route, status] += 1

    def planned(self, seconds: float, legs: int) -> None:
        with self._lock:
            self._duration_sum += seconds
            self._duration_count += 1
            self._legs += legs
            for i, bound in enumerate(BUCKETS):
                if seconds <= bound:
                    self._durations[i] += 1

    def text(self) -> str:
        with self._lock:
            lines = [
                "# HELP drone_service_info The release that runs.",
                "# TYPE drone_service_info gauge",
                f'drone_service_info{{release="{self._release}"}} 1',
                "# HELP drone_service_requests_total Answers by route and status.",
                "# TYPE drone_service_requests_total counter",
            ]
            for (route, status), count in sorted(self._requests.items()):
                lines.append(f'drone_service_requests_total{{route="{route}",status="{status}"}} {count}')
            lines += [
                "# HELP drone_service_planned_legs_total Battery legs in all plans made.",
                "# TYPE drone_service_planned_legs_total counter",
                f"drone_service_planned_legs_total {self._legs}",
                "# HELP drone_service_plan_seconds Time that making a plan took.",
                "# TYPE drone_service_plan_seconds histogram",
            ]
            for bound, count in zip(BUCKETS, self._durations):
                lines.append(f'drone_service_plan_seconds_bucket{{le="{bound:g}"}} {count}')
            lines += [
                f'drone_service_plan_seconds_bucket{{le="+Inf"}} {self._duration_count}',
                f"drone_service_plan_seconds_sum {self._duration_sum:.6f}",
                f"drone_service_plan_seconds_count {self._duration_count}",
            ]
            return "\n".join(lines) + "\n"
