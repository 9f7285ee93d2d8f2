"""Geometry against values worked out by hand."""

import math
import unittest

from drone_service.geometry import Point, Projection, between, length, midpoint, offset, without_repeats


class ProjectionTest(unittest.TestCase):
    def test_a_degree_at_the_equator(self):
        # North: pi/180 * a(1-e2) = 0.01745329 * 6335439.327 = 110574.28 m.
        # East: pi/180 * a = 0.01745329 * 6378137 = 111319.49 m.
        projection = Projection(0.0, 0.0)
        self.assertAlmostEqual(projection.metres_per_degree_lat, 110574.28, delta=0.01)
        self.assertAlmostEqual(projection.metres_per_degree_lon, 111319.49, delta=0.01)

    def test_a_degree_in_the_netherlands(self):
        # At 52 north: sin = 0.788011, sin2 = 0.620961, W2 = 1 - 0.00669438*0.620961
        # = 0.995843, W = 0.997919.
        # M = 6335439.327 / 0.997919**3 = 6375158; times pi/180 = 111267.5 m.
        # N cos = 6378137 / 0.997919 * 0.615661 = 3934963; times pi/180 = 68678.1 m.
        projection = Projection(5.0, 52.0)
        self.assertAlmostEqual(projection.metres_per_degree_lat, 111267.5, delta=2.0)
        self.assertAlmostEqual(projection.metres_per_degree_lon, 68678.1, delta=2.0)

    def test_there_and_back(self):
        projection = Projection(5.0, 52.0)
        lon, lat = projection.to_earth(projection.to_plane(5.0123456, 51.9876543))
        self.assertAlmostEqual(lon, 5.0123456, places=10)
        self.assertAlmostEqual(lat, 51.9876543, places=10)

    def test_origin_is_the_middle_of_the_box(self):
        projection = Projection.around([(5.0, 52.0), (5.2, 52.4), (5.1, 52.1)])
        self.assertAlmostEqual(projection.lon, 5.1)
        self.assertAlmostEqual(projection.lat, 52.2)


class LineTest(unittest.TestCase):
    def test_length_of_a_3_4_5_triangle(self):
        self.assertEqual(length([Point(0, 0), Point(3, 0), Point(3, 4), Point(0, 0)]), 12.0)

    def test_midpoint_lies_halfway_along_not_halfway_across(self):
        # 100 m and 300 m: halfway is 200 m, 100 m into the second part.
        self.assertEqual(midpoint([Point(0, 0), Point(100, 0), Point(100, 300)]), Point(100, 100))

    def test_between(self):
        self.assertEqual(between(Point(0, 0), Point(10, 20), 0.25), Point(2.5, 5.0))

    def test_repeats_go(self):
        self.assertEqual(
            without_repeats([Point(0, 0), Point(0, 0.001), Point(5, 0), Point(5, 0)]),
            [Point(0, 0), Point(5, 0)],
        )


class OffsetTest(unittest.TestCase):
    corner = [Point(0, 0), Point(100, 0), Point(100, 100)]

    def assertLine(self, got, want):
        self.assertEqual(len(got), len(want))
        for g, w in zip(got, want):
            self.assertAlmostEqual(g.x, w[0], places=9)
            self.assertAlmostEqual(g.y, w[1], places=9)

    def test_inside_of_a_right_angle(self):
        inside = offset(self.corner, 10)
        self.assertLine(inside, [(0, 10), (90, 10), (90, 100)])
        self.assertAlmostEqual(length(inside), 180.0)

    def test_outside_of_a_right_angle(self):
        outside = offset(self.corner, -10)
        self.assertLine(outside, [(0, -10), (110, -10), (110, 100)])
        self.assertAlmostEqual(length(outside), 220.0)

    def test_straight_on(self):
        self.assertLine(offset([Point(0, 0), Point(50, 0), Point(100, 0)], 7), [(0, 7), (50, 7), (100, 7)])

    def test_nothing_to_move(self):
        self.assertEqual(offset(self.corner, 0.0), self.corner)

    def test_sharp_corner_is_cut_back(self):
        # East, then back to the west by a degree: the mitre would lie 10/sin(0.5
        # degree) = 1146 m away; twice the offset is the limit.
        turn = math.radians(179)
        line = [Point(0, 0), Point(100, 0), Point(100 + 100 * math.cos(turn), 100 * math.sin(turn))]
        vertex = offset(line, -10)[1]
        self.assertAlmostEqual(math.hypot(vertex.x - 100, vertex.y), 20.0)

    def test_turning_back_has_no_mitre(self):
        self.assertLine(offset([Point(0, 0), Point(100, 0), Point(0, 0)], 10), [(0, 10), (100, 10), (0, -10)])


if __name__ == "__main__":
    unittest.main()
