"""Turns a dike section into tracks, and tracks into legs that a battery lasts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from .geometry import Point, between, distance, length, midpoint, offset

# No plan needs more than this; a wish for more is a slip in the units.
MAX_TRACKS = 200
MAX_LEGS = 500


class Infeasible(ValueError):
    """No flight with these settings can do the work; the text says what would."""


@dataclass(frozen=True)
class Settings:
    """How to fly. Angles in degrees, lengths in metres, times in seconds."""

    altitude: float = 60.0
    corridor_width: float = 120.0
    fov_across: float = 73.74
    fov_along: float = 53.13
    side_overlap: float = 0.6
    forward_overlap: float = 0.75
    speed: float = 8.0
    turn_time: float = 4.0
    endurance: float = 1500.0
    reserve: float = 0.25

    @property
    def footprint_across(self) -> float:
        """What the camera sees across the track, on the ground."""
        return footprint(self.altitude, self.fov_across)

    @property
    def footprint_along(self) -> float:
        """What the camera sees along the track, on the ground."""
        return footprint(self.altitude, self.fov_along)

    @property
    def usable(self) -> float:
        """Seconds of flight per battery that may be planned."""
        return self.endurance * (1.0 - self.reserve)


@dataclass(frozen=True)
class Leg:
    """One battery: from home, along a part of the route, back home."""

    waypoints: list[Point]
    seconds: float
    distance: float


@dataclass(frozen=True)
class Plan:
    """The tracks over the section and the legs that fly them."""

    home: Point
    tracks: list[list[Point]]
    spacing: float
    photo_interval: float
    photos: int
    legs: list[Leg]

    @property
    def seconds(self) -> float:
        return sum(leg.seconds for leg in self.legs)

    @property
    def distance(self) -> float:
        return sum(leg.distance for leg in self.legs)


def footprint(altitude: float, field_of_view: float) -> float:
    """The width on the ground of a camera that looks straight down."""
    return 2.0 * altitude * math.tan(math.radians(field_of_view) / 2.0)


def track_offsets(corridor: float, width: float, overlap: float) -> list[float]:
    """Where tracks lie, left to right, so that pictures cover the corridor.

    Neighbouring pictures overlap by at least the given fraction; the tracks are
    spread evenly, so that the outer pictures end where the corridor ends.
    """
    if width >= corridor:
        return [0.0]
    gaps = math.ceil((corridor - width) / (width * (1.0 - overlap)) - 1e-9)
    if gaps >= MAX_TRACKS:
        raise Infeasible(
            f"{gaps + 1} tracks would be needed, at most {MAX_TRACKS} are planned:"
            " fly higher, overlap less or narrow the corridor"
        )
    spacing = (corridor - width) / gaps
    return [spacing * (gaps / 2.0 - i) for i in range(gaps + 1)]


def route(tracks: Sequence[Sequence[Point]]) -> list[Point]:
    """All tracks as one line, every second one flown backwards."""
    points: list[Point] = []
    for i, track in enumerate(tracks):
        points.extend(track if i % 2 == 0 else list(reversed(track)))
    return points


def legs(path: Sequence[Point], home: Point, settings: Settings) -> list[Leg]:
    """Cuts the path where the battery has just enough left to fly home.

    Turning costs time: turn_time for each waypoint that is passed within a leg.
    """
    result: list[Leg] = []
    at, following = path[0], 1
    while True:
        start = at
        waypoints = [home, at]
        flown = distance(home, at)
        seconds = flown / settings.speed
        while following < len(path):
            target = path[following]
            step = distance(at, target)
            turn = settings.turn_time if following + 1 < len(path) else 0.0
            whole = seconds + (step + distance(target, home)) / settings.speed + turn
            if whole <= settings.usable + 1e-9:
                at, following = target, following + 1
                flown += step
                seconds += step / settings.speed + turn
                waypoints.append(at)
                continue
            part = _reach(at, target, home, settings.usable - seconds, settings.speed)
            if part > 0.0:
                at = between(at, target, part)
                flown += step * part
                seconds += step * part / settings.speed
                waypoints.append(at)
            break
        if at == start and following < len(path):
            raise Infeasible(
                "a battery is used up by flying to the work and back:"
                " set home nearer, fly faster or allow a longer endurance"
            )
        back = distance(at, home)
        waypoints.append(home)
        result.append(Leg(waypoints, seconds + back / settings.speed, flown + back))
        if following >= len(path):
            return result
        if len(result) >= MAX_LEGS:
            raise Infeasible(f"more than {MAX_LEGS} batteries would be needed: split the section")


def _reach(a: Point, b: Point, home: Point, seconds: float, speed: float) -> float:
    """The largest fraction of a..b after which home can still be reached.

    Going on by a metre brings home nearer by at most a metre, so the sum of both
    never falls and halving the interval finds the last fraction that fits.
    """
    step, budget = distance(a, b), seconds * speed
    if distance(a, home) > budget:
        return 0.0
    low, high = 0.0, 1.0
    while (high - low) * step > 0.001:
        middle = (low + high) / 2.0
        if step * middle + distance(between(a, b, middle), home) <= budget:
            low = middle
        else:
            high = middle
    # Less than a centimetre is no progress, only rounding.
    return low if low * step > 0.01 else 0.0


def make(centre_line: Sequence[Point], settings: Settings, home: Point | None = None) -> Plan:
    """The plan for a dike whose crest is the centre line."""
    home = midpoint(centre_line) if home is None else home
    offsets = track_offsets(settings.corridor_width, settings.footprint_across, settings.side_overlap)
    tracks = [offset(centre_line, by) for by in offsets]
    interval = settings.footprint_along * (1.0 - settings.forward_overlap)
    return Plan(
        home=home,
        tracks=tracks,
        spacing=offsets[0] - offsets[1] if len(offsets) > 1 else 0.0,
        photo_interval=interval,
        photos=sum(math.floor(length(track) / interval) + 1 for track in tracks),
        legs=legs(route(tracks), home, settings),
    )
