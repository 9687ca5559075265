"""Pages of our own: escaped templates, one style inside, and a policy that lets them load nothing.

Knows no page; each package keeps its templates.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined


def policy_of(style: str, *more: str) -> str:
    """The Content-Security-Policy of a page with this one style; ``more`` is allowed besides."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = ["default-src 'none'", *more, f"style-src 'sha256-{digest}'"]
    denied = ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    return "; ".join([*allowed, *denied])


@dataclass(frozen=True, slots=True)
class Pages:
    """Templates of one package, and the style that all of them carry."""

    templates: Environment
    style: str


def pages_of(package: str, style: str) -> Pages:
    """The pages of ``package``, whose templates lie in its folder of that name."""
    templates = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Pages(templates, templates.get_template(style).render())
