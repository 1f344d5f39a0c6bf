"""Listening: all addresses or one clear line."""

import os
import socket

import pytest

from mailbell.errors import ListenError
from mailbell.server.listener import bind_all, name


def test_both_families_on_one_port() -> None:
    first = bind_all("smtp", ("127.0.0.1",), 0)
    port = first[0].getsockname()[1]
    try:
        second = bind_all("smtp", ("::1",), port)
        assert name(first[0]) == f"127.0.0.1:{port}"
        assert name(second[0]) == f"[::1]:{port}"
        second[0].close()
    finally:
        first[0].close()


def test_a_taken_port_is_one_line_with_the_remedy_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ListenError, match=r"127\.0\.0\.1 port \d+ is taken by another program.*--port"):
            bind_all("smtp", ("127.0.0.2", "127.0.0.1"), port)
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ListenError, match="not an address of this machine"):
        bind_all("smtp", ("192.0.2.1",), 0)
