"""The pages in a real browser: with the keyboard alone, on a phone, in the dark, without scripts."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.web import ISSUER, PASSWORD, Client, add_person, listening, wind_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

    from ca.services import Services

CHROMIUM = "/usr/bin/chromium"
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


@dataclass
class Chromium:
    """A browser whose owner has only a keyboard."""

    driver: webdriver.Chrome

    def type(self, keys: str) -> None:
        """Into whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(keys)

    def tab_to(self, text: str) -> None:
        """Move the focus until it is on the control with this text."""
        for _ in range(30):
            focused = self.driver.switch_to.active_element
            if focused.tag_name != "body" and focused.text == text:
                return
            self.type(Keys.TAB)
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
        from selenium.common.exceptions import WebDriverException

        try:
            state: str = self.driver.execute_script("return document.readyState")
        except WebDriverException:  # between two pages
            return False
        return state == "complete"

    def wait(self, condition: Any) -> None:
        """Until it holds; what it looks at may be of a page that goes just then."""
        from selenium.common.exceptions import StaleElementReferenceException

        ignored = [StaleElementReferenceException]
        waiting = WebDriverWait(self.driver, PATIENCE, 0.05, ignored_exceptions=ignored)
        waiting.until(lambda _: condition())


def _is_gone(page: WebElement) -> bool:
    from selenium.common.exceptions import StaleElementReferenceException, WebDriverException

    try:
        page.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException:  # between two pages
        return True
    return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    with listening(tmp_path) as services:
        yield services


@contextmanager
def opened(preferences: dict[str, int]) -> Iterator[Chromium]:
    """A browser whose owner prefers this."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    yield Chromium(driver)
    driver.quit()


@pytest.fixture
def chromium() -> Iterator[Chromium]:
    # No page but those for keys needs a script: whoever has them switched off gets in as well.
    with opened({"profile.managed_default_content_settings.javascript": 2}) as browser:
        yield browser


def url_of(site: Services, client: Client, **parameters: str) -> str:
    return client.url(**parameters).replace(ISSUER, site.settings.issuer)


def test_a_login_and_an_app_with_the_keyboard_alone(site: Services, chromium: Chromium) -> None:
    alice = add_person(site, "alice")
    client = Client(site)
    chromium.open(url_of(site, client))
    chromium.type("alice" + Keys.TAB)
    chromium.enter("not my password at all")
    assert "do not belong together" in chromium.text
    assert chromium.driver.title == "Error: Log in · amrgate"
    wrong = chromium.driver.switch_to.active_element
    assert wrong.accessible_name == "Password"
    assert wrong.get_attribute("aria-invalid") == "true"
    message = chromium.driver.find_element(By.ID, str(wrong.get_attribute("aria-describedby")))
    assert "do not belong together" in message.text
    chromium.enter(PASSWORD)
    assert "Is it you who logs in to" in chromium.text
    assert "http://127.0.0.1:5000" in chromium.text

    chromium.press("use another account")
    assert chromium.driver.title == "Log in · amrgate"
    chromium.type("alice" + Keys.TAB)
    chromium.enter(PASSWORD)
    chromium.press("Allow")  # its port is closed here, but the browser was let go there
    back = chromium.driver.current_url
    assert back.startswith("http://127.0.0.1:5000/?code=")
    code = re.findall(r"code=([\w-]+)", back)[0]
    assert client.exchange(code).status_code == 200

    chromium.open(f"{site.settings.issuer}/security")
    chromium.press("Set up application")
    picture = chromium.driver.find_element(By.TAG_NAME, "img")
    assert picture.size["width"] > 200
    assert picture.get_property("naturalWidth") != 0, "the policy lets it be shown"
    secret = str(chromium.driver.find_element(By.NAME, "secret").get_attribute("value"))
    chromium.enter(pyotp.TOTP(secret).now())
    assert len(chromium.driver.find_elements(By.CSS_SELECTOR, ".codes li")) == 10
    for answered in ("codes", "application/remove"):
        chromium.open(f"{site.settings.issuer}/security/{answered}")
        assert chromium.driver.title == "Security · amrgate"

    chromium.press("Log out")
    chromium.press("Log out")
    alice.secret = secret
    wind_back(site, alice)
    chromium.open(url_of(site, Client(site), amr="mfa"))
    chromium.type("alice" + Keys.TAB)
    chromium.enter(PASSWORD)
    assert "Enter your code" in chromium.text
    chromium.enter(alice.code())
    assert "Is it you who logs in to" in chromium.text
    assert chromium.complaints() == []


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (390, False), (320, True)], ids=["wide", "phone", "dark"]
)
def test_pages_fit_and_can_be_read(
    site: Services, chromium: Chromium, width: int, *, dark: bool
) -> None:
    add_person(site, "alice")
    chromium.size(width, dark=dark)
    issuer = site.settings.issuer
    login = url_of(site, Client(site))
    chromium.open(login)
    pages = [chromium.driver.title]
    check_page(chromium, width, dark=dark)
    chromium.open(login)
    chromium.type("alice" + Keys.TAB)
    chromium.enter(PASSWORD)
    for url in ("", "/security", "/security/application", "/logout", "/consent?for=x"):
        if url:
            chromium.open(issuer + url)
        pages.append(chromium.driver.title)
        check_page(chromium, width, dark=dark)
    assert len(set(pages)) == 6, pages
    assert chromium.complaints() == []


def check_page(chromium: Chromium, width: int, *, dark: bool) -> None:
    """Nothing sticks out, each field has a name, and text stands out from its ground."""
    title = chromium.driver.title
    body = chromium.driver.find_element(By.TAG_NAME, "body")
    for element in chromium.driver.find_elements(By.CSS_SELECTOR, "main *, header *"):
        box = element.rect
        assert box["x"] >= 0, title
        assert box["x"] + box["width"] <= width, f"{title}: {element.tag_name} {element.text}"
    for field in chromium.driver.find_elements(By.CSS_SELECTOR, "input:not([type=hidden]), select"):
        assert field.accessible_name, title
    for control in chromium.driver.find_elements(By.CSS_SELECTOR, "button, .button"):
        assert control.rect["height"] >= 44, f"{title}: {control.text}"
    ground = luminance(body.value_of_css_property("background-color"))
    assert (ground < 0.5) is dark, "the style is not there"
    for text in chromium.driver.find_elements(By.CSS_SELECTOR, "h1, p, dt, dd, label, .name"):
        if text.is_displayed():
            ink = luminance(text.value_of_css_property("color"))
            assert contrast(ink, ground) >= 4.5, f"{title}: {text.text}"
    check_focus(chromium)


def check_focus(chromium: Chromium) -> None:
    """The Tab key reaches every control, and one sees where it is."""
    title = chromium.driver.title
    controls = chromium.driver.find_elements(By.CSS_SELECTOR, "a, button, input, select, summary")
    missed = {control.id for control in controls if control.is_displayed()}
    for _ in range(len(controls) + 2):  # the page itself is one of the stops
        for focused in chromium.driver.find_elements(By.CSS_SELECTOR, "body :focus"):
            missed.discard(focused.id)
            outline = [
                focused.value_of_css_property(f"outline-{one}") for one in ("style", "width")
            ]
            assert outline == ["solid", "3px"], (title, focused.tag_name, focused.text)
        chromium.type(Keys.TAB)
    assert missed == set(), title


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2) of `rgba(…)`."""
    parts = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
