"""Which collectors are on this host: found while the configuration is loaded, however slow the name server is."""

import threading

import attrs
import pytest

from daemoncore.collectors import Collector, parse_collector
from daemoncore.config import load
from daemoncore.membership import HOST_NETWORK, Network
from had.control_settings import ControlKind
from had.node import environment_of
from had.own_collectors import find_own_collectors, hosts_here
from had.settings import Change, compare, settings_from

CONFIGURATION = """
HAD_LIST = 127.0.0.1:9620, 127.0.0.2:9620
HAD_SELF = 127.0.0.1:9620
NEGOTIATOR = /bin/true
COLLECTOR_HOST = {}
"""
BOTH = "cm1.example.org, cm2.example.org:9618?sock=collector"


def settings(folder, network, collectors=BOTH):
    """Return the settings of a host that starts a negotiator itself."""
    path = folder / "had.conf"
    path.write_text(CONFIGURATION.format(collectors))
    return settings_from(load(str(path), environment={}), network, environment={})


def knowing(names):
    """Return a network on which 127.0.0.0/8 is here, and whose name server knows these names."""

    def resolve(host):
        if host in names:
            return (names[host],)
        if host.startswith("127."):
            return (host,)
        raise OSError(-2, "Name or service not known")

    return Network(resolve, lambda number: number.startswith("127."), lambda _name: ())


def told(found, folder):
    """Return the COLLECTOR_HOST that the controllee is told."""
    return environment_of(found, 258, folder / "epoch").get("_CONDOR_COLLECTOR_HOST")


def test_a_start_asks_no_name_server(tmp_path):
    """The controllee's environment goes by what was found when the configuration was loaded."""
    found = settings(tmp_path, knowing({"cm2.example.org": "127.0.0.5"}))
    assert found.own_collectors == ("cm2.example.org:9618?sock=collector",)
    assert told(found, tmp_path) == "cm2.example.org:9618?sock=collector, cm1.example.org"


def test_a_name_without_an_answer_is_elsewhere(tmp_path):
    """The name server that hangs costs the patience once, and only the names that it was asked for."""
    is_over = threading.Event()

    def resolve(host):
        if host == "cm1.example.org":
            is_over.wait()
        return ("127.0.0.1",) if host.endswith(".org") else (host,)

    network = Network(resolve, lambda number: number.startswith("127."), lambda _name: ())
    try:
        found = settings(tmp_path, network)
        assert found.own_collectors == ("cm2.example.org:9618?sock=collector",)
    finally:
        is_over.set()


def test_names_are_looked_up_side_by_side():
    """Each has the whole patience: here none has an answer before all are asked for."""
    together = threading.Barrier(20)

    def resolve(_host):
        together.wait()
        return ("127.0.0.1",)

    hosts = [f"cm{number}.example.org" for number in range(20)]
    assert hosts_here(hosts, Network(resolve, lambda _number: True, lambda _name: ()), 60) == frozenset(hosts)


def test_nobody_is_asked_for_nothing(tmp_path):
    """Where there is one collector, or no negotiator that we start, there is no order and no look-up."""
    two = settings(tmp_path, knowing({}))

    def resolve(host):
        raise AssertionError(host)

    network = Network(resolve, lambda _number: True, lambda _name: ())
    collectors, control = two.advertising.collectors, two.control
    assert find_own_collectors(control, collectors[:1], network) == ()
    assert find_own_collectors(attrs.evolve(control, controllee="schedd"), collectors, network) == ()
    assert find_own_collectors(attrs.evolve(control, kind=ControlKind.MASTER), collectors, network) == ()


def test_a_reload_takes_it_up(tmp_path):
    """A name that has an answer at the next reload is a soft change."""
    before = settings(tmp_path, knowing({}))
    after = settings(tmp_path, knowing({"cm1.example.org": "127.0.0.1"}))
    assert told(before, tmp_path) is None
    assert told(after, tmp_path).startswith("cm1.example.org, ")
    assert compare(before, after) is Change.SOFT


@pytest.mark.parametrize(
    ("entry", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.0.0.9:9618", True),
        ("<127.0.0.1:9618?sock=collector>", True),
        ("localhost:9618", True),
        ("192.0.2.1:9618", False),
        ("no.such.host.invalid", False),
        ("a..b", False),
    ],
)
def test_what_is_here(tmp_path, entry, is_here):
    """Entries with and without a port, names and numbers, are here if an address of theirs is."""
    control = settings(tmp_path, knowing({})).control
    collectors = [Collector(each, parse_collector(each)) for each in ("192.0.2.7", entry)]
    assert find_own_collectors(control, collectors, HOST_NETWORK) == ((entry,) if is_here else ())
