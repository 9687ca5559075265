"""The OpenAPI document and ``/docs``, a page made of it. Knows routes by what they declare."""

from app.description.document import describe
from app.description.page import HEADERS, render

__all__ = ["HEADERS", "describe", "render"]
