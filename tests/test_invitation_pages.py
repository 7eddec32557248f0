"""An invitation in a real browser: with the keyboard alone, without scripts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from ca.directory import invitations, read
from ca.directory.access import Caller
from ca.store import directory
from ca.store.engine import writing
from tests.chromium import check_page
from tests.directory import ACME, apply_text, log_in
from tests.web import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services
    from tests.chromium import Chromium

PASSPHRASE = "purple umbrella thunder violin"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    with listening(tmp_path) as services:
        apply_text(services.engine, ACME)
        yield services


def link(site: Services, email: str) -> str:
    """The address of an invitation's page."""
    bob = log_in(site, "bob", "pwd")
    with writing(site.engine) as connection:
        directory.lock(connection)
        view = read.organization_for(connection, "acme", bob.user.id)
        assert view
        caller, grants = Caller(bob.user, bob.session, ""), {"abcdefg123456": ["viewer"]}
        now = int(time.time())
        _, token = invitations.invite(connection, view, caller, email, "viewer", grants, now)
    return f"{site.settings.issuer}/invitation?token={token}"


@pytest.mark.parametrize(
    ("width", "dark"), [(390, False), (1280, True)], ids=["phone", "wide, dark"]
)
def test_an_invitation_from_its_link_to_the_login(
    site: Services, chromium: Chromium, width: int, *, dark: bool
) -> None:
    chromium.size(width, dark=dark)
    chromium.open(link(site, "mallory@elsewhere.example"))
    assert "You have an account" in chromium.text
    check_page(chromium, width, dark=dark)

    invited = link(site, "dave@elsewhere.example")
    chromium.open(invited)
    assert "Join Acme Corporation" in chromium.text
    assert "with a role in The shop" in chromium.text
    check_page(chromium, width, dark=dark)
    chromium.open(invited)
    chromium.type(Keys.TAB * 2)
    chromium.type("dave" + Keys.TAB)
    chromium.type("Dave Dunn" + Keys.TAB)
    chromium.enter(PASSPHRASE)
    assert "You have joined Acme Corporation" in chromium.text
    check_page(chromium, width, dark=dark)
    chromium.press("Log in")
    chromium.type("dave" + Keys.TAB)
    chromium.enter(PASSPHRASE)

    assert "Dave Dunn" in chromium.text
    chromium.open(link(site, "somebody@elsewhere.example"))
    assert "This invitation is for another" in chromium.text
    check_page(chromium, width, dark=dark)
    assert chromium.complaints() == []
