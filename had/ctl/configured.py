"""What every verb that talks to the pool takes from the command line and the configuration.

The machine need not be a member: only HAD_LIST, HAD_WITNESS_LIST, REPLICATION_LIST and HAD_USE_REPLICATION, the timeouts
and the security settings count. Names are looked up here, before anything is connected; a name that is not known makes one member unreachable and
does not stop the verb.
"""

import argparse
import os
import sys
from collections.abc import Mapping

import attrs
import trio

from daemoncore import local_addresses
from daemoncore.address import Address
from daemoncore.client import Client
from daemoncore.config import Configuration, ConfigurationError, load
from daemoncore.membership import SharedPort, shared_port_of
from daemoncore.pool_security import security_of
from daemoncore.security import Security
from had.ctl.ask import Target, ask_pool, ask_replicas
from had.ctl.pool import Pool
from had.ctl.replicas import Replicas

#: Members are given at least this long to answer, however short HAD_CONNECTION_TIMEOUT is.
MINIMUM_TIMEOUT_SECONDS = 1.0


@attrs.frozen
class Configured:
    """The pool as this machine's configuration describes it.

    Attributes:
        configuration: all of it.
        members: HAD_LIST.
        witnesses: HAD_WITNESS_LIST.
        security: how to prove who we are.
        connection_timeout_seconds: T.
        timeout_seconds: how long a member may take to answer.
        replicas: REPLICATION_LIST.
        is_replicating: whether there are replication daemons that the members count on.
    """

    configuration: Configuration
    members: tuple[Target, ...]
    witnesses: tuple[Target, ...]
    security: Security
    connection_timeout_seconds: float
    timeout_seconds: float
    replicas: tuple[Target, ...] = ()
    is_replicating: bool = False

    @property
    def stop_timeout_seconds(self) -> float:
        """HAD_CONTROLLEE_STOP_TIMEOUT."""
        value = self.configuration.get("HAD_CONTROLLEE_STOP_TIMEOUT")
        assert isinstance(value, int | float), "the table gives it a default"
        return float(value)

    def caller(self) -> Client:
        """Return a client; its sessions last as long as it does."""
        return Client(self.security)

    def target(self, entry: str) -> Target:
        """Return the member of that entry."""
        return next(target for target in (*self.members, *self.witnesses) if target.entry == entry)

    def replica(self, entry: str) -> Target:
        """Return the replication daemon of that entry."""
        return next(target for target in self.replicas if target.entry == entry)

    async def ask(self, caller: Client | None = None) -> Pool:
        """Ask every member."""
        return await ask_pool(self.members, self.witnesses, caller or self.caller(), self.timeout_seconds)

    async def ask_replicas(self, caller: Client | None = None) -> Replicas:
        """Ask every replication daemon."""
        return await ask_replicas(self.replicas, caller or self.caller(), self.timeout_seconds)

    async def ask_all(self, caller: Client | None = None) -> Pool:
        """Ask every member, and at the same time the replication daemons if the members count on them."""
        asking = caller or self.caller()
        found: list[Replicas] = []

        async def ask_them() -> None:
            found.append(await self.ask_replicas(asking))

        async with trio.open_nursery() as nursery:
            if self.is_replicating:
                nursery.start_soon(ask_them)
            pool = await self.ask(asking)
        return attrs.evolve(pool, replicas=found[0] if found else None)

    def ask_once(self) -> Pool:
        """Ask every member from a program that does nothing else."""
        return trio.run(self.ask)

    def ask_replicas_once(self) -> Replicas:
        """Ask every replication daemon from a program that does nothing else."""
        return trio.run(self.ask_replicas)

    def ask_all_once(self) -> Pool:
        """Ask everybody from a program that does nothing else."""
        return trio.run(self.ask_all)


def source_arguments() -> argparse.ArgumentParser:
    """Return the parent parser with the options that say which pool is meant."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="configuration file instead of the usual places"
    )
    parser.add_argument("-local-name", "--local-name", metavar="NAME", help="instance whose view counts")
    parser.add_argument(
        "--timeout",
        type=seconds_argument,
        metavar="SECONDS",
        help="how long a member may take to answer (default: HAD_CONNECTION_TIMEOUT, at least 1)",
    )
    return parser


def json_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`, which every reading verb takes."""
    parser.add_argument("--json", action="store_true", help="print JSON; its keys are stable")


def seconds_argument(text: str) -> float:
    """Read a positive number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0 (got {text})")
    return seconds


def read_configured(
    arguments: argparse.Namespace, environment: Mapping[str, str] | None = None
) -> Configured:
    """Return what the configuration says about the pool.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    surroundings = os.environ if environment is None else environment
    configuration = load(arguments.config, local_name=arguments.local_name, environment=surroundings)
    if not _entries(configuration, "HAD_LIST"):
        text = "must name the members of the election (it is not set)"
        raise ConfigurationError([configuration.problem("HAD_LIST", text)])
    timeout = configuration.get("HAD_CONNECTION_TIMEOUT")
    assert isinstance(timeout, int | float), "the table gives it a default"
    replicas = _targets(configuration, "REPLICATION_LIST")
    return Configured(
        configuration,
        _targets(configuration, "HAD_LIST"),
        _targets(configuration, "HAD_WITNESS_LIST"),
        security_of(configuration, is_tool=True),
        float(timeout),
        arguments.timeout or max(float(timeout), MINIMUM_TIMEOUT_SECONDS),
        replicas,
        bool(replicas) and bool(configuration.get("HAD_USE_REPLICATION")),
    )


def read_replicated(arguments: argparse.Namespace) -> Configured:
    """Return what the configuration says about a pool that must have replication daemons; all verbs ask them then.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    configured = read_configured(arguments)
    if not configured.replicas:
        text = "must name the replication daemons (it is not set)"
        raise ConfigurationError([configured.configuration.problem("REPLICATION_LIST", text)])
    return attrs.evolve(configured, is_replicating=True)


def _entries(configuration: Configuration, knob: str) -> tuple[str, ...]:
    """Return the entries of a list, each once."""
    entries = configuration.get(knob)
    return tuple(dict.fromkeys(entries)) if isinstance(entries, tuple) else ()


def _targets(configuration: Configuration, knob: str) -> tuple[Target, ...]:
    """Return whom the entries of a list name, and how they are reached."""
    shared = shared_port_of(knob, configuration)
    return tuple(_target(entry, shared) for entry in _entries(configuration, knob))


def _target(entry: str, shared: SharedPort | None) -> Target:
    try:
        address = Address.parse(entry)
    except ValueError as error:
        return Target(entry, None, str(error))
    try:
        numbers = local_addresses.resolve(address.host)
    except OSError as error:
        return Target(entry, None, f"{address.host} cannot be resolved: {error.strerror or error}")
    if shared is not None:
        address = shared.lead_to(address)
    return Target(entry, attrs.evolve(address, host=numbers[0]))


def report_unusable(error: ConfigurationError) -> int:
    """Print what is wrong with the configuration; return exit status 2."""
    for problem in error.problems:
        print(problem, file=sys.stderr)
    return 2
