"""The page of the device grant in a real browser, with the keyboard alone and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from tests.chromium import check_page, url_of
from tests.devices import Machine
from tests.oauth import claims_of
from tests.web import PASSWORD, Client, add_person, pass_time, wind_back

if TYPE_CHECKING:
    from ca.services import Services
    from tests.chromium import Chromium
    from tests.web import Person


def log_in(site: Services, chromium: Chromium, person: Person) -> None:
    chromium.type(person.username + Keys.TAB)
    chromium.enter(PASSWORD)
    wind_back(site, person)
    chromium.enter(person.code())


@pytest.mark.attack(107)
def test_a_device_from_its_code_to_its_tokens(site: Services, chromium: Chromium) -> None:
    bob = add_person(site, "bob", app=True)
    machine = Machine(site)
    code = machine.ask(amr="mfa", max_age="300")
    chromium.open(f"{machine.asked['verification_uri']}?user_code={code}")
    log_in(site, chromium, bob)
    assert chromium.driver.title == "Connect a device · amrgate"
    typed = chromium.driver.switch_to.active_element
    assert typed.accessible_name == "Code"
    assert typed.get_attribute("value") == "", "nothing but a hand fills it in"
    chromium.enter("BBBB-BBBB")
    assert chromium.driver.title == "Error: Connect a device · amrgate"
    assert "No device waits with this code" in chromium.text
    wrong = chromium.driver.switch_to.active_element
    assert wrong.get_attribute("aria-invalid") == "true"
    chromium.type(Keys.CONTROL + "a")
    chromium.enter(code.lower())
    for shown in (
        "Does your device show this code?",
        code,
        "203.0.113.9",
        "<b>(bold)</b>",
        "by more than one factor, not older than 5 minutes",
    ):
        assert shown in chromium.text
    chromium.press("Allow")
    assert "Your device is logged in" in chromium.text
    claims = claims_of(machine.poll().json()["access_token"])
    assert (claims["via"], claims["amr"]) == ("device", ["mfa", "otp", "pwd"])

    # Later another one, which asks for a younger login than there is; and she says no.
    pass_time(site, 400)
    code = machine.ask(max_age="60")
    chromium.open(f"{site.settings.issuer}/device")
    chromium.enter(code)
    assert "Log in again" in chromium.text
    assert "to continue to amrgate" in chromium.text
    chromium.enter(PASSWORD)
    wind_back(site, bob)
    chromium.enter(bob.code())
    chromium.press("Deny")
    assert "The device was refused" in chromium.text
    assert machine.outcome() == "access_denied"
    assert chromium.complaints() == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=["wide", "phone"])
def test_the_pages_fit_and_can_be_read(
    site: Services, chromium: Chromium, width: int, *, dark: bool
) -> None:
    bob = add_person(site, "bob", app=True)
    machine = Machine(site)
    machine.http.headers["user-agent"] = "x" * 255
    code = machine.ask(amr="mfa", max_age="300")
    chromium.size(width, dark=dark)
    chromium.open(f"{site.settings.issuer}/device")
    log_in(site, chromium, bob)
    titles = [chromium.driver.title]
    check_page(chromium, width, dark=dark)
    for typed in ("BBBB-BBBB", code):
        chromium.open(f"{site.settings.issuer}/device")
        chromium.enter(typed)
        titles.append(chromium.driver.title)
        check_page(chromium, width, dark=dark)
    chromium.press("Allow")
    titles.append(chromium.driver.title)
    check_page(chromium, width, dark=dark)
    assert len(set(titles)) == 4, titles
    assert chromium.complaints() == []


@pytest.mark.parametrize("prompt", ["login", "consent select_account"])
def test_a_prompt_asks_for_every_factor_again(
    site: Services, chromium: Chromium, prompt: str
) -> None:
    bob = add_person(site, "bob", app=True)
    chromium.open(f"{site.settings.issuer}/security")
    log_in(site, chromium, bob)
    for asked, title in (("consent", "Allow access"), (prompt, "Log in")):
        chromium.open(url_of(site, Client(site), prompt=asked))
        assert chromium.driver.title == f"{title} · amrgate"
    log_in(site, chromium, bob)
    assert "Is it you who logs in to" in chromium.text
