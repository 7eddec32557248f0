"""Passkeys and security keys in a real browser, from the keyboard to the certificate."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sshd_hook import certificate
from tests.chromium import check_page, url_of
from tests.issuing import post
from tests.oauth import claims_of
from tests.web import PASSWORD, Client, add_person, listening, pass_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ca.services import Services
    from tests.chromium import Chromium

PLATFORM = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True}
PASSKEY = PLATFORM | {"hasUserVerification": True, "isUserVerified": True}
SYNCED = PASSKEY | {"defaultBackupEligibility": True, "defaultBackupState": True}
OLD_KEY = {"protocol": "u2f", "transport": "usb"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    with listening(tmp_path, "localhost") as services:
        yield services


@pytest.fixture
def chromium(scripted: Chromium) -> Chromium:
    return scripted


def plug_in(chromium: Chromium, kind: dict[str, Any]) -> None:
    """Give the browser a virtual key that somebody touches whenever it blinks."""
    commands = chromium.driver.execute_cdp_cmd
    commands("WebAuthn.enable", {})
    options = kind | {"automaticPresenceSimulation": True}
    commands("WebAuthn.addVirtualAuthenticator", {"options": options})


def log_in(site: Services, chromium: Chromium) -> None:
    chromium.open(f"{site.settings.issuer}/security")
    chromium.type("alice" + Keys.TAB)
    chromium.enter(PASSWORD)
    pass_time(site, 5)  # or a key could be as old as the password's proof, which then counts


def add_key(chromium: Chromium, name: str) -> None:
    chromium.press("Add a key")
    chromium.enter(name)


def allowed(chromium: Chromium, client: Client) -> str:
    """The access token of the login that the page asks to agree to."""
    chromium.press("Allow")
    code = re.findall(r"code=([\w-]+)", chromium.driver.current_url)[0]
    token: str = client.exchange(code).json()["access_token"]
    return token


def amr_of_certificate(site: Services, token: str) -> str:
    line = post(site, token).json()["certificate"]
    found, _signed, _signature = certificate.parse(binascii.a2b_base64(line.split()[1]))
    return certificate.unwrap(dict(found.extensions)["amr@amrgate"])


def test_a_passkey_with_the_keyboard_alone(site: Services, chromium: Chromium) -> None:
    add_person(site, "alice")
    client = Client(site)
    plug_in(chromium, PASSKEY)
    log_in(site, chromium)
    add_key(chromium, "laptop")
    assert len(chromium.driver.find_elements(By.CSS_SELECTOR, ".codes li")) == 10
    chromium.press("I have kept them")
    assert "laptop" in chromium.text
    assert "never used" in chromium.text
    pass_time(site, 5)

    # Without a name, and one factor that is two.
    chromium.press("Log out")
    chromium.press("Log out")
    chromium.open(url_of(site, client, amr="mfa"))
    chromium.press("Use a passkey")
    token = allowed(chromium, client)
    assert claims_of(token)["amr"] == ["hwk", "mfa"]
    assert amr_of_certificate(site, token) == "hwk,mfa"

    # A step-up: only what is too old is asked for again.
    before = claims_of(token)["auth_time"]
    pass_time(site, 600)
    chromium.open(url_of(site, client, amr="mfa", max_age="300"))
    assert "Log in again" in chromium.text
    chromium.press("Use a passkey")
    token = allowed(chromium, client)
    assert claims_of(token)["amr"] == ["hwk", "mfa"]
    assert claims_of(token)["auth_time"] >= before

    # With name and password, the key is the second factor.
    chromium.open(url_of(site, client, prompt="login"))
    chromium.type("alice" + Keys.TAB)
    chromium.enter(PASSWORD)
    chromium.wait(lambda: chromium.driver.switch_to.active_element.text == "Use key")
    chromium.enter()
    token = allowed(chromium, client)
    assert claims_of(token)["amr"] == ["hwk", "mfa", "pwd"]

    chromium.open(f"{site.settings.issuer}/security")
    assert "last used" in chromium.text
    chromium.press("Remove")
    assert "laptop" not in chromium.text
    assert chromium.complaints() == []


def test_a_synced_passkey_is_not_hardware(site: Services, chromium: Chromium) -> None:
    add_person(site, "alice")
    client = Client(site)
    plug_in(chromium, SYNCED)
    log_in(site, chromium)
    add_key(chromium, "phone")
    pass_time(site, 5)
    chromium.open(url_of(site, client, prompt="login"))
    chromium.press("Use a passkey")
    token = allowed(chromium, client)
    assert amr_of_certificate(site, token) == "mfa,swk"
    chromium.open(url_of(site, client, amr="hwk"))
    assert "no second factor yet that will do" in chromium.text
    assert chromium.complaints() == []


def test_an_old_security_key_takes_the_place_of_a_code(site: Services, chromium: Chromium) -> None:
    add_person(site, "alice")
    client = Client(site)
    plug_in(chromium, OLD_KEY)
    log_in(site, chromium)
    add_key(chromium, "old key")
    pass_time(site, 5)
    chromium.press("I have kept them")
    assert "It began before your key was set up" in chromium.text

    # The present session may be stolen: password and key are asked for, and lift it.
    chromium.open(url_of(site, client, amr="mfa"))
    chromium.enter(PASSWORD)
    chromium.press("Use key")
    token = allowed(chromium, client)
    assert amr_of_certificate(site, token) == "hwk,mfa,pwd"
    assert chromium.complaints() == []


def test_a_key_that_does_not_answer_leaves_other_ways(site: Services, chromium: Chromium) -> None:
    add_person(site, "alice")
    plug_in(chromium, PLATFORM)
    chromium.open(f"{site.settings.issuer}/login")
    chromium.tab_to("Use a passkey")
    chromium.type(Keys.ENTER)
    chromium.wait(lambda: "No key answered. Try again." in chromium.text)
    button = chromium.driver.switch_to.active_element
    assert (button.text, button.is_enabled()) == ("Use a passkey", True)
    log_in(site, chromium)
    add_key(chromium, "laptop")
    chromium.press("I have kept them")
    pass_time(site, 5)
    chromium.open(f"{site.settings.issuer}/security/key")
    chromium.enter(PASSWORD)
    chromium.press("Use key")
    chromium.type("twice" + Keys.ENTER)
    chromium.wait(lambda: "This key is registered already." in chromium.text)
    assert chromium.complaints() == []


def test_without_scripts_the_password_is_left(
    site: Services, browsers: Callable[[bool], Chromium]
) -> None:
    add_person(site, "alice")
    chromium = browsers(False)
    chromium.open(f"{site.settings.issuer}/login")
    assert "Keys need JavaScript" in chromium.text
    assert "Use a passkey" not in chromium.text
    log_in(site, chromium)
    assert "Add a key" in chromium.text
    assert chromium.complaints() == []


def test_pages_with_keys_fit_and_can_be_read(site: Services, chromium: Chromium) -> None:
    add_person(site, "alice")
    plug_in(chromium, PASSKEY)
    issuer = site.settings.issuer

    def check() -> None:
        for width, dark in ((1280, False), (320, True)):
            chromium.size(width, dark=dark)
            chromium.wait(lambda: chromium.driver.execute_script("return innerWidth") == width)  # noqa: B023
            check_page(chromium, width, dark=dark)

    log_in(site, chromium)
    add_key(chromium, "the laptop that I have at work " * 2)
    pass_time(site, 5)
    for path in ("/security", "/login?for=", "/security/key"):
        chromium.open(issuer + path)
        check()
    chromium.open(f"{issuer}/security/key")
    chromium.enter(PASSWORD)
    assert chromium.driver.title == "Use your key · amrgate"
    chromium.tab_to("I do not have my device")
    chromium.type(Keys.ENTER)
    check()
    assert chromium.complaints() == []
