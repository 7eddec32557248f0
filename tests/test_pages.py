"""The pages in a real browser: with the keyboard alone, on a phone, in the dark, without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyotp
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.chromium import check_page, url_of
from tests.web import PASSWORD, Client, add_person, pass_time, wind_back

if TYPE_CHECKING:
    from ca.services import Services
    from tests.chromium import Chromium


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

    pass_time(site, 5)  # or the app could be as old as the password's proof, and be asked for
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
