"""Which tests one process runs together, when several processes share them (`make test`)."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # Before the plugin reads the marks.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files stay whole, as their fixtures are shared; so does the corpus, which is read only once."""
    for item in items:
        place = item.path.relative_to(ROOT)
        group = place.parts[0] if place.parts[0] == "hostile" else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
