"""Calibrations: scores of honest models, and what they say about another model's score. Torch-free.

`file` is the file, `schema` its schema, `pvalue` tells where it applies and gives the p-value,
`engine` which code inspects. How honest models are made is `inspector.reference.benign_models`'s,
how they are inspected `inspector.reference.bank`'s.
"""

from inspector.calibration.engine import identity
from inspector.calibration.file import (
    Calibration,
    ClassNames,
    Probes,
    Weights,
    load,
    made,
    method_of,
    save,
)
from inspector.calibration.pvalue import (
    Applied,
    Inspected,
    found,
    p_value,
)
from inspector.calibration.rates import Measured, error_rates
from inspector.calibration.schema import FEWEST, Method
from inspector.profiles import statistic_of

__all__ = [
    "FEWEST",
    "Applied",
    "Calibration",
    "ClassNames",
    "Inspected",
    "Measured",
    "Method",
    "Probes",
    "Weights",
    "error_rates",
    "found",
    "identity",
    "load",
    "made",
    "method_of",
    "p_value",
    "save",
    "statistic_of",
]
