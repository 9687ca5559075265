"""Signed verdicts: what an inspection found, as in-toto statements in DSSE envelopes.

The service signs (``service``, ``keyring``), anybody verifies, offline (``verifying``). Importing
this package imports neither.
"""
