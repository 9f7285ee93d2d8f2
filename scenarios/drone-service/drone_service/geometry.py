"""Plane geometry for a dike section: projection, offset lines, lengths.

Everything here works in metres on a plane that touches the earth at one point.
A dike section is a few kilometres long; over that distance the plane differs
from the ellipsoid by centimetres, which is less than a drone's own drift.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence

# WGS 84, the ellipsoid of GPS and of GeoJSON.
SEMI_MAJOR_AXIS = 6378137.0
ECCENTRICITY_SQUARED = 0.00669437999014

# A mitre at a sharp corner runs off to infinity; beyond this multiple of the
# offset it is cut back.
MITRE_LIMIT = 2.0


class Point(NamedTuple):
    """A place on the plane: metres east and north of the projection's origin."""

    x: float
    y: float


class Projection:
    """Maps longitude and latitude to metres around an origin, and back."""

    def __init__(self, lon: float, lat: float) -> None:
        self.lon, self.lat = lon, lat
        sine = math.sin(math.radians(lat))
        w = math.sqrt(1.0 - ECCENTRICITY_SQUARED * sine * sine)
        meridian = SEMI_MAJOR_AXIS * (1.0 - ECCENTRICITY_SQUARED) / w**3
        prime_vertical = SEMI_MAJOR_AXIS / w
        self.metres_per_degree_lat = math.radians(meridian)
        self.metres_per_degree_lon = math.radians(prime_vertical * math.cos(math.radians(lat)))

    @classmethod
    def around(cls, coordinates: Sequence[tuple[float, float]]) -> "Projection":
        """The projection whose origin is the middle of the coordinates' box."""
        lons = [c[0] for c in coordinates]
        lats = [c[1] for c in coordinates]
        return cls((min(lons) + max(lons)) / 2.0, (min(lats) + max(lats)) / 2.0)

    def to_plane(self, lon: float, lat: float) -> Point:
        return Point(
            (lon - self.lon) * self.metres_per_degree_lon,
            (lat - self.lat) * self.metres_per_degree_lat,
        )

    def to_earth(self, point: Point) -> tuple[float, float]:
        return (
            self.lon + point.x / self.metres_per_degree_lon,
            self.lat + point.y / self.metres_per_degree_lat,
        )


def distance(a: Point, b: Point) -> float:
    return math.hypot(b.x - a.x, b.y - a.y)


def length(line: Sequence[Point]) -> float:
    return sum(distance(a, b) for a, b in zip(line, line[1:]))


def between(a: Point, b: Point, fraction: float) -> Point:
    """The point that lies the given fraction of the way from a to b."""
    return Point(a.x + (b.x - a.x) * fraction, a.y + (b.y - a.y) * fraction)


def midpoint(line: Sequence[Point]) -> Point:
    """The point halfway along the line."""
    left = length(line) / 2.0
    for a, b in zip(line, line[1:]):
        step = distance(a, b)
        if step >= left:
            return between(a, b, left / step) if step > 0.0 else a
        left -= step
    return line[-1]


def without_repeats(line: Sequence[Point], tolerance: float = 0.01) -> list[Point]:
    """The line without points that repeat the one before: they have no direction."""
    kept: list[Point] = []
    for point in line:
        if not kept or distance(kept[-1], point) > tolerance:
            kept.append(point)
    return kept


def offset(line: Sequence[Point], by: float) -> list[Point]:
    """The line moved sideways: to the left for a positive distance.

    At a corner the two moved segments meet in a mitre, which the mitre limit
    cuts back where the corner is sharp.
    """
    if by == 0.0:
        return list(line)
    normals = []
    for a, b in zip(line, line[1:]):
        step = distance(a, b)
        normals.append(Point(-(b.y - a.y) / step, (b.x - a.x) / step))
    moved = [Point(line[0].x + by * normals[0].x, line[0].y + by * normals[0].y)]
    for vertex, before, after in zip(line[1:], normals, normals[1:]):
        sx, sy = before.x + after.x, before.y + after.y
        # |before + after| is twice the cosine of half the turn.
        size = math.hypot(sx, sy)
        if size < 1e-9:
            moved.append(Point(vertex.x + by * before.x, vertex.y + by * before.y))
            continue
        reach = by * min(2.0 / size, MITRE_LIMIT)
        moved.append(Point(vertex.x + reach * sx / size, vertex.y + reach * sy / size))
    moved.append(Point(line[-1].x + by * normals[-1].x, line[-1].y + by * normals[-1].y))
    return moved
