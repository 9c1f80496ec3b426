"""COLLECTOR_HOST as people write it, and the name of an ad."""

import os
import pwd

import pytest

from daemoncore.address import Address
from daemoncore.collectors import (
    account_name,
    name_of_had,
    name_of_replication,
    parse_collector,
    read_advertising,
)
from daemoncore.config import load
from daemoncore.membership import Examination, Network, read_members


def examination(tmp_path, text="", own=("10.0.0.1",), local_name=None):
    """A configuration on a host with these addresses."""
    path = tmp_path / "had.conf"
    path.write_text(text)
    network = Network(lambda host: (host,), own.__contains__, lambda _name: ())
    return Examination(load(str(path), local_name=local_name, environment={}), network)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("cm1", Address("cm1", 9618)),
        ("CM1.Example.org", Address("cm1.example.org", 9618)),
        ("cm1:9620", Address("cm1", 9620)),
        ("10.0.0.1", Address("10.0.0.1", 9618)),
        ("<10.0.0.1:9618>", Address("10.0.0.1", 9618)),
        ("<10.0.0.1:9618?sock=collector>", Address("10.0.0.1", 9618, "collector")),
        ("cm1:9618?sock=collector", Address("cm1", 9618, "collector")),
        ("cm1?sock=collector", Address("cm1", 9618, "collector")),
        ("<10.0.0.1:9618?addrs=10.0.0.1-9618&alias=cm1>", Address("10.0.0.1", 9618)),
        ("[2001:db8::1]", Address("2001:db8::1", 9618)),
        ("[2001:db8::1]:9620", Address("2001:db8::1", 9620)),
        ("2001:db8::1", Address("2001:db8::1", 9618)),
        ("::1", Address("::1", 9618)),
        ("127.0.0.1:0", None),
        ("cm1:0", None),
    ],
)
def test_an_entry_is_an_address(text, address):
    """Host, host and port, or a sinful string; 9618 where no port is said, nobody where it is 0."""
    assert parse_collector(text) == address


@pytest.mark.parametrize("text", ["", ":9618", "cm1:port", "cm 1", "cm1:99999", "http://cm1/", "<cm1"[::-1]])
def test_an_entry_that_is_none(text):
    """Whatever else stands there is said to be none."""
    with pytest.raises(ValueError, match="a collector is host"):
        parse_collector(text)


def test_nobody_is_told_where_nobody_is_named(tmp_path):
    """Without COLLECTOR_HOST and CONDOR_HOST there is no collector, and no warning."""
    found = examination(tmp_path)
    assert read_advertising(found, "HAD_UPDATE_INTERVAL", "n").collectors == ()
    assert read_advertising(found, "HAD_UPDATE_INTERVAL", "n").interval_seconds == 300
    assert found.warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "CONDOR_HOST = cm1, cm2",
        "CONDOR_HOST = nobody\nCOLLECTOR_HOST = cm1 cm2:9618 cm1:9618",
        "COLLECTOR_HOST = cm1,here:0,cm2",
    ],
)
def test_each_collector_once(tmp_path, text):
    """COLLECTOR_HOST is CONDOR_HOST unless it is set; whoever is named twice is told once."""
    found = examination(tmp_path, text)
    told = read_advertising(found, "HAD_UPDATE_INTERVAL", "n").collectors
    assert [one.address for one in told] == [Address("cm1", 9618), Address("cm2", 9618)]
    assert found.warnings == []


def test_an_odd_entry_is_no_reason_not_to_lead(tmp_path):
    """It is warned of, and the others are told."""
    found = examination(tmp_path, "COLLECTOR_HOST = cm1:port, cm2")
    assert [one.entry for one in read_advertising(found, "REPLICATION_UPDATE_INTERVAL", "n").collectors] == [
        "cm2"
    ]
    assert ["COLLECTOR_HOST has an entry that is no address" in one.message for one in found.warnings] == [
        True
    ]


# --- names --------------------------------------------------------------------------------------------------------


def names(found, me):
    """The names of both daemons' ads."""
    members = read_members("HAD_LIST", found)
    mine = next(member for member in members if member.entry == me)
    machine = read_advertising(found, "HAD_UPDATE_INTERVAL", "n").machine
    both = name_of_had(found, mine, members, None), name_of_replication(found, mine, members)
    return [name.replace(machine, "HOST").replace(account_name(None), "ACCOUNT") for name in both]


def test_the_name_is_the_originals(tmp_path):
    """Where a host has one member, a condor_had that is put back in its place replaces the ad."""
    found = examination(tmp_path, "HAD_LIST = 10.0.0.1:51450, 10.0.0.2:51450")
    assert names(found, "10.0.0.1:51450") == ["ACCOUNT@HOST", "replication@HOST -p 51450"]


def test_neighbours_have_names_of_their_own(tmp_path):
    """Two members on one host do not replace each other's ads."""
    text = "HAD_LIST = 10.0.0.1:51450, 10.0.0.1:51451, 10.0.0.9:51450"
    found = examination(tmp_path, text, own=("10.0.0.1", "10.0.0.9"))
    assert names(found, "10.0.0.1:51450") == [
        "ACCOUNT@HOST#10.0.0.1:51450",
        "replication@HOST -p 51450#10.0.0.1:51450",
    ]
    assert names(found, "10.0.0.1:51451") == ["ACCOUNT@HOST#10.0.0.1:51451", "replication@HOST -p 51451"]


def test_behind_a_shared_port_there_is_no_port(tmp_path):
    """The original has -1 for it there, whichever shared port that is; neighbours have names of their own as ever."""
    text = "HAD_LIST = <10.0.0.1:9618?sock=a>, <10.0.0.1:9619?sock=b>, 10.0.0.1:51450, 10.0.0.2:51450"
    found = examination(tmp_path, text)
    for entry in ("<10.0.0.1:9618?sock=a>", "<10.0.0.1:9619?sock=b>"):
        assert names(found, entry)[1] == f"replication@HOST -p -1#{entry}"
    assert names(found, "10.0.0.1:51450")[1] == "replication@HOST -p 51450"
    alone = examination(tmp_path, "HAD_LIST = <10.0.0.1:9618?sock=a>, <10.0.0.2:9618?sock=a>")
    assert names(alone, "<10.0.0.1:9618?sock=a>")[1] == "replication@HOST -p -1"


def test_a_second_pool_on_the_host_has_a_name_of_its_own(tmp_path):
    """`-local-name` tells two that know nothing of each other apart."""
    found = examination(tmp_path, "HAD_LIST = 10.0.0.1:51450", local_name="SCHED")
    assert names(found, "10.0.0.1:51450")[0] == "ACCOUNT@HOST#SCHED"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives way to another account")
def test_root_goes_by_the_account_of_htcondor():
    """CONDOR_IDS names it; else it is condor, if there is such an account."""
    some = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, 65534))
    assert account_name((some.pw_uid, some.pw_gid)) == some.pw_name
    assert account_name((0, 0)) == "root"
    assert account_name(None) in {"condor", "root"}
    assert account_name((987654, 0)) == "UNKNOWN"
