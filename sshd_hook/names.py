"""The grammar of every name that crosses a boundary: services, projects, users, providers, people.

Written without `re`, which alone would double the start of the hook.
"""

LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
DIGITS = frozenset("0123456789")
_LABEL = LOWER | DIGITS
_HEX = frozenset("0123456789abcdef")
_SLUG = _LABEL | frozenset("-")
_UNSHOWN = frozenset('#"\\()')

PROJECT_LENGTH = 13
MAX_SERVICE = 128  # bytes
MAX_LABEL = 32  # letters and digits, hyphens not counted
MAX_DISPLAY_NAME = 64  # characters
MAX_INSTANCE_DIGITS = 4
MAX_HOST_NAME, MAX_HOST_LABEL = 253, 63  # characters (RFC 1035)


class ServiceName:
    """`<project>-<environment>--<app>[--<worker>][--<instance>]`, taken apart."""

    __slots__ = ("app", "environment", "instance", "project", "worker")

    def __init__(
        self, project: str, environment: str, app: str, worker: str = "", instance: str = ""
    ) -> None:
        self.project = project
        self.environment = environment
        self.app = app
        self.worker = worker
        self.instance = instance

    @property
    def record(self) -> str:
        """The name under which the service is filed: all its instances are one service."""
        worker = f"--{self.worker}" if self.worker else ""
        return f"{self.project}-{self.environment}--{self.app}{worker}"


def parse_service(name: str) -> "ServiceName | None":
    """Take the name of a service apart, or return None for what is not one."""
    if len(name) > MAX_SERVICE or name[PROJECT_LENGTH : PROJECT_LENGTH + 1] != "-":
        return None
    project = name[:PROJECT_LENGTH]
    words = name[PROJECT_LENGTH + 1 :].split("--")
    instance = words.pop() if _is_instance(words[-1]) else ""
    if len(words) not in (2, 3) or not is_project(project) or not is_label(words[0]):
        return None
    if not all(is_app(word) for word in words[1:]):
        return None
    return ServiceName(project, words[0], words[1], "".join(words[2:]), instance)


def is_project(name: str) -> bool:
    """`[a-z][a-z0-9]{12}` with at least one digit."""
    return (
        len(name) == PROJECT_LENGTH
        and name[0] in LOWER
        and _LABEL.issuperset(name)
        and not DIGITS.isdisjoint(name)
    )


def is_label(name: str) -> bool:
    """`[a-z0-9](-?[a-z0-9]){0,31}`, so never `--` and no hyphen at an end."""
    words = name.split("-")
    return all(words) and _LABEL.issuperset("".join(words)) and len("".join(words)) <= MAX_LABEL


def is_app(name: str) -> bool:
    """The label of an app or worker: it begins with a letter, so no instance number is one."""
    return is_label(name) and name[0] in LOWER


def is_user_id(name: str) -> bool:
    """A UUID in its usual lower-case form (RFC 9562, section 4)."""
    parts = name.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and _HEX.issuperset("".join(parts))


def is_slug(name: str) -> bool:
    """The name of a single sign-on provider."""
    return 0 < len(name) <= MAX_LABEL and _SLUG.issuperset(name)


def is_host_name(name: str) -> bool:
    """A DNS name in lower case, without wildcards, or an IPv4 address."""
    words = name.split(".")
    return len(name) <= MAX_HOST_NAME and all(
        0 < len(word) <= MAX_HOST_LABEL
        and _SLUG.issuperset(word)
        and not word.startswith("-")
        and not word.endswith("-")
        for word in words
    )


def is_display_name(name: str) -> bool:
    """Whether a person's name may be shown on a terminal and written into a certificate.

    Unprintable characters could forge lines or move the cursor, `#` and quotes would end sshd's
    options, parentheses and a second normal form could imitate another `NAME (ID)`.
    """
    if not 0 < len(name) <= MAX_DISPLAY_NAME or not name.isprintable():
        return False
    return _UNSHOWN.isdisjoint(name) and (name.isascii() or _is_nfc(name))


def _is_nfc(name: str) -> bool:
    import unicodedata  # only names beyond ASCII pay for it

    return unicodedata.is_normalized("NFC", name)


def _is_instance(word: str) -> bool:
    return (
        0 < len(word) <= MAX_INSTANCE_DIGITS
        and DIGITS.issuperset(word)
        and (word == "0" or word[0] != "0")
    )
