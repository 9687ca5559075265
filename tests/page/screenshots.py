"""`make screenshots`: the page of every stored inspection as a person sees it, and what axe-core says.

Debian's Chromium draws each page wide, narrow, dark and as print; axe-core looks for what keeps
people from reading it. Fails if there is anything serious or critical, if a page loads anything, or
if page one does not fit on one sheet of A4. Needs requirements-pages.txt and `chromium`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, sync_playwright

from inspector.page import Sources, render
from tests.page.stored import NAMES, Stored

WIDE, NARROW = {"width": 1100, "height": 1400}, {"width": 380, "height": 800}
VIEWS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": WIDE},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow": {"viewport": NARROW},
}
A4_HEIGHT = 1123 - 2 * 42
"""CSS pixels between the margins that the style sets."""
SERIOUS = {"serious", "critical"}


def look(browser: Browser, file: Path, out: Path) -> Iterator[str]:
    """Pictures of one page; a line for everything that is wrong with it."""
    for view, options in VIEWS.items():
        context = browser.new_context(java_script_enabled=True, **options)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", partial(_note, asked))
        page.goto(file.as_uri())
        page.screenshot(path=out / f"{file.stem}-{view}.png", full_page=True)
        yield from (f"{file.stem} {view}: loads {url[:80]}" for url in _others(asked, file))
        if page.evaluate("[...document.images].some(one => !one.naturalWidth)"):
            yield f"{file.stem} {view}: a picture is broken"
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            yield f"{file.stem} {view}: wider than the window"
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        yield from (f"{file.stem} {view}: {line}" for line in violations(page))
        context.close()
    yield from _print(browser, file, out)


def _note(asked: list[str], request: Request) -> None:
    asked.append(request.url)


def _others(asked: list[str], file: Path) -> list[str]:
    return [url for url in asked if url != file.as_uri() and not url.startswith("data:")]


def violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


def _print(browser: Browser, file: Path, out: Path) -> Iterator[str]:
    """A PDF, and whether page one fits on its first sheet."""
    context = browser.new_context(viewport={"width": 794 - 2 * 49, "height": A4_HEIGHT})
    page = context.new_page()
    page.goto(file.as_uri())
    page.emulate_media(media="print")
    height = page.evaluate("document.getElementById('page-one').getBoundingClientRect().bottom")
    if height > A4_HEIGHT:
        yield f"{file.stem}: page one is {height:.0f} pixels high, a sheet has {A4_HEIGHT}"
    page.screenshot(path=out / f"{file.stem}-print.png")
    page.pdf(path=out / f"{file.stem}.pdf", prefer_css_page_size=True, print_background=True)
    context.close()


def crowded() -> str:
    """A page whose names and sentences are all far too long."""
    stored, words = Stored("repaired"), "words " * 400
    report, record = stored.report, stored.record
    for part in ("artifact", "target"):
        report[part]["name"] = words
    report["backbone"]["id"] = report["limits"][0] = words
    finding = {"id": "x", "severity": "high", "message": words, "remedy": words}
    rate = {"count": 1, "of": 200, "low": 0.0, "high": 0.03}
    report |= {
        "findings": [finding] * 5,
        "engine": {"version": "0.1.0", "sha256": "a" * 64, "rule": words},
        "error_rates": {"basis": words, "false_alarms": rate, "misses": rate},
    }
    record["labels"] = dict.fromkeys(("vendor", "requested_by", "a", "b", "c"), words)
    return render(Sources(json.dumps(report), record, stored.fetch))


WITHOUT_REPORT: dict[str, dict[str, Any]] = {
    "failed": {"error": {"code": "worker_lost", "message": "3 workers died while they had it"}},
    "canceled": {},
    "expired": {},
    "running": {"stage": "inversion", "finished_at": None},
}


def without_report(status: str) -> str:
    """The page of an inspection that ended so, or has not ended."""
    nothing = {"verdict": None, "result": None, "summary": None}
    record = Stored("clean").record | nothing | {"status": status} | WITHOUT_REPORT[status]
    return render(Sources(None, record, lambda _: None))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=[*NAMES, *WITHOUT_REPORT])
    given = parser.parse_args(arguments)
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        print("there is no chromium; on Debian: apt-get install chromium", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name in given.names:
            file = (given.out / f"{name}.html").resolve()
            text = without_report(name) if name in WITHOUT_REPORT else Stored(name).page()
            file.write_text(text, "utf-8")
            wrong += look(browser, file, given.out)
        file = (given.out / "crowded.html").resolve()
        file.write_text(crowded(), "utf-8")
        wrong += _print(browser, file, given.out)
        browser.close()
    print(json.dumps({"pages": given.names, "wrong": wrong}, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
