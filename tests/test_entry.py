"""A configured way into a service: sessions are inside, whatever client they use, and nobody else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.clients import FORMS, SERVICE
from machine.host import Service
from sshd_hook import entry, paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host

ROOT = f"/srv/roots/{SERVICE}"
CHROOT = "/usr/bin/unshare --user --map-current-user --root=/srv/roots/{service} --wd=/home"
NSENTER = "/usr/bin/nsenter --preserve-credentials --user=/run/ns/{service}.user"
NSENTER += " --mount=/run/ns/{service}.mnt /usr/bin/env --chdir=/home"
# A root with programs of its own, and the service's files.
BUILD = f"""
set -e
mkdir -p {ROOT}/usr {ROOT}/home {ROOT}/dev {ROOT}/etc {ROOT}/old
mount --rbind /usr {ROOT}/usr
for name in bin sbin lib lib64; do ln -s usr/$name {ROOT}/$name; done
for device in null tty; do
    touch {ROOT}/dev/$device
    mount --bind /dev/$device {ROOT}/dev/$device
done
echo inside > {ROOT}/home/where
uid=$(getent passwd {SERVICE} | cut -d: -f3)
printf 'root:x:0:0::/:/bin/sh\\nthe-service:x:%s:%s::/home:/bin/sh\\n' $uid $uid > {ROOT}/etc/passwd
echo 'passwd: files' > {ROOT}/etc/nsswitch.conf
chown $uid:$uid {ROOT}/home
"""
# What keeps a container alive: a user and a mount namespace of the service's own, bound to files.
CONTAINER = f"""
set -e
uid=$(getent passwd {SERVICE} | cut -d: -f3)
mkdir -p /run/ns
mount --bind /run/ns /run/ns
mount --make-private /run/ns
touch /run/ns/{SERVICE}.user /run/ns/{SERVICE}.mnt
# Linux binds only mount namespaces with a higher number than its own, and some versions number
# them by processor: the one on which this machine was made will do.
for processor in $(seq 0 $(($(nproc) - 1))); do
    taskset -c $processor setpriv --reuid=$uid --regid=$uid --clear-groups \\
        unshare --user --map-root-user --mount sh -c '
            mount --rbind {ROOT} {ROOT}; cd {ROOT}; mkdir -p old; pivot_root . old 2>/dev/null
            exec sleep 1000' >/dev/null 2>&1 </dev/null &
    pid=$!
    until [ "$(cat /proc/$pid/comm)" = sleep ]; do kill -0 $pid; sleep 0.05; done
    mount --bind /proc/$pid/ns/mnt /run/ns/{SERVICE}.mnt && break
