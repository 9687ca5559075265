"""Benign prompt tuning: honest prompts for calibration, and repair."""
