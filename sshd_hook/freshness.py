"""The freshness statement: until when, and since when, a host may rely on the policy that it has.

The CA signs it (SSHSIG, namespace `amrgate-fresh`) every few minutes, also when nothing changes.
The agent verifies it and installs it after the bundle and revocation list that it names; the hook
looks at its times alone.
"""

NAMESPACE = "amrgate-fresh"
FORMAT = "amrgate-fresh 2"

MAX_OFFLINE = 86400  # seconds that any host may decide without having heard from the CA
MAX_STATEMENT = 512  # bytes
MAX_DIGITS = 15
DIGEST_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
_ID = _HEX | frozenset("ghijklmnopqrstuvwxyz-")
MAX_ID = 64

CLOCK_SKEW = 300  # seconds that the statement may come from the future


class FreshnessError(ValueError):
    """These bytes are not a freshness statement."""


class Freshness:
    """What the CA says: `host_id` has heard the newest when it has this bundle and list.

    `digest` and `krl_digest` are their SHA-256 in hex. Times are in seconds since the epoch.
    """

    __slots__ = (
        "digest",
        "host_id",
        "issued_at",
        "krl_digest",
        "krl_version",
        "not_after",
        "version",
    )

    def __init__(  # noqa: PLR0913 -- the statement has these seven
        self,
        *,
        host_id: str,
        version: int,
        digest: str,
        krl_version: int,
        krl_digest: str,
        issued_at: int,
        not_after: int,
    ) -> None:
        self.host_id = host_id
        self.version = version
        self.digest = digest
        self.krl_version = krl_version
        self.krl_digest = krl_digest
        self.issued_at = issued_at
        self.not_after = not_after


def render(freshness: Freshness) -> bytes:
    """The statement as it is signed and installed.

    Raises:
        FreshnessError: `parse` would not read it, such as one that is good for too long.
    """
    statement = _text(freshness).encode()
    parse(statement)
    return statement


def parse(statement: bytes) -> Freshness:
    """Read a statement. There is one way only to write each.

    Raises:
        FreshnessError: this is not one, or it promises more than `MAX_OFFLINE`.
    """
    if len(statement) > MAX_STATEMENT or not statement.isascii():
        raise FreshnessError("too long, or not ASCII")
    words = [line.split(" ") for line in statement.decode("ascii").split("\n")]
    if [len(line) for line in words] != [2, 2, 3, 3, 2, 2, 1]:
        raise FreshnessError("not six lines of the statement's form")
    freshness = Freshness(
        host_id=words[1][1],
        version=_number(words[2][1]),
        digest=words[2][2],
        krl_version=_number(words[3][1]),
        krl_digest=words[3][2],
        issued_at=_number(words[4][1]),
        not_after=_number(words[5][1]),
    )
    if _text(freshness).encode() != statement:
        raise FreshnessError("not written as it must be")
    if not 0 < len(freshness.host_id) <= MAX_ID or not _ID.issuperset(freshness.host_id):
        raise FreshnessError("not the id of a host")
    for digest in (freshness.digest, freshness.krl_digest):
        if len(digest) != DIGEST_DIGITS or not _HEX.issuperset(digest):
            raise FreshnessError("not a SHA-256 in hex")
    # However long a host was told to go on, what it was told would be forgotten one day.
    if not 0 < freshness.not_after - freshness.issued_at <= MAX_OFFLINE:
        raise FreshnessError(f"good for no time, or for more than {MAX_OFFLINE} s")
    return freshness


def is_fresh(freshness: Freshness, max_offline: int, now: int) -> bool:
    """Whether the host may still decide, for an organization that grants it `max_offline` s."""
    return (
        now <= freshness.not_after
        and now - freshness.issued_at <= max_offline
        and now >= freshness.issued_at - CLOCK_SKEW
    )


def _text(freshness: Freshness) -> str:
    return (
        f"{FORMAT}\n"
        f"host {freshness.host_id}\n"
        f"bundle {freshness.version} {freshness.digest}\n"
        f"krl {freshness.krl_version} {freshness.krl_digest}\n"
        f"issued-at {freshness.issued_at}\n"
        f"not-after {freshness.not_after}\n"
    )


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise FreshnessError("not a number")
    return int(text)