done
mount --bind /proc/$pid/ns/user /run/ns/{SERVICE}.user
"""


@pytest.fixture(params=["chroot", "nsenter"])
def inside(host: Host, request: pytest.FixtureRequest) -> Iterator[Host]:
    machine = host.machine
    if not machine.path(f"{ROOT}/home/where").exists():
        machine.check("sh", "-c", BUILD)
    if request.param == "nsenter" and not machine.path("/run/ns").exists():
        machine.check("sh", "-c", CONTAINER)
    words = CHROOT if request.param == "chroot" else NSENTER
    machine.path(paths.ENTRY).write_text(f"# ours\n{SERVICE}  {words}\n*  -\n")
    yield host
    machine.path(paths.ENTRY).unlink()


INSIDE = [form for form in FORMS if form.name != "ssh -N -L"]  # which would stay
FILES = {"scp": "note-scp", "scp -O": "note-rcp", "sftp": "note-sftp", "rsync": "note-rsync"}


def test_every_client_is_inside(inside: Host) -> None:
    inside.certify("alice")
    for form in INSIDE:
        used = inside.use("alice", form)

        assert used.status == 0, (form.name, used)
        if form.name in FILES:
            file = inside.machine.path(f"{ROOT}/home/{FILES[form.name]}")
            assert file.read_text() == "a note of alice\n", form.name
            file.unlink()
        else:
            assert used.out.strip() in ("the-service", "root"), (form.name, used)
    where = inside.ssh("alice", "cat where; echo \"$HOME's 'a  b'\"; exit 7")
    assert (where.status, where.out.splitlines()) == (
        7,
        ["inside", f"/srv/amrgate/{SERVICE}'s 'a  b'"],
    )
    assert inside.machine.run("ls", f"/srv/amrgate/{SERVICE}/note-scp").status != 0


def test_who_was_refused_stays_refused(inside: Host) -> None:
    inside.require("mfa")
    inside.certify("bob", "pwd")
    for form in INSIDE:
        used = inside.use("bob", form)

        assert used.status in form.refused, (form.name, used)
        assert "Multi-factor authentication" in used.err
        assert used.out in ("", "sftp> put note note-sftp\n")


def test_other_services_are_where_they_were(inside: Host) -> None:
    other = "abcdefg123456-main--other"
    inside.set_policy({SERVICE: Service(), other: Service()})
    inside.certify("alice")

    assert inside.ssh("alice", "pwd", service=other).out == f"/srv/amrgate/{other}\n"
    assert inside.ssh("alice", "cat where", service=f"{SERVICE}--1").out == "inside\n"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("nonsense", 0o644),
        (f"{SERVICE} relative\n", 0o644),
        ("* /usr/bin/env\n", 0o666),
        (f"{SERVICE}  /usr/bin/none\n", 0o644),
    ],
)
def test_a_file_that_is_not_right_lets_nobody_in(host: Host, text: str, mode: int) -> None:
    host.certify("alice")
    file = host.machine.path(paths.ENTRY)
    file.write_text(text)
    file.chmod(mode)
    try:
        assert not host.admits("alice")
        host.admin_login()
    finally:
        file.unlink()
    assert host.admits("alice")


def test_what_enters_knows_no_other_way(host: Host) -> None:
    """The forced command of a line that was printed before the entry was taken away."""
    program = paths.ENTER
    for words in ((SERVICE,), (), ("../x",), (SERVICE, "x")):
        ended = host.machine.run(program, *words, user="mallory")
        assert ended.status == 126
        assert ended.err.startswith("amrgate: there is no way into this service now: ")


# --- the file -------------------------------------------------------------------------------

TEXT = f"""
# comment
{SERVICE} /bin/a {{service}} x={{project}}
abcdefg123456-*  -
* /bin/b
"""


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (SERVICE, ("/bin/a", SERVICE, "x=abcdefg123456")),
        ("abcdefg123456-main--other", None),
        ("zyxwvut987654-main--app", ("/bin/b",)),
    ],
)
def test_the_first_line_that_fits_counts(service: str, words: tuple[str, ...] | None) -> None:
    assert entry.find(TEXT, service) == words
    assert entry.find("", service) is None
    assert entry.programs(TEXT) == {"/bin/a", "/bin/b"}


@pytest.mark.parametrize(
    "line",
    ["*", "a*b /bin/x", "** /bin/x", "* x", "* /bin/x {user}", "* /bin/x {", "* /bin/\u00e9"],
)
def test_a_line_that_is_none_spoils_the_file_for_all(line: str) -> None:
    with pytest.raises(entry.EntryError, match="line 2"):
        entry.find(f"{SERVICE} /bin/a\n{line}\n", SERVICE)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_what_was_asked_for_is_one_word(asked: str) -> None:
    words = entry.inside(asked)

    assert words[:2] == ("/bin/sh", "-c")
    assert words[2:] in ((asked,), (entry.SFTP,))
    assert (words[2] == entry.SFTP) is (asked.split(" ", maxsplit=1)[0] in entry.SFTP_ON_THE_HOST)


def test_nothing_asked_for_is_a_shell() -> None:
    assert entry.inside(None) == ("/bin/sh", "-l")
