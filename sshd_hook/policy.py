"""The decision: may this person, who logged in this way, reach this thing?

Everything that asks, the hook, the Git gate, the API and the console, asks `decide`. It is pure:
no clock, no I/O, no globals. The words of a refusal are in `sshd_hook.refusal`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # sshd waits for this import at every login: `typing` would double it
    from collections.abc import Iterable

ALLOWED = "allowed"
NO_ACCESS = "no access"
MORE_AUTHENTICATION = "more authentication needed"

NO_ROLE, VIEWER, CONTRIBUTOR, ADMIN, OWNER = range(5)

MAX_CLOCK_SKEW = 300  # seconds that a login may lie in the future
MIN_MAX_AGE, MAX_MAX_AGE = 300, 365 * 86400  # seconds, in whole minutes

POSSESSION = frozenset({"otp", "recovery", "hwk", "swk"})
OWN_FACTORS = POSSESSION | {"pwd"}


class Requirement:
    """What a login must show to reach a thing, and where it must come from.

    `amr` holds only "mfa" and "sso:<slug>"; `max_age` is in seconds, None for any age;
    `networks` are the client networks (CIDR), None for any and empty for none;
    `providers` are the slugs of the providers of the organization that asks.
    """

    __slots__ = ("amr", "device", "max_age", "networks", "providers")

    def __init__(
        self,
        amr: "frozenset[str]" = frozenset(),
        max_age: "int | None" = None,
        networks: "tuple[str, ...] | None" = None,
        *,
        device: bool = False,
        providers: "frozenset[str]" = frozenset(),
    ) -> None:
        self.amr = amr
        self.max_age = max_age
        self.networks = networks
        self.device = device
        self.providers = providers


class Access:
    """The role that somebody has on a thing, and the least role that opens it.

    `exempt` frees a service user from what a login must show: it cannot log in.
    """

    __slots__ = ("exempt", "needed", "role")

    def __init__(self, role: int, needed: int, *, exempt: bool = False) -> None:
        self.role = role
        self.needed = needed
        self.exempt = exempt


class Claims:
    """How somebody logged in: the `amr` values, when (seconds since the epoch), and `via` what.

    A service user's `amr` is empty. `auth_time` is None where it is not known.
    """

    __slots__ = ("amr", "auth_time", "via")

    def __init__(self, amr: "frozenset[str]", auth_time: "int | None", via: str = "") -> None:
        self.amr = amr
        self.auth_time = auth_time
        self.via = via


class Decision:
    """An answer; where more authentication is needed, the whole requirement and what is missing.

    `missing` names parts of the requirement: values of `amr`, "max_age", "device".
    """

    __slots__ = ("amr", "max_age", "missing", "outcome")

    def __init__(
        self,
        outcome: str,
        amr: "tuple[str, ...]" = (),
        max_age: "int | None" = None,
        missing: "tuple[str, ...]" = (),
    ) -> None:
        self.outcome = outcome
        self.amr = amr
        self.max_age = max_age
        self.missing = missing


def decide(
    requirement: Requirement,
    access: "Access | None",
    claims: Claims,
    peer: "str | None",
    now: int,
) -> Decision:
    """Decide whether `claims` open to their holder what `access` and `requirement` speak of.

    `access` is None for what does not exist or is inactive. `peer` is the client's address, None
    where sshd itself compares it with the networks. `now` is in seconds since the epoch.
    """
    if access is None or access.role < access.needed or not _is_inside(peer, requirement.networks):
        return Decision(NO_ACCESS)
    required = _required_amr(requirement, claims)
    if access.exempt or not required:
        return Decision(ALLOWED)
    missing = _missing(requirement, required, claims, now)
    if not missing:
        return Decision(ALLOWED)
    return Decision(MORE_AUTHENTICATION, required, requirement.max_age, missing)


def lacking(  # noqa: PLR0913, PLR0917 -- as `decide`, after it
    decision: Decision,
    reported: "Requirement | None",
    access: "Access | None",
    claims: Claims,
    peer: "str | None",
    now: int,
) -> "tuple[str, ...]":
    """What whoever is let in by `decision` lacks of what is only `reported` (None for nothing)."""
    if reported is None or decision.outcome != ALLOWED:
        return ()
    return decide(reported, access, claims, peer, now).missing


def join(requirements: "Iterable[Requirement]") -> Requirement:
    """Join requirements: whoever meets the result meets each of them."""
    every = tuple(requirements)
    asking = [one for one in every if one.amr]
    networks = None
    for one in every:
        networks = _intersection(networks, one.networks)
    return Requirement(
        amr=frozenset().union(*(one.amr for one in every)),
        max_age=min((one.max_age for one in every if one.max_age is not None), default=None),
        networks=networks,
        device=bool(asking) and all(one.device for one in asking),
        providers=frozenset().union(*(one.providers for one in every)),
    )


def lasting(requirement: Requirement) -> Requirement:
    """What of a requirement open connections must meet: they may grow older than its `max_age`."""
    return Requirement(
        requirement.amr,
        networks=requirement.networks,
        device=requirement.device,
        providers=requirement.providers,
    )


def is_max_age(seconds: int) -> bool:
    """Whether a requirement may ask for logins of at most this age."""
    return MIN_MAX_AGE <= seconds <= MAX_MAX_AGE and seconds % 60 == 0


def in_order(amr: "Iterable[str]") -> "tuple[str, ...]":
    """`mfa` first, then the logins, in byte order, which is both: they all begin with `sso:`."""
    return tuple(sorted(amr))


def _required_amr(requirement: Requirement, claims: Claims) -> "tuple[str, ...]":
    """The `amr` values asked of these claims.

    A login that rests on nothing but other organizations' providers needs `mfa` everywhere else:
    otherwise whoever runs a provider could open another's doors with it.
    """
    own = claims.amr & OWN_FACTORS or any(
        value.startswith("sso:") and _slug(value) in requirement.providers for value in claims.amr
    )
    if claims.amr and not own:
        return in_order(requirement.amr | {"mfa"})
    return in_order(requirement.amr)


def _missing(
    requirement: Requirement, required: "tuple[str, ...]", claims: Claims, now: int
) -> "tuple[str, ...]":
    known = claims.auth_time is not None and claims.auth_time <= now + MAX_CLOCK_SKEW
    amr = claims.amr if known else frozenset()  # what was proved at no known time proves nothing
    missing = [
        value
        for value in required
        if not (_has_mfa(amr, requirement.providers) if value == "mfa" else value in amr)
    ]
    if requirement.max_age is not None and (
        not known or now - (claims.auth_time or 0) > requirement.max_age
    ):
        missing.append("max_age")
    if claims.via == "device" and not requirement.device:
        missing.append("device")
    return tuple(missing)


def _has_mfa(amr: "frozenset[str]", providers: "frozenset[str]") -> bool:
    """Whether `amr` amounts to `mfa` in the organization that has these providers."""
    logins = {value for value in amr if value.startswith("sso:")}
    own = {value for value in logins if _slug(value) in providers}
    if any(f"sso:{slug}:mfa" in amr for slug in providers):
        return True
    if own == logins:
        return "mfa" in amr
    return "mfa" in amr and bool(own or "pwd" in amr) and not POSSESSION.isdisjoint(amr)


def _slug(value: str) -> str:
    """The provider's slug in `sso:<slug>` or `sso:<slug>:mfa`."""
    return value.split(":")[1]


def _is_inside(peer: "str | None", networks: "tuple[str, ...] | None") -> bool:
    if networks is None or not networks:
        return networks is None
    if peer is None:
        return True
    import ipaddress  # slow to import; the hook, which sshd waits for, never has a peer

    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False  # a peer without an address is nowhere
    # A socket for both families shows an IPv4 client as ::ffff:192.0.2.1; sshd undoes that too.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(network) for network in networks)


def _intersection(
    ours: "tuple[str, ...] | None", theirs: "tuple[str, ...] | None"
) -> "tuple[str, ...] | None":
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    import ipaddress

    nets = [[ipaddress.ip_network(text) for text in side] for side in (ours, theirs)]
    pairs = [(a, b) for a in nets[0] for b in nets[1] if a.version == b.version]
    common = {a if a.prefixlen >= b.prefixlen else b for a, b in pairs if a.overlaps(b)}
    return tuple(sorted(str(network) for network in common))
