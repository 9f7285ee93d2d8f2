"""Reads a request: GeoJSON and settings in, checked values out.

Every fault is reported at once, each with its place in the document, so that
nobody has to find them one by one.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any

from .geometry import Point, Projection, length, without_repeats
from .plan import Plan, Settings

MAX_VERTICES = 2000
MAX_LENGTH = 50_000.0

# What each setting may be. The bounds are those of small multirotors: a value
# outside them is a slip, not a wish.
BOUNDS: dict[str, tuple[float, float]] = {
    "altitude": (5.0, 120.0),
    "corridor_width": (1.0, 2000.0),
    "fov_across": (5.0, 150.0),
    "fov_along": (5.0, 150.0),
    "side_overlap": (0.0, 0.95),
    "forward_overlap": (0.0, 0.95),
    "speed": (0.5, 40.0),
    "turn_time": (0.0, 120.0),
    "endurance": (60.0, 36_000.0),
    "reserve": (0.0, 0.8),
}


class Invalid(ValueError):
    """The request can't be used; problems says why, place by place."""

    def __init__(self, problems: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{p['path']}: {p['problem']}" for p in problems))
        self.problems = problems


@dataclass(frozen=True)
class Request:
    """A checked request, on the plane."""

    name: str
    projection: Projection
    centre_line: list[Point]
    settings: Settings
    home: Point | None


def parse(body: bytes) -> Request:
    """Reads {"section": Feature, "flight": {…}, "home": [lon, lat]} or a bare Feature."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Invalid([_problem("$", f"not JSON: {error}")]) from None
    if not isinstance(document, dict):
        raise Invalid([_problem("$", "must be an object")])
    if "section" in document:
        prefix, section = "$.section", document["section"]
    else:
        prefix, section, document = "$", document, {}

    problems: list[dict[str, str]] = []
    name, coordinates = _section(section, prefix, problems)
    settings = _settings(document.get("flight", {}), problems)
    home = None
    if document.get("home") is not None:
        home = _position(document["home"], "$.home", problems)
    for key in document:
        if key not in ("section", "flight", "home"):
            problems.append(_problem(f"$.{key}", "unknown; known are section, flight and home"))
    if problems:
        raise Invalid(problems)

    projection = Projection.around(coordinates)
    line = without_repeats([projection.to_plane(*c) for c in coordinates])
    if len(line) < 2:
        raise Invalid([_problem(prefix + ".geometry.coordinates", "all positions are the same place")])
    if length(line) > MAX_LENGTH:
        raise Invalid(
            [_problem(prefix + ".geometry.coordinates", f"longer than {MAX_LENGTH / 1000:.0f} km: split the section")]
        )
    return Request(name, projection, line, settings, projection.to_plane(*home) if home else None)


def render(request: Request, plan: Plan) -> dict[str, Any]:
    """The plan as a JSON document; positions are [longitude, latitude]."""
    earth = request.projection.to_earth

    def positions(points: list[Point]) -> list[list[float]]:
        # Seven decimals of a degree are about a centimetre.
        return [[round(v, 7) for v in earth(p)] for p in points]

    return {
        "section": {"name": request.name, "length_m": round(length(request.centre_line), 1)},
        "camera": {
            "footprint_across_m": round(request.settings.footprint_across, 2),
            "footprint_along_m": round(request.settings.footprint_along, 2),
            "photo_interval_m": round(plan.photo_interval, 2),
            "photos": plan.photos,
        },
        "home": positions([plan.home])[0],
        "track_spacing_m": round(plan.spacing, 2),
        "tracks": {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "properties": {"track": i + 1, "length_m": round(length(track), 1)},
                    "geometry": {"type": "LineString", "coordinates": positions(track)},
                }
                for i, track in enumerate(plan.tracks)
            ],
        },
        "legs": [
            {
                "leg": i + 1,
                "seconds": round(leg.seconds, 1),
                "distance_m": round(leg.distance, 1),
                "waypoints": positions(leg.waypoints),
            }
            for i, leg in enumerate(plan.legs)
        ],
        "total": {
            "legs": len(plan.legs),
            "seconds": round(plan.seconds, 1),
            "distance_m": round(plan.distance, 1),
        },
    }


def _section(section: Any, path: str, problems: list[dict[str, str]]) -> tuple[str, list[tuple[float, float]]]:
    if not isinstance(section, dict) or section.get("type") != "Feature":
        problems.append(_problem(path, "must be a GeoJSON Feature"))
        return "", []
    properties = section.get("properties")
    name = properties.get("name", "") if isinstance(properties, dict) else ""
    if not isinstance(name, str) or len(name) > 200:
        problems.append(_problem(path + ".properties.name", "must be a text of at most 200 characters"))
        name = ""
    geometry = section.get("geometry")
    if not isinstance(geometry, dict) or geometry.get("type") != "LineString":
        problems.append(_problem(path + ".geometry", "must be a LineString along the dike's crest"))
        return name, []
    raw = geometry.get("coordinates")
    path += ".geometry.coordinates"
    if not isinstance(raw, list) or not 2 <= len(raw) <= MAX_VERTICES:
        problems.append(_problem(path, f"must be a list of 2 to {MAX_VERTICES} positions"))
        return name, []
    coordinates = []
    for i, position in enumerate(raw):
        checked = _position(position, f"{path}[{i}]", problems)
        if checked:
            coordinates.append(checked)
    return name, coordinates


def _position(value: Any, path: str, problems: list[dict[str, str]]) -> tuple[float, float] | None:
    if not isinstance(value, list) or not 2 <= len(value) <= 3 or not all(_is_number(v) for v in value):
        problems.append(_problem(path, "must be [longitude, latitude]"))
        return None
    lon, lat = float(value[0]), float(value[1])
    if not -180.0 <= lon <= 180.0:
        problems.append(_problem(path, "longitude must be between -180 and 180"))
        return None
    if not -85.0 <= lat <= 85.0:
        problems.append(_problem(path, "latitude must be between -85 and 85"))
        return None
    return lon, lat


def _settings(value: Any, problems: list[dict[str, str]]) -> Settings:
    if not isinstance(value, dict):
        problems.append(_problem("$.flight", "must be an object"))
        return Settings()
    known = [f.name for f in fields(Settings)]
    chosen: dict[str, float] = {}
    for key, number in value.items():
        path = f"$.flight.{key}"
        if key not in known:
            problems.append(_problem(path, "unknown; known are " + ", ".join(known)))
            continue
        low, high = BOUNDS[key]
        if not _is_number(number) or not low <= number <= high:
            problems.append(_problem(path, f"must be a number from {low:g} to {high:g}"))
            continue
        chosen[key] = float(number)
    return Settings(**chosen)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _problem(path: str, problem: str) -> dict[str, str]:
    return {"path": path, "problem": problem}
