"""The page as a browser shows it: offline, accessible, wide and on a phone, light and dark.

Runs where a Chromium and the packages of the extra ``browser`` are (`make test-page`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from analysis import open_study
from analysis.report import write_report
from tests import sample

api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

WIDTHS = {"page": 1280, "phone": 390}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = sample.make(tmp_path_factory.mktemp("sample"))
    return write_report(open_study(folder)).page.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(
    params=[
        ("page", "light"),
        ("phone", "dark"),
        *(
            pytest.param(one, marks=pytest.mark.long)
            for one in (("page", "dark"), ("phone", "light"))
        ),
    ],
    ids=str,
)
def shown(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """The page as shown, with what it asked for and what the browser complained of."""
    size, scheme = request.param
    # the page forbids scripts; the checker is one
    context = browser.new_context(
        offline=True, bypass_csp=True, color_scheme=scheme,
        viewport={"width": WIDTHS[size], "height": 900},
    )  # fmt: skip
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("console", lambda said: page.complaints.append(said.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(address)
    yield page
    context.close()


def test_the_page_is_whole_without_a_network_and_asks_for_nothing(shown: Any, address: str) -> None:
    assert shown.asked[0] == address
    assert all(url.startswith("data:") for url in shown.asked[1:])
    assert shown.complaints == []
    widths = shown.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    assert len(widths) > 8
    assert min(widths) > 0


def test_the_page_passes_the_accessibility_check(shown: Any) -> None:
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = axe.Axe().run(shown).response["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_nothing_but_figures_and_tables_is_wider_than_the_screen(shown: Any) -> None:
    whole, screen = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert whole <= screen
    # a figure is wider than a phone, to be read, and moves within its frame
    for left, width in shown.eval_on_selector_all(
        "figure .pan", "all => all.map(one => [one.scrollWidth, one.clientWidth])"
    ):
        assert width <= screen
        assert left >= min(width, 300)
