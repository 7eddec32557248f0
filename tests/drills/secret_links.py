"""What is sent by e-mail, and used: a new address, an invitation, a new password."""

from __future__ import annotations

import re
import time
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

from tests.directory import apply_text
from tests.drills.secret_places import MAILED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.drills.nodes import Caller, Nodes
    from tests.drills.secret_places import Secret
    from tests.web import Person

ORGANIZATION = "canaries"
CHOSEN = "zinc otter maple dusk"
GUESTS = "gravel plum tidal owl"
PATIENCE = 60  # seconds until a message is written: after the answer, for some


def make_organization(nodes: Nodes, people: list[Person]) -> None:
    """One that all of them own, and so may invite into."""
    users = [
        f'[users.{one.username}]\nname = "{one.username}"\nemail = "{one.username}@acme.example"\n'
        for one in people
    ]
    members = ", ".join(f'{one.username} = "owner"' for one in people)
    organization = f"[organizations.{ORGANIZATION}]\nmembers = {{ {members} }}\n"
    apply_text(nodes.services.engine, "".join((*users, organization)))


def links(
    nodes: Nodes, caller: Caller, person: Person, cookie: str, token: str
) -> Iterator[Secret]:
    """Follow each link twice. The last of them ends everything that the person has."""
    moved = f"{person.username}@moved.example"
    assert caller.post("/security/email", {"email": moved}, cookie).status == 200
    proof = _mailed(nodes, moved, "/email")
    for _ in range(2):
        caller.get(f"/email?token={proof}", cookie)
        caller.post("/email", {"token": proof})
    yield f"{MAILED}proof of an address", proof.encode()

    guest = f"g{person.username}"
    address = f"{guest}@acme.example"
    where = f"/organizations/{ORGANIZATION}/invitations"
    answer = caller.call(where, {"email": address, "role": "viewer"}, token)
    assert answer.status == 201, answer.text
    invitation = _mailed(nodes, address, "/invitation")
    form = {"token": invitation, "username": guest, "name": guest, "password": GUESTS}
    for expected in (200, 410):
        caller.get(f"/invitation?token={invitation}")
        assert caller.post("/invitation/sign-up", form).status == expected
    yield f"{MAILED}invitation", invitation.encode()
    yield "password of who signed up", GUESTS.encode()

    assert caller.post("/forgot", {"username": person.username}).status == 200
    reset = _mailed(nodes, moved, "/reset")
    form = {"token": reset, "password": CHOSEN, "again": CHOSEN}
    for expected in (200, 410):
        caller.get(f"/reset?token={reset}")
        assert caller.post("/reset", form).status == expected
    yield f"{MAILED}reset", reset.encode()
    yield "password chosen by a link", CHOSEN.encode()


def _mailed(nodes: Nodes, address: str, page: str) -> str:
    """The secret in the link to `page` that was mailed to `address`."""
    link = re.compile(rf"{re.escape(nodes.services.settings.issuer)}{page}\?token=(\S+)")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for path in nodes.folder.glob("node-*/mail/*.eml"):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            found = link.search(message.get_content())
            if message["To"] == address and found:
                return found[1]
        time.sleep(0.1)
    raise AssertionError(f"no link to {page} was mailed to {address}")
