"""What hosts tell of their decisions: kept once, for a while, and of no other host than the teller."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ca.hosts import decisions
from ca.hosts.decisions import Told
from ca.ops.times import moment
from ca.store import decisions as store
from ca.store import hosts
from ca.store.decisions import Wanted
from ca.store.engine import reading, writing
from tests.directory import SERVICE
from tests.host_client import NAME, HostClient, user_id
from tests.operating import EXAMPLE

if TYPE_CHECKING:
    import pytest

    from ca.services import Services
    from ca.store.decisions import Decision
    from tests.operating import Ca

ELSEWHERE = "zyxwvut987654-main--app"  # on ssh2


def decision(**changes: Any) -> dict[str, Any]:
    fields = {
        "at": int(time.time()),
        "connection": "0123abcd.4711.99",
        "code": "allowed",
        "service": SERVICE,
        "user": "7d2b6f0e-1c55-4b7e-9a40-3f6d1e2c8a01",
        "serial": str(2**64 - 1),
        "session": "11111111-2222-4333-8444-555555555555",
        "detail": "",
    }
    return fields | changes


def kept(services: Services, **wanted: str) -> list[Decision]:
    with reading(services.engine) as connection:
        return store.newest(connection, Wanted(**wanted), 1000)


def told(**changes: Any) -> Told:
    fields = decision(**changes)
    return Told(**{"user_id" if name == "user" else name: fields[name] for name in fields})


def test_what_a_host_tells_is_kept_with_its_name(acme: Services) -> None:
    host = HostClient(acme)
    alice = user_id(acme, "alice")

    assert host.report(decision(user=alice), decision(code="no_access")) == 204

    first, second = kept(acme)
    assert (first.host, first.username, first.service, first.code) == (
        *(NAME, "alice", SERVICE),
        "allowed",
    )
    assert (first.serial, first.detail) == (str(2**64 - 1), "")
    assert (second.code, second.username) == ("no_access", "")
    assert kept(acme, user_id=alice) == [first]
    assert kept(acme, code="no_access", host=NAME) == [second]
    assert kept(acme, host="ssh2.acme.example") == []


def test_what_is_told_twice_is_kept_once(acme: Services) -> None:
    """Also the two answers that sshd asks for at one login; another connection's is another."""
    host, other = HostClient(acme), HostClient(acme, "ssh2.acme.example")
    report = decision()
    for _ in range(2):
        assert host.report(report, decision(at=report["at"] + 1)) == 204
    assert len(kept(acme)) == 1

    host.report(decision(connection="0123abcd.4711.100"), decision(code="policy_stale"))
    other.report(decision(code="no_access"))
    host.report(decision(connection="", code="lost", detail="5", at=1))
    host.report(decision(connection="", code="lost", detail="5", at=2))

    assert len(kept(acme)) == 6


def test_no_host_makes_the_list_unreadable_by_its_clock(acme: Services) -> None:
    """Python has no words for a time after the year 9999, and the operator would see nobody's."""
    host = HostClient(acme)
    latest = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())

    assert host.report(decision(at=latest + 86400)) == 400
    assert kept(acme) == []

    assert host.report(decision(at=latest)) == 204
    assert [moment(one.at) for one in kept(acme)] == ["9999-12-31 00:00:00Z"]


def test_a_host_tells_of_nobody_let_in_where_another_decides(acme: Services) -> None:
    host = HostClient(acme)
    names = (ELSEWHERE, f"{ELSEWHERE}--0", SERVICE, f"{SERVICE}--0", "abcdefg123456-gone--app")
    for name in names:
        for code in ("allowed", "report_only", "no_access", "policy_stale"):
            host.report(decision(service=name, code=code))

    found = {(one.service, one.code) for one in kept(acme)}
    assert {service for service, code in found if code in ("allowed", "report_only")} == set(
        names[2:]
    )
    assert {service for service, code in found if code == "no_access"} == set(names)


def test_only_the_host_itself_tells_of_it(acme: Services) -> None:
    host, other = HostClient(acme), HostClient(acme, "ssh2.acme.example")

    assert host.report(decision(), token=other.joined["token"]) == 401
    assert host.report(decision(), token="nonsense") == 401
    with writing(acme.engine) as connection:
        hosts.remove_host(connection, other.joined["id"])
    assert other.report(decision()) == 401
    assert kept(acme) == []


def test_what_could_not_be_a_decision_is_not_kept(acme: Services) -> None:
    host = HostClient(acme)
    bent: list[dict[str, Any]] = [
        *({"at": -1}, {"at": "1"}, {"code": "Allowed!"}, {"code": ""}, {"more": 1}),
        *({"service": "a b"}, {"service": "x" * 129}, {"user": "alice\n"}),
        *({"serial": "1e3"}, {"serial": "9" * 21}, {"connection": "x y"}),
        *({"detail": "\x1b[31m"}, {"detail": "x" * 201}),
    ]

    assert [host.report(decision(), decision(**one)) for one in bent] == [400] * len(bent)
    assert host.report(*[decision()] * 501) == 400
    assert kept(acme) == []


def test_what_is_old_or_too_much_is_forgotten(
    acme: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, other = HostClient(acme), HostClient(acme, "ssh2.acme.example")
    host.report(decision(connection="1.1.1"))
    other.report(decision(code="no_access"))
    with reading(acme.engine) as connection:
        found = hosts.find_host(connection, NAME)
    assert found
    monkeypatch.setattr(decisions, "MOST", 10)
    monkeypatch.setattr(decisions, "LOOK_EVERY", 1)
    now = int(time.time())

    decisions.keep(acme.engine, found, [told(connection=f"2.{n}.1") for n in range(30)], now)

    own = kept(acme, host=NAME)
    assert [one.connection for one in own] == [f"2.{n}.1" for n in range(20, 30)]
    assert len(kept(acme)) == 11

    decisions.keep(acme.engine, found, [told(connection="3.1.1")], now + decisions.KEPT + 9)

    assert [one.connection for one in kept(acme)] == ["3.1.1"]


def test_the_operator_sees_who_came_where_and_what_became_of_it(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    with reading(ca.engine) as connection:
        (host,) = hosts.all_hosts(connection)
    now = int(time.time())
    mine = [
        told(at=now - 3 * 3600, code="more_authentication", detail="mfa"),
        told(at=now - 120, connection="2.2.2"),
        told(at=now, connection="", code="lost", detail="17", service="", user=""),
        told(at=now + 90000, connection="2.2.4", user="", service="", code="bad_certificate"),
    ]
    decisions.keep(ca.engine, host, mine, now)

    lines = ca.check("host", "decisions").splitlines()

    user = told().user_id
    assert [line.split("(", 1)[1] for line in lines] == [
        f"3 hours ago)  {NAME}  {user} to {SERVICE}  more_authentication: mfa",
        f"2 minutes ago)  {NAME}  {user} to {SERVICE}  allowed",
        f"just now)  {NAME}  17 decisions are in its system log alone",
        f"in 1 day, by its clock)  {NAME}  somebody  bad_certificate",
    ]
    (shown,) = json.loads(
        ca.check("host", "decisions", NAME, "--code", "allowed", "--limit", "1", "--json")
    )
    assert (shown["host"], shown["service"], shown["user_id"]) == (NAME, SERVICE, user)
    assert ca.check("host", "decisions", "--user", "alice") == ""
    assert "no host nowhere" in ca.error("host", "decisions", "nowhere")
    assert "no user" in ca.error("host", "decisions", "--user", "nobody")
