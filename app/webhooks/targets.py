"""Where a webhook may go: URL rules at registration, address rules at connect time.

Covered: schemes other than https (http only by switch), credentials in the URL, ports other than
443 and 8443, and every address that is not public unicast, also when wrapped in IPv4-mapped, NAT64
or 6to4 form. The deny list is explicit because ``ipaddress.is_private`` misses 100.64/10, NAT64,
6to4 and multicast. Not covered: a public address that forwards inwards; keep the worker in a network
that cannot reach what it must not. Operators open networks with ``CLIPVET_WEBHOOK_ALLOW_CIDRS``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DENIED = [
    ipaddress.ip_network(network)
    for network in [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ]
]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"https": (443, 8443), "http": (80, 8080)}


class ForbiddenTarget(ValueError):
    """The webhook must not be sent there; the message says why."""


def check_url(url: str, *, allow_http: bool, allowed: Sequence[Network]) -> SplitResult:
    """Parse and judge a URL without resolving anything.

    Raises:
        ForbiddenTarget: wrong scheme, no host, credentials, an address that is denied as written.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenTarget("this is no URL") from error
    if parts.scheme not in (("https", "http") if allow_http else ("https",)):
        raise ForbiddenTarget("a webhook URL begins with https://")
    if not parts.hostname or any(ch.isspace() or ord(ch) < 33 for ch in url):
        raise ForbiddenTarget("the URL names no host")
    if parts.username is not None or parts.password is not None:
        raise ForbiddenTarget("a webhook URL carries no credentials")
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return parts
    check_address(literal, port or _PORTS[parts.scheme][0], parts.scheme, allowed)
    return parts


def check_address(address: Address, port: int, scheme: str, allowed: Sequence[Network]) -> None:
    """Raises ``ForbiddenTarget`` unless this very address and port may be connected to."""
    for form in _forms(address):
        if any(form.version == net.version and form in net for net in allowed):
            continue
        if any(form.version == net.version and form in net for net in _DENIED):
            raise ForbiddenTarget(f"{address} is not a public address")
        if port not in _PORTS[scheme]:
            raise ForbiddenTarget(f"port {port} is not allowed")


def _forms(address: Address) -> list[Address]:
    """The address and, if it wraps an IPv4 address, that one; the wrapper alone never decides."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    wrapped = address.ipv4_mapped or address.sixtofour
    if wrapped is None and address in _NAT64:
        wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return [wrapped] if wrapped is not None else [address]
