"""Where webhooks may not go."""

from __future__ import annotations

import ipaddress
import random

import pytest

from app.webhooks.targets import ForbiddenTarget, check_address, check_url

# The first and the last address of every row of IANA's registries of special-purpose addresses
# (IPv4 and IPv6), of multicast and site-local, and the metadata services of clouds.
INSIDE_V4 = """
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.0
    127.255.255.255 169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255 172.16.0.0 172.31.255.255
    192.0.0.0 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.170 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.255
    192.31.196.0 192.31.196.255 192.52.193.0 192.52.193.255 192.88.99.0 192.88.99.2 192.88.99.255
    192.168.0.0 192.168.255.255 192.175.48.0 192.175.48.255 198.18.0.0 198.19.255.255 198.51.100.0
    198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
    168.63.129.16
"""
INSIDE_V6 = """
    :: ::1 ::7f00:1 ::808:808 ::fffe:808:808 ::ffff:0:808:808 ::ffff:0:7f00:1 ::1:0:0:0 ff:: 100::
    100::ffff:ffff:ffff:ffff 100:0:0:1:: 100:0:0:1:ffff:ffff:ffff:ffff 64:ff9b:1::
    64:ff9b:1::808:808 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 64:ff9b:0:1::808:808 200:: 400:: 1fff:: 2001::
    2001:0:808:808:: 2001:1::1 2001:1::2 2001:1::3 2001:2:: 2001:3:: 2001:4:112:: 2001:10:: 2001:20::
    2001:2f:ffff:: 2001:30:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8::
    2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2620:4f:8000:: 2620:4f:8000:ffff:ffff:ffff:ffff:ffff 3ffe::
    3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff 4000:: 5f00:: 5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    8000:: fc00:: fd00:ec2::254 fd20:ce::254 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe00:: fe80::
    fe80::a9fe:a9fe febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0:: feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    ff00:: ff02::1 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
"""
OUTSIDE = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255
    192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    93.184.216.34 2001:200:: 2001:4860:4860::8888 2001:db7:ffff:: 2001:db9:: 2400:: 2606:2800:220:1::1
    2620:4f:7fff:: 2620:4f:8001:: 2a00:1450:4001::1 2c0f:fb50::1 3ffd:ffff::
"""


def wrapped(inner: str) -> list[str]:
    """An IPv4 address inside IPv6: mapped, by NAT64, by 6to4, by ISATAP with either mark."""
    low = int(ipaddress.IPv4Address(inner))
    six = ipaddress.IPv6Address
    prefix = int(six("2606:2800:220:1::")) | low
    return [
        str(six((0xFFFF << 32) | low)),
        str(six(int(six("64:ff9b::")) | low)),
        str(six((0x2002 << 112) | (low << 80) | 1)),
        str(six(prefix | (0x00005EFE << 32))),
        str(six(prefix | (0x02005EFE << 32))),
    ]


def judge(address: str, port: int = 443) -> None:
    check_address(ipaddress.ip_address(address), port, "https", [])


@pytest.mark.parametrize("address", f"{INSIDE_V4} {INSIDE_V6}".split())
def test_inside_addresses_are_refused(address: str) -> None:
    with pytest.raises(ForbiddenTarget, match="not a public address"):
        judge(address)
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(ForbiddenTarget, match="not a public address"):
        check_url(f"https://{shown}/", allow_http=False, allowed=[])


@pytest.mark.parametrize("address", INSIDE_V4.split())
def test_an_inside_address_is_seen_in_its_wrapper(address: str) -> None:
    for form in wrapped(address):
        with pytest.raises(ForbiddenTarget, match="not a public address"):
            judge(form)


@pytest.mark.parametrize("address", OUTSIDE.split())
def test_public_addresses_pass(address: str) -> None:
    for form in [address, *(wrapped(address) if "." in address else [])]:
        judge(form)
        with pytest.raises(ForbiddenTarget, match="port 22"):
            judge(form, 22)


def test_what_python_calls_not_global_is_refused_everywhere() -> None:
    """Our list against the library's, which misses some, at random IPv4 addresses."""
    draw = random.Random(25)
    numbers = [draw.getrandbits(32) for _ in range(20_000)]
    numbers += [draw.getrandbits(draw.choice((16, 24, 28))) | (192 << 24) for _ in range(5_000)]
    for address in map(ipaddress.IPv4Address, numbers):
        if not address.is_global or address.is_multicast:
            with pytest.raises(ForbiddenTarget):
                judge(str(address))


