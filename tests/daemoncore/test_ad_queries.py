"""Who asks a daemon itself gets its one ad, if that is what was asked for."""

import pytest
import trio

from daemoncore.ad_queries import MAXIMUM_CONSTRAINT, AdQueries, matches
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.values import Expression
from daemoncore.client import Denied
from daemoncore.collector_ads import HAD_AD, REPLICATION_AD
from tests.daemoncore import command_ports

AD = ClassAd({"MyType": "HAD", "Name": "condor@cm1", "HadIsActive": True, "HadEpoch": 386})


@pytest.mark.parametrize(
    ("constraint", "is_match"),
    [
        ("true", True),
        ("false", False),
        ("HadIsActive", True),
        ("HadIsActive == true", True),
        ("HadIsActive =?= false", False),
        ('(HadEpoch >= 386 && Name == "CONDOR@cm1")', True),
        ('TARGET.Name == "condor@cm1"', True),
        ('MY.Name == "condor@cm2"', False),
        ("Nothing", False),
        ("Nothing =?= undefined", True),
        ("isUndefined(Nothing)", True),
        ("OTHER.Name =?= undefined", True),
        # What cannot be evaluated hides nothing.
        ('regexp("cm[12]", Name)', True),
        ("HadEpoch ==", True),
        ("(" * 200 + "1" + ")" * 200, True),
        ("false" + " " * (MAXIMUM_CONSTRAINT - 5), False),
        ("false" + " " * (MAXIMUM_CONSTRAINT - 4), True),
        ('HadEpoch == 0 && Name == "' + "x" * 1000 + '"', True),
    ],
)
def test_a_constraint_counts(constraint, is_match):
    """The ad's own values decide, as in a collector."""
    assert matches(ClassAd({"Requirements": Expression(constraint)}), AD) is is_match


def test_a_constraint_cannot_blow_up_an_ad():
    """Strings that are made end at 64 kB, so what is left of a short constraint costs nothing worth a word."""
    lists = ",".join(["HadList"] * 100)
    constraint = ClassAd({"Requirements": Expression(f'strcat({lists}) =?= "x"')})
    assert len(constraint.text("Requirements")) <= MAXIMUM_CONSTRAINT
    assert not matches(constraint, ClassAd({"HadList": "x" * 600}))
    assert matches(constraint, ClassAd({"HadList": "x" * 700}))


def test_without_a_constraint_it_matches():
    """A query that asks for anything gets the ad."""
    assert matches(ClassAd(), AD)


async def ask(tmp_path, kind, command, query, **changes):
    """Ask a port for its ads."""
    values = command_ports.settings(tmp_path)
    port = command_ports.port(values | changes)
    AdQueries(kind, lambda: AD).register(port.server)
    ads = []
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, command_ports.client(values), command)
        async with connection:
            await connection.send(connection.writer().put_ad(query))
            reader = await connection.receive()
            while reader.get_int():
                ads.append(reader.get_ad())
            reader.end()
        nursery.cancel_scope.cancel()
    return ads


@pytest.mark.parametrize(
    ("kind", "command", "target", "count"),
    [
        (HAD_AD, Command.QUERY_HAD_ADS, "HAD", 1),
        (HAD_AD, Command.QUERY_HAD_ADS, "", 1),
        (HAD_AD, Command.QUERY_ANY_ADS, "Any", 1),
        (HAD_AD, Command.QUERY_GENERIC_ADS, "Replication", 0),
        (HAD_AD, Command.QUERY_MULTIPLE_ADS, "Machine, HAD", 1),
        (REPLICATION_AD, Command.QUERY_GENERIC_ADS, "replication", 1),
        (REPLICATION_AD, Command.QUERY_GENERIC_ADS, "Generic", 0),
        (REPLICATION_AD, Command.QUERY_MULTIPLE_ADS, "Machine HAD", 0),
        (REPLICATION_AD, Command.QUERY_ANY_ADS, "Any", 1),
    ],
)
async def test_the_type_counts(tmp_path, kind, command, target, count):
    """A query for other types gets an answer without ads."""
    query = ClassAd({"MyType": "Query", "TargetType": target, "Requirements": True})
    assert await ask(tmp_path, kind, command, query) == [AD] * count


async def test_it_is_for_readers(tmp_path):
    """Whoever may not READ is denied."""
    with pytest.RaisesGroup(Denied):
        await ask(
            tmp_path,
            HAD_AD,
            Command.QUERY_HAD_ADS,
            ClassAd(),
            ALLOW_READ="nobody@nowhere",
            ALLOW_DAEMON="x@y",
        )
