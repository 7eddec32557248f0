"""One frozen object with everything an operator may set, read once from `settings.toml`."""

import re
import tomllib
from dataclasses import dataclass, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ca.errors import Misconfigured

DEFAULT_DATA = Path("/var/lib/amrgate-ca")
SETTINGS_FILE = "settings.toml"
DATABASE_FILE = "amrgate.db"
HOST_PATTERN = re.compile(r"([a-z0-9*?-]+\.)*[a-z0-9-]+")  # as the client takes it, too


@dataclass(frozen=True)
class Settings:
    """What the operator decided. Defaults are the secure ones."""

    data: Path
    """The folder of keys, database and this file."""

    issuer: str
    """The URL under which everybody reaches us, without a slash at its end."""

    listen: str
    """`address:port` that `serve` listens on."""

    database: str
    """SQLAlchemy's URL of the database."""

    ssh_hosts: tuple[str, ...] = ()
    """Host patterns under which engineers reach the SSH hosts, such as "*.ssh.acme.example"."""

    clients: tuple[str, ...] = ("amrgate",)
    """Ids of the public OAuth clients."""

    proxies: tuple[str, ...] = ()
    """Networks of the reverse proxies that tell in X-Forwarded-For who asks."""

    provider_networks: tuple[str, ...] = ()
    """Networks in which single sign-on providers may be beside public addresses."""

    provider_hosts: tuple[str, ...] = ()
    """Hosts at which a provider may have endpoints beside its issuer's own."""

    smtp: str = ""
    """`host:port` of the server that takes our mail; without one, mail stays in the data folder."""

    smtp_user: str = ""
    """Whom we log in to it as; nobody, where it is empty."""

    smtp_password_file: str = ""
    """The file with that user's password: the only line of it, readable by us alone."""

    mail_from: str = ""
    """The address that our mail is from."""

    @property
    def smtp_server(self) -> tuple[str, int]:
        """The host and the port of `smtp`."""
        host, _, port = self.smtp.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by https; if not, it is plain http on a loopback address."""
        return self.issuer.startswith("https://")


def read(data: Path) -> Settings:
    """Read the settings of the data folder `data`.

    Raises:
        Misconfigured: the file is missing or says something that cannot be meant.
    """
    path = data / SETTINGS_FILE
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise Misconfigured(
            f"There is no {path}: run `amrgate-ca init --data {data}` first."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}.") from error
    try:
        return parse(text, data)
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error.message}") from error


def parse(text: str, data: Path) -> Settings:
    """Read settings from TOML.

    Raises:
        Misconfigured: naming the key that is wrong.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"not TOML: {error}.") from error
    known = {field.name for field in fields(Settings)} - {"data"}
    for name in values.keys() - known:
        raise Misconfigured(f"there is no setting {name!r}; there are {', '.join(sorted(known))}.")
    for name in ("issuer", "listen"):
        if name not in values:
            raise Misconfigured(f"{name!r} is missing.")
    smtp, user, file, sender = (_text(values, name) if name in values else "" for name in _MAIL)
    _check_mail(smtp, user, file, sender)
    return Settings(
        data=data,
        issuer=check_issuer(_text(values, "issuer")),
        listen=check_listen(_text(values, "listen")),
        database=_text(values, "database") if "database" in values else default_database(data),
        ssh_hosts=check_host_patterns(_texts(values, "ssh_hosts", Settings.ssh_hosts)),
        clients=_texts(values, "clients", Settings.clients),
        proxies=_networks(values, "proxies"),
        provider_networks=_networks(values, "provider_networks"),
        provider_hosts=_texts(values, "provider_hosts", Settings.provider_hosts),
        smtp=smtp,
        smtp_user=user,
        smtp_password_file=file,
        mail_from=sender,
    )


def render(settings: Settings) -> str:
    """Write settings as TOML, each with what it means."""
    default = settings.database == default_database(settings.data)
    return (
        "# The settings of this certificate authority; `amrgate-ca serve` reads them at its start.\n"
        "\n"
        "# The URL under which engineers and hosts reach it.\n"
        f"issuer = {_quoted(settings.issuer)}\n"
        "\n"
        "# Where it listens: address:port.\n"
        f"listen = {_quoted(settings.listen)}\n"
        "\n"
        "# The database, as SQLAlchemy writes it; without this line a file in this folder.\n"
        f"{'# ' * default}database = {_quoted(settings.database)}\n"
        "\n"
        "# Host patterns under which engineers reach your SSH hosts.\n"
        f"ssh_hosts = [{', '.join(map(_quoted, settings.ssh_hosts))}]\n"
        "\n"
        "# Ids of the command-line clients that may ask for a login.\n"
        f"clients = [{', '.join(map(_quoted, settings.clients))}]\n"
        "\n"
        "# Reverse proxies that tell in X-Forwarded-For who asks; a local one is 127.0.0.1/32.\n"
        f"proxies = [{', '.join(map(_quoted, settings.proxies))}]\n"
        "\n"
        "# Networks of yours, such as 10.1.0.0/16, in which single sign-on providers may be.\n"
        f"provider_networks = [{', '.join(map(_quoted, settings.provider_networks))}]\n"
        "\n"
        "# Hosts, beside its own, at which a provider may have its keys or give its tokens.\n"
        f"provider_hosts = [{', '.join(map(_quoted, settings.provider_hosts))}]\n"
        "\n"
        "# The server that sends our mail; without one, mail stays in the folder mail beside this\n"
        "# file. Port 465 is TLS from the start; elsewhere it must offer STARTTLS, if not local.\n"
        f"{_line('smtp', settings.smtp, 'smtp.acme.example:587')}"
        "\n"
        "# The address that mail is from.\n"
        f"{_line('mail_from', settings.mail_from, 'amrgate@acme.example')}"
        "\n"
        "# Whom it knows us as, and the file (chmod 600) that has nothing but the password.\n"
        f"{_line('smtp_user', settings.smtp_user, 'amrgate')}"
        f"{_line('smtp_password_file', settings.smtp_password_file, '/etc/amrgate/smtp')}"
    )


