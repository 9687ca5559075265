"""The client's fixtures: a running service and the wheel."""

from tests.client.conftest import checkpoint, service, shelf, wheel

__all__ = ["checkpoint", "service", "shelf", "wheel"]
