"""Where providers may be: which addresses, and which URLs."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_URL = 2048  # characters

# IPv6 addresses that are IPv4 addresses of any kind behind a translator (RFC 6052, RFC 3056).
TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


class Refused(ValueError):
    """What is wrong with a provider or what it says, for the operator's log."""


@dataclass(frozen=True)
class Networks:
    """Where providers may be: public addresses, and these networks of the operator's.

    `hosts` are those at which a provider may have endpoints beside its issuer's own.
    """

    networks: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def allow(self, address: str) -> bool:
        """Whether a provider may have this IP address."""
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        if any(found in ipaddress.ip_network(network) for network in self.networks):
            return True
        translated = any(found in network for network in TRANSLATED)
        return found.is_global and not found.is_multicast and not translated

    def check_url(self, url: str) -> None:
        """Check a URL before anything is asked there.

        Raises:
            Refused: it is not https, nor http on a loopback address that providers may have.
        """
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname or "", parts.port
        except ValueError as error:
            raise Refused(f"no URL: {url!a}") from error
        plain = url.isascii() and url.isprintable() and len(url) <= MAX_URL
        if not (plain and host) or parts.username is not None or parts.fragment:
            raise Refused(f"no URL of a provider: {url[:MAX_URL]!a}")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._is_local(host)):
            raise Refused(f"not https: {url!a}")

    def _is_local(self, host: str) -> bool:
        try:
            return ipaddress.ip_address(host).is_loopback and self.allow(host)
        except ValueError:
            return False
