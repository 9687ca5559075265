"""Benign prompt tuning: references (clean twins), calibration and repair."""
