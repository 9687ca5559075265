"""The HTTP client of the service: what ``submit``, the demo and pipelines use."""

from app.client.api import ApiError, Client, Unreachable

__all__ = ["ApiError", "Client", "Unreachable"]
