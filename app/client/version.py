"""Which client this is. Nothing is imported, so that the build can read it."""

VERSION = "0.1.0"
"""The engine's own: client and service are released together."""
