"""A browser for the tests of the page. It records what a page must not do: errors, and requests to
other hosts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from own_server import OwnServer

# Without these, Chromium also calls hosts of its own.
QUIET = ["disable-gpu", "no-first-run", "disable-background-networking", "disable-sync"]
HTTP = ("--http", "127.0.0.1:0")
HOSTILE = "</script><img src=x onerror=alert(1)>"
DESKTOP, PHONE, NARROW = (1280, 900), (390, 844), (320, 640)
# What the browser itself says about a request that gets an error status or no answer.
REFUSED = "Failed to load resource: "


class Browser:
    def __init__(self, started: Any) -> None:
        self._started = started

    @contextmanager
    def page(
        self, url: str, size: tuple[int, int] = DESKTOP, *, is_refused: bool = False, **options: Any
    ) -> Iterator[Any]:
        """A page at `url`. `is_refused`: some of its requests get an error status or no answer."""
        viewport = {"width": size[0], "height": size[1]}
        context = self._started.new_context(viewport=viewport, **options)
        page = context.new_page()
        page.set_default_timeout(15000)
        problems: list[str] = []
        hosts: set[str] = set()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.goto(url)
        try:
            yield page
            if is_refused:
                problems = [text for text in problems if not text.startswith(REFUSED)]
            assert not problems
            assert hosts - {""} == {url.split("/")[2]}  # data: has no host
        finally:
            context.close()


@contextmanager
def start_browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    arguments = [f"--{name}" for name in (*QUIET, "no-sandbox")]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=arguments)
        yield Browser(browser)
        browser.close()


def url(server: OwnServer) -> str:
    return server.at["http"] + "/"


def predict(page: Any) -> str:
    """Presses the button. Returns what the status then says."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.click("#send")
    page.wait_for_selector("#status:not(:empty)")
    return str(page.inner_text("#status"))


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def controls(page: Any) -> list[tuple[str, str]]:
    """Role and name of each control, as a screen reader gets them."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "checkbox", "combobox", "textbox", "tab", "tabpanel", "link", "region"}
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]


def focus_by_tab(page: Any, selector: str) -> None:
    """Presses Tab until the element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def violations(page: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and its own best practices."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]
