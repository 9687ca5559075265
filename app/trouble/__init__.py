"""A problem document as a page, for a person who opened a link: what is wrong, and what to do.

Knows the document and its codes, no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.html import pages_of, policy_of

_pages = pages_of("app.trouble", "trouble.css")
HEADERS = {
    "Content-Security-Policy": policy_of(_pages.style),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BY_CODE = {
    "not_ready": "Wait until the inspection has ended, and load this page again.",
    "no_verdict": "There is nothing to print. The link that ends in report.html says what happened "
    "and what to do.",
    "pdf_not_installed": "Open the link that ends in report.html instead, and print it: it is the "
    "same page. Or ask whoever runs the service to install the extra.",
}
_BY_STATUS = {
    401: "The service has to know who asks, and a browser does not tell it. Ask whoever sent the "
    "link for the page as a file; whoever has the token saves it with curl --fail -OH "
    "'Authorization: Bearer TOKEN' and this address.",
    404: "Check that the whole link was copied. If it was right once, the inspection has been "
    "deleted since: ask whoever sent the link for a copy, or have the file inspected again.",
    422: "Leave out what stands behind the question mark of the address.",
    503: "Load this page again in a few seconds.",
}
_ELSE = "Load this page again. If it is no better, tell whoever runs the service the request below."


def render(problem: Mapping[str, Any]) -> str:
    """The page of one problem document (:class:`app.documented.Problem`)."""
    action = _BY_CODE.get(problem["code"]) or _BY_STATUS.get(problem["status"], _ELSE)
    return _pages.templates.get_template("trouble.html").render(
        problem=problem, action=action, style=_pages.style
    )
