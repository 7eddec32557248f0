"""A real browser, one in a test process, whose owner has only a keyboard; and what a page must be."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.web import ISSUER, Client, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

    from ca.services import Services

# The program itself: what is in /usr/bin is a shell, and its end is no end of the browser.
CHROMIUM = "/usr/lib/chromium/chromium-headless-shell"
DRIVER = "/usr/bin/chromedriver"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # as root it has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
PATIENCE = 20  # seconds
LOADED = """
const first = document.querySelector("[autofocus]");
return document.readyState === "complete" && (!first || first === document.activeElement);
"""
FOCUSED_TEXT = """
const one = document.querySelector("body :focus");
return one && one.innerText.trim();
"""
EMPTYING: dict[str, dict[str, list[object]]] = {
    "Network.clearBrowserCookies": {},
    "Network.clearBrowserCache": {},
    "WebAuthn.disable": {},  # virtual keys are gone with it
    "Emulation.clearDeviceMetricsOverride": {},
    "Emulation.setEmulatedMedia": {"features": []},
}
TAB = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
NO_SCRIPTS = ("--blink-settings=scriptEnabled=false",)


@dataclass
class Chromium:
    """A browser whose owner has only a keyboard."""

    driver: webdriver.Chrome

    def type(self, keys: str) -> None:
        """Into whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(keys)

    def tab(self) -> None:
        """Press the Tab key, in a seventh of the time that typing it into an element takes."""
        for kind in ("rawKeyDown", "keyUp"):
            self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, **TAB})

    def tab_to(self, text: str) -> None:
        """Move the focus until it is on the control with this text."""
        for _ in range(30):
            if self.driver.execute_script(FOCUSED_TEXT) == text:
                return
            self.tab()
        raise AssertionError(f"no {text!r} within reach of the keyboard: {self.text}")

    def enter(self, keys: str = "") -> None:
        """Type and press Enter, and wait for the next page."""
        page = self.driver.find_element(By.TAG_NAME, "html")
        self.type(keys + Keys.ENTER)
        self.wait(lambda: _is_gone(page))
        self.wait(self._is_loaded)

    def press(self, text: str) -> None:
        self.tab_to(text)
        self.enter()

    def open(self, url: str) -> None:
        self.driver.get(url)
        self.wait(self._is_loaded)

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def size(self, width: int, *, dark: bool = False) -> None:
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def complaints(self) -> list[str]:
        """What the browser's console says, but for answers that were meant to be errors."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
        messages = [str(entry["message"]) for entry in log]
        return [one for one in messages if "responded with a status of 4" not in one]

    def _is_loaded(self) -> bool:
        """Whether all is there, the focus too: the browser gives it when it first draws a page."""
        try:
            loaded: bool = self.driver.execute_script(LOADED)
        except WebDriverException:  # between two pages
            return False
        return loaded

    def wait(self, condition: Any) -> None:
        """Until it holds; what it looks at may be of a page that goes just then, or between two."""
        ignored = [WebDriverException]
        waiting = WebDriverWait(self.driver, PATIENCE, 0.05, ignored_exceptions=ignored)
        waiting.until(lambda _: condition())


def _is_gone(page: WebElement) -> bool:
    try:
        page.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException:  # between two pages
        return True
    return False


@contextmanager
def _started(more: tuple[str, ...]) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, *more):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def browsers() -> Iterator[Callable[[bool], Chromium]]:
    """A browser with scripts or without, as one that nobody has used yet."""
    with ExitStack() as stack:

        @cache
        def driver(scripts: bool) -> webdriver.Chrome:  # noqa: FBT001 -- the key of a cache
            return stack.enter_context(_started(() if scripts else NO_SCRIPTS))

        yield lambda scripts: _emptied(driver(scripts))


def _emptied(driver: webdriver.Chrome) -> Chromium:
    """Without what it kept, and as it looks by itself."""
    driver.get("about:blank")
    for command, settings in EMPTYING.items():
        driver.execute_cdp_cmd(command, settings)
    chromium = Chromium(driver)
    chromium.complaints()  # and what it said before
    return chromium


@pytest.fixture
def chromium(browsers: Callable[[bool], Chromium]) -> Chromium:
    """Without scripts: no page but those for keys needs one, and who has none gets in as well."""
    return browsers(False)


@pytest.fixture
def scripted(browsers: Callable[[bool], Chromium]) -> Chromium:
    """With scripts."""
    return browsers(True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    with listening(tmp_path) as services:
        yield services


def url_of(site: Services, client: Client, **parameters: str) -> str:
    return client.url(**parameters).replace(ISSUER, site.settings.issuer)


LOOK = """
const found = (selector) => [...document.querySelectorAll(selector)];
const told = (element) => element.tagName + " " + element.textContent.trim().slice(0, 60);
const box = (element) => element.getBoundingClientRect();
return {
    ground: getComputedStyle(document.body).backgroundColor,
    boxes: found("main *, header *").map((one) => [told(one), box(one).left + scrollX, box(one).right + scrollX]),
    heights: found("button, .button").map((one) => [told(one), box(one).height]),
    inks: found("h1, p, dt, dd, label, .name").filter((one) => one.checkVisibility())
        .map((one) => [told(one), getComputedStyle(one).color]),
};
"""
CONTROLS = """
return [...document.querySelectorAll("a, button, input, select, summary")]
    .filter((one) => one.type != "hidden" && one.checkVisibility());
"""
FOCUSED = """
const one = document.querySelector("body :focus"), style = one && getComputedStyle(one);
return one && [one, style.outlineStyle, style.outlineWidth];
"""


def check_page(chromium: Chromium, width: int, *, dark: bool) -> None:
    """Nothing sticks out, each field has a name, and text stands out from its ground."""
    title = chromium.driver.title
    seen = chromium.driver.execute_script(LOOK)
    assert [one for one in seen["boxes"] if one[1] < 0 or one[2] > width] == [], title
    for field in chromium.driver.find_elements(By.CSS_SELECTOR, "input:not([type=hidden]), select"):
        assert field.accessible_name, title
    assert [one for one in seen["heights"] if one[1] < 44] == [], title
    ground = luminance(seen["ground"])
    assert (ground < 0.5) is dark, "the style is not there"
    assert len(seen["inks"]) > 1, title
    assert [one for one in seen["inks"] if contrast(luminance(one[1]), ground) < 4.5] == [], title
    check_focus(chromium)


def check_focus(chromium: Chromium) -> None:
    """The Tab key reaches every control, and one sees where it is."""
    title = chromium.driver.title
    missed = {control.id for control in chromium.driver.execute_script(CONTROLS)}
    for _ in range(len(missed) + 2):  # the page itself is one of the stops
        if focused := chromium.driver.execute_script(FOCUSED):
            control, *outline = focused
            missed.discard(control.id)
            assert outline == ["solid", "3px"], (title, control.tag_name, control.text)
        chromium.tab()
    assert missed == set(), title


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2) of `rgba(…)`."""
    parts = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
