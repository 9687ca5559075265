"""Where a webhook may go: URL rules at registration, address rules at connect time.

Covered: schemes other than https (http only by switch), credentials in the URL, ports other than
443 and 8443, host names that no resolver takes or that another parser reads otherwise, and every
address that is not public unicast, also when it is wrapped in another (IPv4-mapped, NAT64, 6to4,
ISATAP). IPv4 is judged by IANA's registry of special-purpose addresses, in IPv6 only 2000::/3
is public at all, less the registry's entries in it; both written out, because ``ipaddress`` of
Python 3.11 misses some. Not covered: a public address that forwards inwards, or that a network of
its own translates to IPv4; keep the worker in a network that cannot reach what it must not.
Operators open networks with ``CLIPVET_WEBHOOK_ALLOW_CIDRS``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, quote, urlsplit

import idna

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str) -> list[Network]:
    return [ipaddress.ip_network(network) for network in text.split()]


_DENIED_V4 = _networks(
    # IANA IPv4 Special-Purpose Address Registry (RFC 6890), all rows, also those that it calls
    # globally reachable: AS112 and AMT relays are anycast, so their nearest one may be inside.
    """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
    198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
    """
    # Multicast, and the one metadata service whose address looks public (Azure's platform).
    "224.0.0.0/4 168.63.129.16/32"
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""All that IANA assigns as global unicast (RFC 4291, 2.4)."""
_DENIED_V6 = _networks(
    # What the IPv6 registry has of it: IETF protocols (Teredo, benchmarking, ORCHID …), AS112, the
    # two documentation prefixes. 3ffe::/16 was the 6bone's.
    "2001::/23 2620:4f:8000::/48 2001:db8::/32 3fff::/20 3ffe::/16"
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
_PORTS = {"https": (443, 8443), "http": (80, 8080)}
_NETLOC = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@]+))(?::[0-9]*)?")
_NAME = re.compile(r"(?=.{1,253}\.?$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
"""What ends in a number is an IPv4 address to some resolvers (inet_aton) and to browsers."""


class ForbiddenTarget(ValueError):
    """The webhook must not be sent there; the message says why."""


def check_url(url: str, *, allow_http: bool, allowed: Sequence[Network]) -> SplitResult:
    """Parse and judge a URL without resolving anything.

    Returns:
        The URL in ASCII, its host as a resolver takes it, without a fragment. Whoever connects uses
        this one, so that no other parser reads another host.

    Raises:
        ForbiddenTarget: wrong scheme, no host, credentials, a port or an address that is denied as
            written. The port of a name is left to the moment of connecting where ``allowed`` opens
            anything, as the name may lie there.
    """
    parts, port = _split(url)
    if parts.scheme not in (("https", "http") if allow_http else ("https",)):
        raise ForbiddenTarget("a webhook URL begins with https://")
    if "@" in parts.netloc:
        raise ForbiddenTarget("a webhook URL carries no credentials")
    host = _host_of(parts.netloc)
    used_port = _PORTS[parts.scheme][0] if port is None else port
    if isinstance(host, str):
        if not allowed:
            _check_port(used_port, parts.scheme)
        shown = host
    else:
        check_address(host, used_port, parts.scheme, allowed)
        shown = f"[{host}]" if host.version == 6 else str(host)
    netloc = shown if port is None else f"{shown}:{port}"
    path, query = (quote(part, safe="/%:@!$&'()*+,;=~?") for part in (parts.path, parts.query))
    return SplitResult(parts.scheme, netloc, path or "/", query, "")


def check_address(address: Address, port: int, scheme: str, allowed: Sequence[Network]) -> None:
    """Raises ``ForbiddenTarget`` unless this very address and port may be connected to."""
    for form in _forms(address):
        if any(form.version == net.version and form in net for net in allowed):
            continue
        if not _is_public(form):
            raise ForbiddenTarget(f"{address} is not a public address")
        _check_port(port, scheme)


def _check_port(port: int, scheme: str) -> None:
    if port not in _PORTS[scheme]:
        usual = " and ".join(map(str, _PORTS[scheme]))
        raise ForbiddenTarget(f"port {port} is not allowed, only {usual} are")


def _split(url: str) -> tuple[SplitResult, int | None]:
    if any(not ch.isprintable() or ch.isspace() or ch == "\\" for ch in url):
        raise ForbiddenTarget("a URL holds no spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError as error:
        raise ForbiddenTarget("this is no URL") from error


def _host_of(netloc: str) -> Address | str:
    """The host as an address, or as a name in ASCII."""
    found = _NETLOC.fullmatch(netloc)
    if found is None:
        raise ForbiddenTarget("the URL names no host")
    if found["v6"] is not None:
        try:
            return ipaddress.IPv6Address(found["v6"])
        except ValueError as error:
            raise ForbiddenTarget(f"[{found['v6'][:60]}] is no IPv6 address") from error
    name = _ascii(found["name"])
    if _NUMBER.fullmatch(name):
        try:
            return ipaddress.IPv4Address(name.removesuffix("."))
        except ValueError as error:
            raise ForbiddenTarget(f"the host {name[:60]!r} is a number, and no address") from error
    if not _NAME.fullmatch(name):
        raise ForbiddenTarget(f"{name[:60]!r} is no host name")
    return name


def _ascii(name: str) -> str:
    """The name in lower case and, where it has other letters, as UTS 46 and IDNA 2008 spell it."""
    if name.isascii():
        return name.lower()
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise ForbiddenTarget(
            f"the host {name[:60]!r} has no ASCII form (IDNA): {error}"
        ) from error


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return all(address not in network for network in _DENIED_V4)
    return address in _PUBLIC_V6 and all(address not in network for network in _DENIED_V6)


def _forms(address: Address) -> Iterator[Address]:
    """Every address that decides: an IPv4 address in another's place, or beside its own prefix."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    in_place = address.ipv4_mapped or address.sixtofour or (inner if address in _NAT64 else None)
    yield in_place or address
    if in_place is None and int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        yield inner