def default_database(data: Path) -> str:
    """The URL of the database in the data folder `data`."""
    return f"sqlite:///{data.absolute() / DATABASE_FILE}"


def default_proxies(issuer: str, listen: str) -> tuple[str, ...]:
    """The proxy there has to be where we are reached by https and listen for this machine alone."""
    address = ip_address(listen.rpartition(":")[0].strip("[]"))
    behind_one = issuer.startswith("https://") and address.is_loopback
    return (str(ip_network(address)),) if behind_one else ()


def check_issuer(url: str) -> str:
    """Return `url` without a slash at its end, if it is one that we may be reached under.

    Raises:
        Misconfigured: it is not https, nor http on a loopback address; or it is more than
            scheme, host and port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Misconfigured(f"the issuer {url!r} is not a URL: {error}.") from error
    if not parts.hostname or parts.username is not None or parts.path not in ("", "/"):
        raise Misconfigured(f"the issuer {url!r} must be only https://HOST or https://HOST:PORT.")
    if parts.query or parts.fragment or port == 0:
        raise Misconfigured(f"the issuer {url!r} must be only https://HOST or https://HOST:PORT.")
    # Passwords and tokens would cross the network in clear.
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise Misconfigured(
            f"the issuer {url!r} must begin with https://; http is for loopback addresses only."
        )
    return url.rstrip("/")


def check_host_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """`patterns`, if engineers' ssh may be told that the CA speaks for such hosts.

    Raises:
        Misconfigured: one fits hosts of others as well, or is none.
    """
    for pattern in patterns:
        if not HOST_PATTERN.fullmatch(pattern):
            raise Misconfigured(
                f"{pattern!r} is no pattern of SSH hosts: it must end with a domain of yours, such"
                " as '*.ssh.acme.example'."
            )
    return patterns


def check_listen(value: str) -> str:
    """Return `value` if it is `address:port`.

    Raises:
        Misconfigured: it is not.
    """
    address, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 a port
        raise Misconfigured(f"'listen' is {value!r}, but must be address:port.")
    try:
        ip_address(address.strip("[]"))
    except ValueError as error:
        raise Misconfigured(f"'listen' is {value!r}, but must be an IP address:port.") from error
    return value


def is_loopback(host: str) -> bool:
    """Whether `host`, as it is written, is this machine: what is said to it crosses no network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_MAIL = ("smtp", "smtp_user", "smtp_password_file", "mail_from")
_SENDER = re.compile(r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9.-]+")


def _check_mail(smtp: str, user: str, file: str, sender: str) -> None:
    if not smtp:
        if user or file or sender:
            raise Misconfigured("'smtp' is missing: the server that takes mail, as host:port.")
        return
    host, _, port = smtp.rpartition(":")
    bare = ":" not in host or (host.startswith("[") and host.endswith("]"))
    if not (host and bare and port.isascii() and port.isdigit() and 0 < int(port) < 65536):  # noqa: PLR2004 a port
        raise Misconfigured(f"'smtp' is {smtp!r}, but must be host:port.")
    if not _SENDER.fullmatch(sender):
        raise Misconfigured(f"'mail_from' is {sender!r}, but must be the address mail is from.")
    if bool(user) != bool(file):
        raise Misconfigured("'smtp_user' and 'smtp_password_file' belong together.")
    if file and not Path(file).is_absolute():
        raise Misconfigured(f"'smtp_password_file' is {file!r}, but must begin with /.")


def _text(values: dict[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or not value:
        raise Misconfigured(f"{name!r} must be a text.")
    return value


def _texts(values: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = values.get(name, list(default))
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise Misconfigured(f"{name!r} must be a list of texts.")
    return tuple(value)


def _networks(values: dict[str, Any], name: str) -> tuple[str, ...]:
    found = _texts(values, name, ())
    for text in found:
        try:
            ip_network(text)
        except ValueError as error:
            raise Misconfigured(f"{name!r} has {text!r}, which is not a network.") from error
    return found


def _line(name: str, value: str, example: str) -> str:
    return f"{name} = {_quoted(value)}\n" if value else f"# {name} = {_quoted(example)}\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
