"""The links of chaos fail as they say, seen by a client of an echo server."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import Link, Proxies

_SOON_S = 0.3


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        # Links that are cut reset their connections.
        with suppress(ConnectionResetError):
            while data := self.request.recv(4096):
                self.request.sendall(data)


class _EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def link() -> Iterator[Link]:
    with _EchoServer(("127.0.0.1", 0), _Echo) as server, Proxies() as proxies:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield proxies.link("echo", server.server_address[1])
        server.shutdown()


def _connected(link: Link) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", link.port), timeout=5)
    assert _echo(connection) == b"there?"
    return connection


def _echo(connection: socket.socket) -> bytes:
    connection.sendall(b"there?")
    return connection.recv(100)


def test_a_cut_resets_what_is_open_and_refuses_what_comes(link: Link) -> None:
    connection = _connected(link)
    link.cut()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.port), timeout=5)
    link.heal()
    _connected(link).close()


def test_silence_answers_nothing_until_it_is_over(link: Link) -> None:
    connection = _connected(link)
    link.silence()
    later = socket.create_connection(("127.0.0.1", link.port), timeout=5)
    for one in (connection, later):
        one.settimeout(_SOON_S)
        one.sendall(b"now?")
        with pytest.raises(TimeoutError):
            one.recv(1)
    link.heal()
    for one in (connection, later):
        one.settimeout(5)
        assert one.recv(4) == b"now?"


def test_silence_may_end_in_a_reset(link: Link) -> None:
    connection = _connected(link)
    link.silence()
    link.heal(forget=True)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_orphans_are_not_served_while_new_connections_are(link: Link) -> None:
    connection = _connected(link)
    link.orphan()
    connection.settimeout(_SOON_S)
    connection.sendall(b"now?")
    with pytest.raises(TimeoutError):
        connection.recv(1)
    _connected(link).close()
    link.heal()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_drop_resets_only_what_is_open(link: Link) -> None:
    connection = _connected(link)
    link.drop()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    _connected(link).close()


def test_slow_links_take_their_time(link: Link) -> None:
    connection = _connected(link)
    for wishes, least_s in (({"delay_s": 0.1}, 0.2), ({"bytes_per_s": 40.0}, 0.3)):
        link.slow(**wishes)
        begun = time.monotonic()
        _echo(connection)
        assert time.monotonic() - begun >= least_s
    link.heal()
    begun = time.monotonic()
    _echo(connection)
    assert time.monotonic() - begun < least_s


def test_what_one_side_ends_the_other_sees(link: Link) -> None:
    connection = _connected(link)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
