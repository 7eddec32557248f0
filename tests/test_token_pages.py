"""The pages about API tokens, in a real browser and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ca.identity import api_tokens
from tests.api_tokens import exchange, is_good
from tests.chromium import check_page
from tests.web import PASSWORD, Browser, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services
    from tests.chromium import Chromium

pytest_plugins = ["tests.web"]


def look(chromium: Chromium) -> None:
    """At the page, on a phone by day and on a screen by night."""
    for width, dark in ((390, False), (1280, True)):
        chromium.size(width, dark=dark)
        check_page(chromium, width, dark=dark)


def look_and_return(chromium: Chromium) -> None:
    """Likewise, and let the focus be where it is on a new page."""
    look(chromium)
    chromium.driver.refresh()


def test_a_token_is_made_shown_once_and_removed_with_the_keyboard_alone(
    site: Services, chromium: Chromium
) -> None:
    add_person(site, "alice")
    chromium.open(f"{site.settings.issuer}/security")
    chromium.type("alice" + Keys.TAB)
    chromium.enter(PASSWORD)
    chromium.press("See your tokens, make or remove one")
    assert "You have none." in chromium.text
    look(chromium)
    chromium.press("Make a token")
    look_and_return(chromium)
    chromium.enter("build <b>server</b>")

    secret = chromium.driver.find_element(By.ID, "token").text
    assert api_tokens.is_well_formed(secret)
    assert "shown only once" in chromium.text
    look(chromium)
    answer = exchange(site, secret)
    assert answer.status_code == 200
    chromium.press("I have copied it")

    assert "build <b>server</b>" in chromium.text
    assert "last used 2" in chromium.text
    assert "may only" not in chromium.text
    assert secret not in chromium.driver.page_source
    look(chromium)
    chromium.press("Make a token")
    chromium.enter("build <b>server</b>")
    assert "There is an API token of this name" in chromium.text
    assert chromium.driver.title.startswith("Error: ")
    look(chromium)
    chromium.press("Cancel")
    chromium.press("Make a token")
    chromium.type("deploys" + Keys.TAB + Keys.TAB + "only get SSH")
    chromium.press("Make token")
    chromium.press("I have copied it")
    assert "deploys" in chromium.text
    assert "may only get SSH certificates · made" in chromium.text
    look(chromium)
    chromium.press("Remove")
    chromium.press("Remove")
    assert "You have none." in chromium.text
    assert not is_good(site, answer.json()["access_token"])
    assert exchange(site, secret).status_code == 400
    assert chromium.complaints() == []


@pytest.mark.attack(202)
def test_an_old_login_is_asked_again_before_the_page_and_before_the_token(
    services: Services,
) -> None:
    alice = add_person(services, "alice", app=True)
    browser = Browser(services)
    browser.log_in(browser.get("/security"), alice)
    assert "Name, to tell" in browser.get("/security/tokens/new").text
    pass_time(services, 700)

    asked = browser.get("/security/tokens/new")
    posted = browser.post("/security/tokens/new", {"name": "late", "days": "7"})

    assert 'action="/login"' in asked.text
    assert 'action="/login"' in posted.text
    page = browser.log_in(asked, alice)
    assert "Name, to tell" in page.text
    assert "You have none." in browser.get("/security/tokens").text


@pytest.mark.parametrize("form", [{"days": "365"}, {"days": ""}, {"days": "7.0"}, {"name": ""}])
def test_what_no_form_of_ours_sends_makes_none(services: Services, form: dict[str, str]) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    browser.log_in(browser.get("/security"), alice)

    page = browser.post("/security/tokens/new", {"name": "mine", "days": "7", **form})

    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert "You have none." in browser.get("/security/tokens").text


def test_another_site_makes_and_removes_none(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    browser.log_in(browser.get("/security"), alice)
    elsewhere = {"origin": "https://evil.example"}

    for path in ("new", "remove"):
        answer = browser.http.post(
            f"/security/tokens/{path}", headers=elsewhere, data={"name": "x"}
        )
        assert answer.status_code == 403
    assert browser.get("/security/tokens/remove").url.path == "/security/tokens"
