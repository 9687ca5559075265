"""Vendors of families besides CoCoOp, on the same tasks, pictures, attacks and gate.

`family` says what a vendor is, one module tunes and saves each family, `build` makes one model,
`python -m tests.zoo.vendors` many.
"""
