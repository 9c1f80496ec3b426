"""What a negotiator of ours is told beyond its configuration."""

import pytest

from daemoncore.inheritance import read_inheritance
from had.negotiator_environment import (
    collector_order,
    family_of,
    is_on_this_host,
    negotiator_environment,
)
from tests.had.fake_master import ENVIRONMENT, FAMILY

DEAD, HERE = "192.0.2.1:9618", "127.0.0.1:9618?sock=collector"


def test_the_own_collector_comes_first():
    """It is found by its address, and put before the others, whose order stays; the list is then gone through in order."""
    found = negotiator_environment("Negotiator", [DEAD, HERE, "192.0.2.3"], {})
    assert found == {
        "_CONDOR_HAD_USE_PRIMARY": "true",
        "_CONDOR_COLLECTOR_HOST": f"{HERE}, {DEAD}, 192.0.2.3",
    }


@pytest.mark.parametrize(
    ("controllee", "collectors"),
    [("scheduler", [DEAD, HERE]), ("negotiator", [HERE]), ("negotiator", [DEAD, "192.0.2.3"])],
)
def test_nothing_is_said_where_it_would_change_nothing(controllee, collectors):
    """Other programs, one collector, and no collector here are left alone."""
    assert negotiator_environment(controllee, collectors, {}) == {}


@pytest.mark.parametrize(
    ("entry", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.0.0.9:9618", True),
        ("<127.0.0.1:9618?sock=collector>", True),
        ("localhost:9618", True),
        ("192.0.2.1:9618", False),
        ("no.such.host.invalid", False),
        ("::not an address", False),
    ],
)
def test_what_is_here(entry, is_here):
    """Entries with and without a port, names and numbers, are here if an address of theirs is."""
    assert is_on_this_host(entry) is is_here
    assert bool(collector_order([DEAD, entry])) is is_here


def test_a_negotiator_belongs_to_the_family():
    """It is told of the parent and of the session that is shared, and of no socket and no other secret."""
    found = family_of(ENVIRONMENT)
    inheritance = read_inheritance(found)
    assert inheritance.parent_pid == read_inheritance(ENVIRONMENT).parent_pid
    assert inheritance.descriptors == ()
    assert inheritance.family == FAMILY
    assert " SessionKey" not in found["CONDOR_PRIVATE_INHERIT"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"CONDOR_INHERIT": ENVIRONMENT["CONDOR_INHERIT"]}, {**ENVIRONMENT, "CONDOR_INHERIT": "x"}],
)
def test_without_a_family_there_is_none(environment):
    """Whoever was not started by condor_master, or not with a session, has nothing to hand on."""
    assert family_of(environment) == {}
