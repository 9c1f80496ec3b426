"""Addresses on the wire, HTCondor's own ones first."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import ProtocolError, WireError
from daemoncore.cedar.sinful import Sinful
from tests import vector_files

RECORDED = sorted(
    {
        text
        for name in vector_files.names()
        for text in re.findall(r"<[0-9.]+:[^<>\"\\]*>", json.dumps(vector_files.load(name)))
    }
)


@pytest.mark.parametrize("text", RECORDED)
def test_recorded_addresses_come_back_as_they_were(text):
    """Every address that a real daemon sent is read and written unchanged."""
    assert str(Sinful.parse(text)) == text


def test_the_recordings_have_shared_ports_and_several_addresses():
    """The recorded addresses are worth the test above."""
    assert any("sock=" in text for text in RECORDED)
    assert any("addrs=" in text for text in RECORDED)


def test_the_parts_of_an_address():
    """Each parameter is found under its own name."""
    address = Sinful.parse(
        "<10.99.0.1:9660?addrs=10.99.0.1-9660+[2001-db8--1]-9660&alias=cm1.example.org&noUDP&sock=had>"
    )
    assert (address.host, address.port) == ("10.99.0.1", 9660)
    assert (address.sock, address.alias, address.ccb_id) == ("had", "cm1.example.org", None)
    assert not address.has_udp
    assert address.addresses == (("10.99.0.1", 9660), ("2001:db8::1", 9660))
    assert address.parameter("nothing") is None
    plain = Sinful.parse("<cm1.example.org:9618>")
    assert (plain.sock, plain.has_udp, plain.addresses) == (None, True, ())
    assert Sinful.parse("<10.0.0.1:1?addrs=x+10.0.0.1-99999+10.0.0.2-7>").addresses == (("10.0.0.2", 7),)


def test_ipv6_addresses_stand_in_brackets():
    """The brackets are of the text and not of the host."""
    address = Sinful.parse("<[::1]:9618?sock=had>")
    assert (address.host, address.port, address.sock) == ("::1", 9618, "had")
    assert str(address) == "<[::1]:9618?sock=had>"


def test_values_are_percent_encoded():
    """Whatever could end a value or the address is encoded, as HTCondor does it."""
    broker = "<10.0.0.9:9618?a=b>#12 &;=%ö"
    text = str(Sinful("h", 1).with_parameter("CCBID", broker))
    assert text == "<h:1?CCBID=%3c10.0.0.9:9618%3fa%3db%3e#12%20%26%3b%3d%25%c3%b6>"
    assert Sinful.parse(text).ccb_id == broker


def test_parameters_are_set_in_order_of_their_keys():
    """A new or replaced parameter stands where HTCondor's sorted map would put it."""
    address = Sinful.parse("<h:1?sock=old&alias=a>").with_parameter("sock", "had").with_parameter("noUDP", "")
    assert str(address) == "<h:1?alias=a&noUDP&sock=had>"
    assert Sinful.parse("<h:1?a=1;a=2&&b>").parameters == (("a", "2"), ("b", ""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        "<>x",
        "h:1",
        "<h:1",
        "h:1>",
        "<h:x>",
        "<h:65536>",
        "<h:1>x",
        "<[::1:1>",
        "<h i:1>",
        "<h:1?=x>",
        "<h:1?a=%g0>",
        "<h:1?a=%4>",
        "<h:1>\n",
    ],
)
def test_what_is_no_address_is_a_protocol_error(text):
    """A broken address is the peer's fault, and the sentence repeats it."""
    with pytest.raises(ProtocolError, match=r"address|port"):
        Sinful.parse(text)


texts = st.text(max_size=20)


@given(
    st.from_regex("[a-z0-9.-]{1,20}", fullmatch=True),
    st.integers(0, 65535),
    st.dictionaries(texts.filter(bool), texts),
)
def test_any_parameters_survive(host, port, parameters):
    """Any keys and values are read as they were written."""
    address = Sinful(host, port, tuple(parameters.items()))
    assert Sinful.parse(str(address)) == address


@given(st.text() | st.text("<>[]:?&;=%+-a1").map(lambda text: f"<h:1{text}>"))
def test_any_text_is_an_address_or_a_wire_error(text):
    """Nothing but WireError comes of an address, and what is read once is read again."""
    with contextlib.suppress(WireError):
        address = Sinful.parse(text)
        assert address.addresses is not None
        assert Sinful.parse(str(address)) == address
