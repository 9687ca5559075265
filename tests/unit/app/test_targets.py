"""Where webhooks may not go."""

from __future__ import annotations

import ipaddress

import pytest

from app.webhooks.targets import ForbiddenTarget, check_address, check_url

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fe80::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_inside_addresses_are_refused(address: str) -> None:
    with pytest.raises(ForbiddenTarget, match="not a public address"):
        check_address(ipaddress.ip_address(address), 443, "https", [])


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_public_addresses_pass(address: str) -> None:
    check_address(ipaddress.ip_address(address), 443, "https", [])
    with pytest.raises(ForbiddenTarget, match="port 22"):
        check_address(ipaddress.ip_address(address), 22, "https", [])


def test_an_operator_opens_networks_port_and_all() -> None:
    allowed = [ipaddress.ip_network("127.0.0.0/8")]
    check_address(ipaddress.ip_address("127.0.0.1"), 5000, "http", allowed)
    check_address(ipaddress.ip_address("::ffff:127.0.0.1"), 5000, "http", allowed)
    with pytest.raises(ForbiddenTarget):
        check_address(ipaddress.ip_address("10.0.0.1"), 5000, "http", allowed)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https:///path",
        "https://user:pass@example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://example.org:99999/",
        "https://exa mple.org/",
        "example.org",
    ],
)
def test_bad_urls_are_refused_without_resolving(url: str) -> None:
    with pytest.raises(ForbiddenTarget):
        check_url(url, allow_http=False, allowed=[])


def test_plain_http_needs_a_switch() -> None:
    assert check_url("http://example.org/x", allow_http=True, allowed=[]).hostname == "example.org"
