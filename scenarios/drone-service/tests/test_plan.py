"""Tracks and battery legs against values worked out by hand."""

import unittest
from dataclasses import replace

from drone_service.geometry import Point, length
from drone_service.plan import Infeasible, Settings, footprint, legs, make, route, track_offsets

# 10 m/s, no turning time, 150 s per battery: hand-sized numbers.
PLAIN = Settings(speed=10.0, turn_time=0.0, endurance=200.0, reserve=0.25)


class FootprintTest(unittest.TestCase):
    def test_right_angle(self):
        # tan 45 = 1: from 50 m up, 50 m to each side.
        self.assertAlmostEqual(footprint(50.0, 90.0), 100.0)

    def test_default_camera(self):
        # tan(73.74/2) = 0.75 and tan(53.13/2) = 0.5.
        self.assertAlmostEqual(Settings(altitude=60.0).footprint_across, 90.0, delta=0.01)
        self.assertAlmostEqual(Settings(altitude=60.0).footprint_along, 60.0, delta=0.01)


class TrackTest(unittest.TestCase):
    def test_offsets(self):
        for name, corridor, width, overlap, want in (
            ("one picture covers all", 30.0, 30.0, 0.5, [0.0]),
            # 30 m remain, a step is at most 15 m: two gaps.
            ("fits exactly", 60.0, 30.0, 0.5, [15.0, 0.0, -15.0]),
            # 40 m remain, a step is at most 15 m: three gaps of 13.33 m.
            ("spread evenly", 70.0, 30.0, 0.5, [20.0, 20.0 / 3, -20.0 / 3, -20.0]),
            ("no overlap", 90.0, 30.0, 0.0, [30.0, 0.0, -30.0]),
        ):
            with self.subTest(name):
                got = track_offsets(corridor, width, overlap)
                self.assertEqual(len(got), len(want))
                for g, w in zip(got, want):
                    self.assertAlmostEqual(g, w)

    def test_corridor_is_covered_to_its_edges(self):
        offsets = track_offsets(137.0, 31.0, 0.37)
        self.assertAlmostEqual(offsets[0] + 31.0 / 2, 137.0 / 2)
        self.assertAlmostEqual(offsets[-1] - 31.0 / 2, -137.0 / 2)
        for a, b in zip(offsets, offsets[1:]):
            self.assertLessEqual(a - b, 31.0 * (1 - 0.37) + 1e-9)

    def test_too_many(self):
        with self.assertRaisesRegex(Infeasible, "tracks would be needed"):
            track_offsets(2000.0, 1.0, 0.95)

    def test_every_second_track_is_flown_backwards(self):
        a, b, c, d = Point(0, 1), Point(9, 1), Point(0, 0), Point(9, 0)
        self.assertEqual(route([[a, b], [c, d]]), [a, b, d, c])


class LegTest(unittest.TestCase):
    path = [Point(0, 0), Point(1000, 0)]

    def test_one_battery_suffices(self):
        # Home in the middle: 500 there, 1000 along, 500 back: 2000 m, 200 s.
        (leg,) = legs(self.path, Point(500, 0), replace(PLAIN, reserve=0.0))
        self.assertAlmostEqual(leg.distance, 2000.0)
        self.assertAlmostEqual(leg.seconds, 200.0)

    def test_two_batteries(self):
        # 150 s are 1500 m. First: 500 there, 750 along, 250 back. Second: 250 there,
        # the remaining 250, 500 back.
        first, second = legs(self.path, Point(500, 0), PLAIN)
        self.assertAlmostEqual(first.seconds, 150.0, delta=0.01)
        self.assertAlmostEqual(first.waypoints[-2].x, 750.0, delta=0.05)
        self.assertAlmostEqual(second.seconds, 100.0, delta=0.01)
        self.assertEqual(second.waypoints[0], Point(500, 0))
        self.assertEqual(second.waypoints[1], first.waypoints[-2])
        self.assertEqual(second.waypoints[-2:], [Point(1000, 0), Point(500, 0)])

    def test_turning_costs_time(self):
        # Home at the start, 50 m out and 50 m on: one waypoint is turned at.
        path = [Point(0, 0), Point(50, 0), Point(50, 50)]
        (leg,) = legs(path, Point(0, 0), replace(PLAIN, turn_time=7.0))
        self.assertAlmostEqual(leg.seconds, (100.0 + 50.0 * 2**0.5) / 10.0 + 7.0)

    def test_no_leg_outlasts_its_battery(self):
        settings = replace(PLAIN, turn_time=5.0)
        zigzag = [Point(100.0 * (i % 2), 10.0 * i) for i in range(60)]
        planned = legs(zigzag, Point(0, 300), settings)
        self.assertGreater(len(planned), 1)
        for leg in planned:
            self.assertLessEqual(leg.seconds, settings.usable + 1e-6)
            self.assertAlmostEqual(leg.distance, length(leg.waypoints), places=6)

    def test_out_of_reach(self):
        # 750 m there and 750 m back use all 1500 m.
        with self.assertRaisesRegex(Infeasible, "set home nearer"):
            legs(self.path, Point(0, 750), PLAIN)


class PlanTest(unittest.TestCase):
    def test_straight_dike(self):
        # 400 m of dike, 60 m corridor, 30 m pictures with half overlap: three
        # tracks 15 m apart. From 20 m up a camera of 73.74 by 53.13 degrees sees 30
        # by 20 m; with half overlap a picture every 10 m, 41 for each track.
        settings = Settings(
            altitude=20.0, corridor_width=60.0, side_overlap=0.5, forward_overlap=0.5,
            speed=10.0, turn_time=0.0, endurance=1000.0, reserve=0.0,
        )
        plan = make([Point(0, 0), Point(400, 0)], settings)
        self.assertEqual(len(plan.tracks), 3)
        self.assertAlmostEqual(plan.spacing, 15.0, delta=0.01)
        self.assertAlmostEqual(plan.photo_interval, 10.0, delta=0.01)
        self.assertEqual(plan.home, Point(200, 0))
        # 3 tracks and 2 crossings are 1230 m; from home to the first end and from
        # the last end back are sqrt(200^2 + 15^2) = 200.56 m each.
        self.assertEqual(len(plan.legs), 1)
        self.assertAlmostEqual(plan.distance, 1230.0 + 2 * 200.5617, delta=0.05)
        self.assertAlmostEqual(plan.seconds, plan.distance / 10.0, delta=0.001)

    def test_photos_are_counted_from_both_ends(self):
        settings = Settings(altitude=50.0, fov_along=90.0, forward_overlap=0.0, corridor_width=1.0)
        # A picture each 100 m on 400 m: at 0, 100, 200, 300 and 400.
        self.assertEqual(make([Point(0, 0), Point(400.01, 0)], settings).photos, 5)


if __name__ == "__main__":
    unittest.main()
