"""One spelling for each place to connect to."""

import pytest

from daemoncore.address import Address
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.sinful import Sinful


@pytest.mark.parametrize(
    ("text", "host", "port", "sock"),
    [
        ("cm1.example.org:51450", "cm1.example.org", 51450, None),
        ("CM1.Example.Org.:51450", "cm1.example.org", 51450, None),
        (" 10.0.0.1:1 ", "10.0.0.1", 1, None),
        ("<10.0.0.1:51450>", "10.0.0.1", 51450, None),
        ("<10.0.0.1:9618?addrs=10.0.0.1-9618&alias=cm1&sock=had>", "10.0.0.1", 9618, "had"),
        ("cm1:9618?sock=had", "cm1", 9618, "had"),
        ("[::1]:9618", "::1", 9618, None),
        ("<[2001:DB8:0:0::1]:9618?sock=x>", "2001:db8::1", 9618, "x"),
        ("my_host-2:65535", "my_host-2", 65535, None),
    ],
)
def test_every_spelling_is_read(text, host, port, sock):
    """Member lists, wire addresses and IPv6 brackets give the same kind of address."""
    assert Address.parse(text) == Address(host, port, sock)
    assert Address.parse(text).host == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":1",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "::1:9618",
        "[::1]",
        "a b:1",
        "-a:1",
        "<h:1",
        "h:1,i:2",
    ],
)
def test_what_is_no_address_is_a_value_error(text):
    """The sentence says what an address is and repeats what was given."""
    with pytest.raises(ValueError, match="an address is host:port") as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)


def test_an_address_prints_as_host_and_port():
    """The name behind a shared port is left out of `str`, and is on the wire."""
    assert str(Address("cm1", 9618, "had")) == "cm1:9618"
    assert str(Address("::1", 9618)) == "[::1]:9618"
    assert str(Address("::1", 9618, "had").sinful()) == "<[::1]:9618?sock=had>"
    assert str(Address("cm1", 9618).sinful()) == "<cm1:9618>"
    assert Address.parse(str(Address("::1", 1).sinful())) == Address("::1", 1)


def test_addresses_are_keys_and_have_an_order():
    """Spellings of one place are one key; ports and socks order those of one host."""
    assert len({Address("CM1", 1), Address("cm1.", 1), Address("cm1", 1, "had")}) == 2
    unordered = [Address("b", 1), Address("a", 2, "x"), Address("a", 2), Address("a", 1)]
    assert sorted(unordered) == [Address("a", 1), Address("a", 2), Address("a", 2, "x"), Address("b", 1)]


def test_numeric_and_loopback_hosts_are_told_apart():
    """A name is not numeric, whatever it may resolve to."""
    assert Address("127.0.0.2", 1).is_loopback
    assert Address("::1", 1).is_loopback
    assert Address("10.0.0.1", 1).is_numeric
    assert not Address("10.0.0.1", 1).is_loopback
    assert not Address("localhost", 1).is_numeric
    assert not Address("localhost", 1).is_loopback


def test_an_address_from_the_wire_needs_host_and_port():
    """A sinful string without them is the peer's fault."""
    for sinful in (Sinful("cm1", None), Sinful("", 1), Sinful("cm1", 0), Sinful("c/m", 1)):
        with pytest.raises(ProtocolError, match="needs a"):
            Address.of(sinful)
