"""A real OpenID provider and a real browser: from the terminal's link to what the token says."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import insert

from ca.store.directory import find_organization
from ca.store.engine import writing
from ca.store.tables import members
from tests.chromium import check_page, url_of
from tests.directory import ACME, apply_text
from tests.oauth import claims_of
from tests.providers import NETWORKS, OpenIDProvider, register
from tests.web import PASSWORD, Client, add_person, listening, wind_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.services import Services
    from tests.chromium import Chromium

FOLDER = Path(__file__).parent / "provider"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    with listening(tmp_path, networks=NETWORKS) as services:
        apply_text(services.engine, ACME)
        yield services


@pytest.fixture
def real(site: Services) -> Iterator[OpenIDProvider]:
    """The npm package `oidc-provider`, registered as acme's."""
    assert (FOLDER / "node_modules" / "oidc-provider").is_dir(), "run scripts/setup"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    back = f"{site.settings.issuer}/login/sso/acme/back"
    process = subprocess.Popen(
        ["node", "provider.mjs", str(port), back],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "listening\n"
    known = OpenIDProvider(f"http://127.0.0.1:{port}")
    register(site, known)
    yield known
    process.terminate()
    process.wait(timeout=20)
    process.stdout.close()


@pytest.fixture
def chromium(scripted: Chromium) -> Chromium:
    return scripted


def log_in_there(chromium: Chromium, name: str) -> None:
    """Type a name and a password at the provider, and agree to be told of to us."""
    chromium.wait(lambda: chromium.driver.find_elements(By.NAME, "login"))
    chromium.driver.find_element(By.NAME, "login").send_keys(name)
    chromium.driver.find_element(By.NAME, "password").send_keys("any" + Keys.ENTER)
    chromium.wait(
        lambda: not chromium.driver.find_elements(By.NAME, "login") and chromium.driver.title
    )
    for button in chromium.driver.find_elements(By.CSS_SELECTOR, "button[autofocus]"):
        if button.text == "Continue":
            button.click()


def test_single_sign_on_in_a_browser(
    site: Services, real: OpenIDProvider, chromium: Chromium
) -> None:
    dora = add_person(site, "dora", app=True)
    with writing(site.engine) as connection:
        acme = find_organization(connection, "acme")
        assert acme
        values = {"organization_id": acme.id, "user_id": dora.id, "role": "viewer"}
        connection.execute(insert(members).values(values))
    client = Client(site)
    issuer = site.settings.issuer
    host = real.url.removeprefix("http://")

    # Not linked yet: she is told what to do, and does it.
    chromium.open(url_of(site, client, amr="sso:acme mfa"))
    check_page(chromium, 1280, dark=False)
    chromium.press(f"Continue to {host}")
    log_in_there(chromium, "dora-at-work")
    chromium.wait(lambda: "is not linked to an account here" in chromium.text)
    chromium.press("Link it")
    chromium.type("dora" + Keys.TAB)
    chromium.enter(PASSWORD)
    wind_back(site, dora)
    chromium.enter(dora.code())
    for width, dark in ((1280, False), (390, True)):
        chromium.size(width, dark=dark)
        chromium.wait(lambda: chromium.driver.execute_script("return innerWidth") == width)  # noqa: B023
        check_page(chromium, width, dark=dark)
    chromium.open(f"{issuer}/security/sso")
    chromium.press("Link")
    assert f"Continue to {host}" in chromium.text
    chromium.press(f"Continue to {host}")
    chromium.wait(lambda: "dora-at-work" in chromium.text)

    # A login by the provider and her app, which is `mfa`; the provider still knows her.
    chromium.open(url_of(site, client, prompt="login", amr="sso:acme mfa"))
    chromium.press(f"Continue to {host}")
    log_in_there(chromium, "dora-at-work")
    chromium.wait(lambda: "Enter your code" in chromium.text)
    wind_back(site, dora)
    chromium.enter(dora.code())
    chromium.press("Allow")
    code = re.findall(r"code=([\w-]+)", chromium.driver.current_url)[0]
    said = claims_of(client.exchange(code).json()["access_token"])
    assert said["amr"] == ["mfa", "otp", "sso:acme"]
    assert said["sub"] == dora.id

    chromium.open(f"{issuer}/security/sso")
    chromium.press("Unlink")
    assert "Log in" in chromium.text, "what rests on it is over"
    # The provider's own pages want a font from elsewhere.
    ours = [one for one in chromium.complaints() if issuer in one or "Security Policy" in one]
    assert ours == []
