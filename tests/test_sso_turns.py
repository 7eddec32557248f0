"""One organization's slow provider: it holds up neither the others' people, nor a worker."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from ca.identity.sso import fetch, logins, turns
from ca.identity.sso.client import DISCOVERY, discover
from ca.identity.sso.fetch import NotReached
from ca.identity.sso.networks import Networks
from ca.identity.sso.turns import Busy, Turns
from tests.directory import ACME, OTHER, apply_text
from tests.providers import NETWORKS, OpenIDProvider, a_provider, register
from tests.web import Browser

if TYPE_CHECKING:
    from ca.services import Services


@pytest.mark.attack(137)
def test_a_slow_provider_holds_up_its_own_people_alone(
    sso_acme: Services, provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.3)
    apply_text(sso_acme.engine, ACME + OTHER)
    engine, networks = sso_acme.engine, Networks(NETWORKS)
    site = logins.Site(engine, sso_acme.keys.seal, networks, sso_acme.settings.issuer)
    go_on = threading.Event()

    def late() -> tuple[int, dict[str, str], bytes]:
        go_on.wait(30)
        return 200, {}, json.dumps(provider.discovery()).encode()

    provider.answers = {DISCOVERY: late}
    register(sso_acme, provider)
    with a_provider() as others, ThreadPoolExecutor(20) as pool:
        register(sso_acme, others, "other", "other")
        asked = [pool.submit(logins.begin, site, "acme", 0, 0) for _ in range(20)]
        given_up = list(islice(as_completed(asked), 20 - turns.MAX_OF_ONE))
        page = Browser(sso_acme).get("/login/sso/acme")
        elsewhere = logins.begin(site, "other", 0, 0)
        go_on.set()
    for thread in threading.enumerate():  # it gives back the turn that it was given here
        if thread.name.startswith("lookup of "):
            thread.join(10)
        answered = [one for one in asked if one not in given_up]

        assert all(isinstance(one.exception(), Busy) for one in given_up)
        assert all(one.result()[0].slug == "acme" for one in answered)
    assert elsewhere[1].startswith(others.url)
    assert page.status_code == 503
    assert "Too many people are logging in by this single sign-on provider" in page.text
    assert logins.begin(site, "acme", 0, 0), "and then there are turns again"


def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 60)
    monkeypatch.setattr(turns, "MAX_AT_ONCE", 0)  # nobody's turn comes
    monkeypatch.setattr(turns, "MAX_WAITING_IN_ALL", 0)
    with pytest.raises(Busy), Turns().of("an organization"):
        pass


@pytest.mark.attack(137)
def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "DEADLINE", 0.3)
    monkeypatch.setattr(fetch, "_lookups", threading.BoundedSemaphore(1))
    go_on, asked = threading.Event(), list[str]()

    def silent(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        go_on.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    for host in ("slow.example", "slower.example"):
        with pytest.raises(NotReached):
            discover(Networks(), f"https://{host}")

    assert not go_on.is_set()
    assert asked == ["slow.example"], "the other would have been one too many"
    go_on.set()
    for thread in threading.enumerate():  # it gives back the turn that it was given here
        if thread.name.startswith("lookup of "):
            thread.join(10)


@pytest.mark.attack(137)
def test_who_opens_its_page_again_and_again_asks_it_once_a_minute(
    sso_acme: Services, provider: OpenIDProvider
) -> None:
    site = logins.Site(
        sso_acme.engine, sso_acme.keys.seal, Networks(NETWORKS), sso_acme.settings.issuer
    )
    register(sso_acme, provider)
    asked, at = list[str](), 1_000_000

    def counted() -> tuple[int, dict[str, str], bytes]:
        asked.append(DISCOVERY)
        return 200, {}, json.dumps(provider.discovery()).encode()

    provider.answers = {DISCOVERY: counted}

    for now in (at, at + 1, at + 59):
        logins.begin(site, "acme", 0, now)
    assert len(asked) == 1
    logins.begin(site, "acme", 0, at + 60)
    logins.begin(site, "acme", 0, at)  # the clock was set back
    assert len(asked) == 3


def test_a_lookup_that_cannot_begin_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(fetch.MAX_LOOKUPS + 1):
            with pytest.raises(NotReached) as refused:
                discover(Networks(), "https://id.example")
            assert "no thread" in str(refused.value.__cause__)
