"""The names of an address: only those that lead back to it, and quickly or not at all."""

# ruff: noqa: ARG002 -- a resolver takes what the interface says

import socket

import pytest
import trio

from daemoncore.host_names import _MAXIMUM_REMEMBERED, HostNames


class NameServer(trio.abc.HostnameResolver):
    """A name server that knows a few names, one of them a lie, and answers as slowly as told."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.questions = 0

    async def getnameinfo(self, sockaddr, flags):
        """Name an address."""
        self.questions += 1
        await trio.sleep(self.seconds)
        names = {"10.0.0.1": "cm1.example.org", "10.6.6.6": "cm1.example.org"}
        if sockaddr[0] not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return names[sockaddr[0]], "0"

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002 -- the interface's name
        """Give the address of the only name."""
        return [(socket.AF_INET, type, proto, "", ("10.0.0.1", 0))]


CASES = [("10.0.0.1", ("cm1.example.org",)), ("10.6.6.6", ()), ("10.0.0.9", ())]


@pytest.mark.parametrize(("address", "expected"), CASES)
async def test_a_name_counts_if_it_leads_back(address, expected, autojump_clock):
    """A name that its owner only claims, and an address without one, give nothing."""
    trio.socket.set_custom_hostname_resolver(NameServer())
    assert await HostNames().names_of(address) == expected


async def test_an_answer_is_remembered(autojump_clock):
    """The same address is not asked for again for ten minutes."""
    server, names = NameServer(), HostNames()
    trio.socket.set_custom_hostname_resolver(server)
    for _ in range(3):
        await names.names_of("10.0.0.1")
    assert server.questions == 1
    await trio.sleep(600)
    await names.names_of("10.0.0.1")
    assert server.questions == 2


async def test_a_slow_name_server_holds_nobody_up(autojump_clock):
    """After two seconds an address has no name, and that is remembered as well."""
    server, names = NameServer(seconds=30), HostNames()
    trio.socket.set_custom_hostname_resolver(server)
    start = trio.current_time()
    assert await names.names_of("10.0.0.1") == ()
    assert await names.names_of("10.0.0.1") == ()
    assert trio.current_time() - start == pytest.approx(2)


async def test_a_flood_of_addresses_is_not_remembered(autojump_clock):
    """However many addresses call, only so many names are kept."""
    names = HostNames()
    trio.socket.set_custom_hostname_resolver(NameServer())
    for number in range(_MAXIMUM_REMEMBERED + 10):
        await names.names_of(f"10.1.{number // 256}.{number % 256}")
    assert len(names._known) <= _MAXIMUM_REMEMBERED
