"""What a negotiator of ours is told beyond its configuration."""

import pytest

from daemoncore.inheritance import read_inheritance
from had.negotiator_environment import family_of, negotiator_environment
from tests.had.fake_master import ENVIRONMENT, FAMILY

DEAD, HERE = "192.0.2.1:9618", "127.0.0.1:9618?sock=collector"


def test_the_own_collector_comes_first():
    """It is put before the others, whose order stays; the list is then gone through in order."""
    found = negotiator_environment("Negotiator", [DEAD, HERE, "192.0.2.3"], [HERE], {})
    assert found == {
        "_CONDOR_HAD_USE_PRIMARY": "true",
        "_CONDOR_COLLECTOR_HOST": f"{HERE}, {DEAD}, 192.0.2.3",
    }


@pytest.mark.parametrize(
    ("controllee", "collectors", "own"),
    [
        ("scheduler", [DEAD, HERE], [HERE]),
        ("negotiator", [HERE], [HERE]),
        ("negotiator", [DEAD, "192.0.2.3"], []),
    ],
)
def test_nothing_is_said_where_it_would_change_nothing(controllee, collectors, own):
    """Other programs, one collector, and no collector here are left alone."""
    assert negotiator_environment(controllee, collectors, own, {}) == {}


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
