"""Debian's Chromium, headless, for tests, benchmarks and pictures of pages."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--force-color-profile=srgb",
)


def why_not() -> str | None:
    """Why no browser can be driven here; None where one can."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return None if CHROMIUM and DRIVER else "there is no Chromium (apt-get install chromium chromium-driver)"


@contextlib.contextmanager
def opened(width: int = 1280, height: int = 900, *more: str) -> Iterator:
    """A browser with a profile of its own, that logs its console and its requests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(prefix="movie-tags-browser-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in (*OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}", *more):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options, Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def all_of(browser: Any, selector: str) -> Any:
    return browser.find_elements("css selector", selector)


def until(browser: Any, condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until a condition holds; elements that have left the page meanwhile are looked for again."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.03, [StaleElementReferenceException]).until(lambda _: condition())


def said(browser: Any, act: Callable[[], object], seconds: float = 10) -> None:
    """Do something that the review page keeps, and wait for the page as it is with that."""
    browser.execute_script("window.before = true")
    act()
    ready = "return !window.before && document.readyState === 'complete'"
    until(browser, lambda: browser.execute_script(ready), seconds)
