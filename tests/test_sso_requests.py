"""What is asked of providers, and where: every place that they, or an admin, may send us to."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ca.identity.sso.client import discover
from ca.identity.sso.fetch import NotReached, get_json, post_form
from ca.identity.sso.networks import Networks, Refused
from tests.providers import NETWORKS, OpenIDProvider, register
from tests.web import Browser, Person

if TYPE_CHECKING:
    from ca.services import Services


@pytest.mark.attack(137)
@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": "https://evil.example"}, id="another issuer"),
        pytest.param({"issuer": None}, id="no issuer"),
        pytest.param({"jwks_uri": "https://evil.example/keys"}, id="keys elsewhere"),
        pytest.param({"token_endpoint": "https://evil.example/token"}, id="tokens elsewhere"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, id="a file"),
        pytest.param({"jwks_uri": "http://169.254.169.254/keys"}, id="the cloud's metadata"),
        pytest.param({"jwks_uri": "http://localhost:1/keys"}, id="localhost"),
        pytest.param({"jwks_uri": 7}, id="no URL"),
    ],
)
def test_metadata_that_lead_elsewhere(provider: OpenIDProvider, metadata: dict[str, Any]) -> None:
    assert discover(Networks(NETWORKS), provider.url).jwks_uri == f"{provider.url}/keys"
    provider.metadata = metadata
    with pytest.raises(NotReached):
        discover(Networks(NETWORKS), provider.url)


@pytest.mark.attack(137)
def test_a_provider_that_cannot_be_asked_leaves_other_ways(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.metadata = {"issuer": "https://evil.example"}
    page = Browser(sso_acme).get("/login/sso/acme")
    assert page.status_code == 503
    assert "Log in another way" in page.text
    assert dora


def _redirect() -> tuple[int, dict[str, str], bytes]:
    return 302, {"location": "/.well-known/elsewhere"}, b""


@pytest.mark.attack(137)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_redirect, id="a redirect"),
        pytest.param(lambda: (200, {}, b"x" * (10 << 20)), id="10 MB"),
        pytest.param(lambda: (200, {}, b"not JSON"), id="not JSON"),
        pytest.param(lambda: (200, {}, b"[]"), id="a list"),
        pytest.param(lambda: (200, {}, b'{"keys":[],"keys":[]}'), id="a name twice"),
        pytest.param(lambda: (500, {}, b"{}"), id="a fault"),
    ],
)
def test_an_answer_that_is_none(provider: OpenIDProvider, answer: Any) -> None:
    networks = Networks(NETWORKS)
    assert get_json(networks, f"{provider.url}/keys") == provider.jwks()
    provider.answers = {"/keys": answer, "/token": answer}
    with pytest.raises(NotReached):
        get_json(networks, f"{provider.url}/keys")
    with pytest.raises(NotReached):
        post_form(networks, f"{provider.url}/token", {"code": "x"})
    assert "/.well-known/elsewhere" not in provider.seen


@pytest.mark.attack(137)
def test_a_provider_that_hangs_is_given_up(
    provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.identity.sso.fetch.TIMEOUT", 0.2)
    go_on = threading.Event()

    def hang() -> tuple[int, dict[str, str], bytes]:
        go_on.wait(20)
        return 200, {}, b"{}"

    provider.answers = {"/keys": hang}
    with pytest.raises(NotReached):
        get_json(Networks(NETWORKS), f"{provider.url}/keys")
    go_on.set()


@pytest.mark.attack(137)
def test_a_provider_that_sends_a_byte_now_and_then_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each step is quick enough: also in the headers, of which h11 takes a hundred thousand bytes."""
    monkeypatch.setattr("ca.identity.sso.fetch.DEADLINE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served: list[str] = []
        dripping = threading.Thread(target=_drip, args=(listening, served))
        dripping.start()
        with pytest.raises(NotReached):
            get_json(Networks(NETWORKS), f"http://127.0.0.1:{listening.getsockname()[1]}/keys")
        dripping.join()
    assert served == []


def _drip(listening: socket.socket, served: list[str]) -> None:
    connection, _address = listening.accept()
    with connection, contextlib.suppress(OSError):  # it hangs up, as it should
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(40):
            time.sleep(0.05)
            connection.sendall(b"x")
        connection.sendall(b"\r\ncontent-length: 2\r\n\r\n{}")
        served.append("all of it")


@pytest.mark.attack(137)
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_no_provider_is_on_our_own_networks(address: str) -> None:
    assert not Networks().allow(address)


def test_providers_are_on_public_addresses_and_where_the_operator_says() -> None:
    assert Networks().allow("93.184.215.14")
    assert Networks(("10.1.0.0/16",)).allow("10.1.2.3")
    assert not Networks(("10.1.0.0/16",)).allow("10.2.2.3")


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example",
        "http://127.0.0.1:1",
        "file:///etc/passwd",
        "gopher://a",
        "//a",
        "https://",
        "https://a@b",
        "https://a#b",
        "https://[",
        "https://a:99999",
        "https://a\n",
    ],
)
def test_no_request_goes_to_such_a_url(url: str) -> None:
    with pytest.raises(Refused):
        Networks().check_url(url)


@pytest.mark.attack(137)
def test_a_name_with_two_addresses_is_asked_at_neither(
    sso_acme: Services, provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was checked is the one that is connected to: it is looked up once."""
    asked = []

    def rebinding(host: str, port: int, **_more: Any) -> Any:
        asked.append(host)
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))
        return [good, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    provider.url = "https://rebinding.example"
    register(sso_acme, provider)
    assert Browser(sso_acme).get("/login/sso/acme").status_code == 503
    assert asked == ["rebinding.example"]
