"""Fuzz targets of the reader: what it must hold on any bytes, and mutations that reach far.

One module per target (:mod:`~tests.fuzz.pickles`, :mod:`~tests.fuzz.zips`,
:mod:`~tests.fuzz.headers`, :mod:`~tests.fuzz.readers`). ``python -m tests.fuzz`` runs one of them
under atheris; ``test_smoke`` runs all of them without it, on fixed random numbers.
"""
