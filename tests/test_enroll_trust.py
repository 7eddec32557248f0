"""Whom a new host takes for its CA: nobody on the way listens, or answers in its place."""

from __future__ import annotations

import pytest

from machine.private import PYTHON
from sshd_hook import paths
from sshd_hook.agent import host as agent_host
from tests.hosts import FOLDER, Host, wait_for


def certificate(host: Host, name: str, issuer: str = "") -> str:
    """A certificate for `name`, by itself or by `issuer`; its PEM file, with the key, in there."""
    path = f"/root/{name}"
    by = ("-CA", f"/root/{issuer}.pem", "-CAkey", f"/root/{issuer}.pem") if issuer else ()
    words = ("-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2")
    usage = "digitalSignature" if issuer else "keyCertSign"  # Python 3.13 wants a CA to say it
    ext = ("-addext", f"subjectAltName=DNS:{name}", "-addext", f"keyUsage={usage}")
    out = ("-keyout", f"{path}.key", "-out", f"{path}.crt")
    host.machine.check("openssl", "req", "-x509", *words, *ext, *by, *out)
    host.machine.check("sh", "-c", f"cat {path}.crt {path}.key > {path}.pem")
    return f"{path}.pem"


HTTPS = "https://ca.acme.example:8443"


def serve_https(host: Host, name: str) -> None:
    """Let the CA speak HTTPS with a certificate for `name`, by an authority that it shows."""
    for authority in ("ours", "theirs"):
        certificate(host, authority)
    host.machine.check("cp", "/root/ours.crt", f"{FOLDER}/https-ca.pem")
    words = ("-m", "tests.policy_server", FOLDER, "8443", certificate(host, name, "ours"))
    host.machine.spawn(*PYTHON, *words, log="/var/log/ca")
    wait_for(lambda: host.machine.listens(8443))


@pytest.mark.parametrize(
    ("pinned", "served", "good"),
    [
        ("ours", "ca.acme.example", True),
        ("theirs", "ca.acme.example", False),
        ("ours", "evil.example", False),
    ],
)
def test_only_the_pinned_authority_speaks_for_the_ca(
    fresh_host: Host, pinned: str, served: str, *, good: bool
) -> None:
    serve_https(fresh_host, served)
    trust = ("--ca-file", f"/root/{pinned}.crt")
    url = ("--ca", HTTPS, "--token", "t", "--name", "ssh1", "--admin", "none")

    ended = fresh_host.command("enroll", *url, *trust)

    assert (ended.status == 0) is good, ended.err
    if good:
        fresh_host.machine.check("rm", f"/root/{pinned}.crt")
        fresh_host.publish()
        assert "obeying version 2" in fresh_host.machine.run(paths.SSHD_HOOK, "agent", "--once").err
    else:
        assert "certificate verify failed" in ended.err
        assert not fresh_host.machine.path(f"{FOLDER}/requests").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://ca.acme.example", "not HTTPS"),
        ("http://10.0.0.1:8000", "not HTTPS"),
        ("http://127.0.0.1.evil.example", "not HTTPS"),
        ("https://ca.acme.example", "--ca-file"),
        ("ftp://127.0.0.1", "not the URL"),
        ("127.0.0.1", "not the URL"),
        ("http://127.0.0.1:99999999", "not the URL"),
        ("", "not the URL"),
    ],
)
def test_nobody_on_the_way_can_listen(fresh_host: Host, url: str, reason: str) -> None:
    words = ("--ca", url, "--token", "secret-token", "--name", "ssh1")

    ended = fresh_host.command("enroll", *words)

    assert ended.status == 1
    assert reason in ended.err
    assert "secret-token" not in ended.err
    assert ended.err.count("\n") == 1


def pin(host: Host, authority: str) -> str:
    digest = host.machine.check("sha256sum", f"/root/{authority}.crt").split()[0]
    return f"sha256:{digest}"


@pytest.mark.parametrize(
    ("pinned", "served", "complaint"),
    [
        ("ours", "ca.acme.example", ""),
        ("theirs", "ca.acme.example", "somebody answers in its place"),
        ("ours", "evil.example", "certificate verify failed"),
    ],
)
def test_a_fingerprint_is_enough_to_know_the_ca_by(
    fresh_host: Host, pinned: str, served: str, complaint: str
) -> None:
    serve_https(fresh_host, served)
    url = ("--ca", HTTPS, "--token", "t", "--name", "ssh1", "--admin", "none")

    ended = fresh_host.command("enroll", *url, "--ca-pin", pin(fresh_host, pinned))

    assert complaint in ended.err
    if not complaint:
        assert ended.status == 0, ended.err
        assert fresh_host.read(agent_host.CA_FILE) == fresh_host.read("/root/ours.crt")
    else:
        assert ended.status == 1
        assert not fresh_host.machine.path(f"{FOLDER}/requests").exists()
        # And what was pinned must not be fetched by a name that is none.
        assert "--ca-pin is not" in fresh_host.command("enroll", *url, "--ca-pin", "x").err
