"""As little of a search as tests of everything around it need."""

from __future__ import annotations

from inspector.profiles import TwinBudget

SMALL = TwinBudget(leading=4, num_eval=32, screened=2, trial=1, steps=2, finalists=4, batch=4)
