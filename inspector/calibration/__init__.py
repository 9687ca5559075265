"""Calibrations: scores of honest models, and what they say about another model's score. Torch-free.

`form` is the file, `shape` its schema, `fitting` tells where it applies and gives the p-value. How honest models are
made is `inspector.tuning.honest`'s, how they are inspected `inspector.cli.bank`'s.
"""

from inspector.calibration.fitting import (
    Applied,
    Inspected,
    found,
    p_value,
)
from inspector.calibration.form import (
    STATISTIC,
    Calibration,
    ClassNames,
    Weights,
    load,
    made,
    method_of,
    save,
)
from inspector.calibration.shape import FEWEST, Method

__all__ = [
    "FEWEST",
    "STATISTIC",
    "Applied",
    "Calibration",
    "ClassNames",
    "Inspected",
    "Method",
    "Weights",
    "found",
    "load",
    "made",
    "method_of",
    "p_value",
    "save",
]