def test_an_operator_opens_networks_port_and_all() -> None:
    allowed = [ipaddress.ip_network("127.0.0.0/8")]
    check_address(ipaddress.ip_address("127.0.0.1"), 5000, "http", allowed)
    check_address(ipaddress.ip_address("::ffff:127.0.0.1"), 5000, "http", allowed)
    with pytest.raises(ForbiddenTarget):
        check_address(ipaddress.ip_address("10.0.0.1"), 5000, "http", allowed)
    with pytest.raises(ForbiddenTarget, match="port 5000"):
        check_address(ipaddress.ip_address("8.8.8.8"), 5000, "http", allowed)


REFUSED = {
    "http://example.org/": "https://",
    "ftp://example.org/": "https://",
    "example.org": "https://",
    "https:///path": "no host",
    "https://:443/": "no host",
    "https://user:pass@example.org/": "credentials",
    "https://@example.org/": "credentials",
    "https://example.org:99999/": "no URL",
    "https://example.org:x/": "no URL",
    "https://exa mple.org/": "spaces",
    "https://example.org/\n": "control characters",
    "https://example.org\\@127.0.0.1/": "backslashes",
    "https://example.org/\ud800": "control characters",
    "https://127.0.0.1/": "not a public address",
    "https://127.0.0.1./": "not a public address",
    "https://①②⑦.⓪.⓪.①/": "not a public address",
    "https://127。0。0。1/": "not a public address",
    "https://[::1]/": "not a public address",
    "https://[::1]./": "no host",
    "https://[::1].example.org/": "no host",
    "https://[::ffff:169.254.169.254]/": "not a public address",
    "https://[fe80::1%25eth0]/": "no host",
    "https://[::1/": "no URL",
    "https://[1:2]/": "no IPv6 address|no URL",
    "https://2130706433/": "is a number",
    "https://0x7f000001/": "is a number",
    "https://0X7F.1/": "is a number",
    "https://0177.0.0.1/": "is a number",
    "https://127.1/": "is a number",
    "https://example.1/": "is a number",
    "https://１２７.1/": "is a number",
    "https://example.org:22/": "port 22",
    "https://example.org:0/": "port 0",
    "https://example.org:8080/": "port 8080",
    "https://8.8.8.8:80/": "port 80",
    "https://%31%32%37.0.0.1/": "is a number|no host name",
    "https://example%2eorg/": "no host name",
    "https://-a-.b..org/": "no host name",
    "https://./": "no host name",
    f"https://{'a' * 64}.org/": "no host name",
    f"https://{'a.' * 127}org/": "no host name",
    "https://☃.example.org/": "no ASCII form",
    "https://a‍b.example.org/": "control characters",
    f"https://{'ü' * 64}.org/": "no ASCII form",
    "https://א1a.example.org/": "no ASCII form",
}


@pytest.mark.parametrize("url", REFUSED)
def test_bad_urls_are_refused_without_resolving(url: str) -> None:
    with pytest.raises(ForbiddenTarget, match=REFUSED[url]):
        check_url(url, allow_http=False, allowed=[])


PASSED = {
    "https://example.org": "https://example.org/",
    "https://EXAMPLE.org/Hook?a=%20b&c#part": "https://example.org/Hook?a=%20b&c",
    "https://example.org:8443/x": "https://example.org:8443/x",
    "https://example.org:/x": "https://example.org/x",
    "https://my_hook.example.org./": "https://my_hook.example.org./",
    "https://8.8.8.8/": "https://8.8.8.8/",
    "https://[2001:4860:4860:0::8888]:443/": "https://[2001:4860:4860::8888]:443/",
    "https://bücher.example/ä?ö=ü": "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC",
    "https://Ｂücher。example/": "https://xn--bcher-kva.example/",
    "https://例え.テスト/": "https://xn--r8jz45g.xn--zckzah/",
}


@pytest.mark.parametrize("url", PASSED)
def test_what_is_connected_to_is_ascii_and_read_once(url: str) -> None:
    parts = check_url(url, allow_http=False, allowed=[])
    assert parts.geturl() == PASSED[url]
    assert check_url(parts.geturl(), allow_http=False, allowed=[]) == parts


def test_plain_http_needs_a_switch() -> None:
    assert check_url("http://example.org/x", allow_http=True, allowed=[]).hostname == "example.org"
    with pytest.raises(ForbiddenTarget, match="port 443"):
        check_url("http://example.org:443/", allow_http=True, allowed=[])


def test_a_name_may_have_any_port_where_an_operator_opened_a_network() -> None:
    opened = [ipaddress.ip_network("10.1.0.0/16")]
    parts = check_url("https://hooks.internal:9000/", allow_http=False, allowed=opened)
    assert (parts.hostname, parts.port) == ("hooks.internal", 9000)
    with pytest.raises(ForbiddenTarget, match="port 9000"):
        check_url("https://8.8.8.8:9000/", allow_http=False, allowed=opened)
