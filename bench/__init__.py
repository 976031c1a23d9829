"""Measurements, as ratios against a rival in one run; not part of the tests."""
