"""What every verb that talks to the pool takes from the command line and the configuration.

The machine need not be a member: only HAD_LIST, HAD_WITNESS_LIST, HAD_CONNECTION_TIMEOUT and the security settings
count. Names are looked up here, before anything is connected; a name that is not known makes one member unreachable and
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
from daemoncore.pool_security import security_of
from daemoncore.security import Security
from had.ctl.ask import Target, ask_pool
from had.ctl.pool import Pool

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
    """

    configuration: Configuration
    members: tuple[Target, ...]
    witnesses: tuple[Target, ...]
    security: Security
    connection_timeout_seconds: float
    timeout_seconds: float

    def caller(self) -> Client:
        """Return a client; its sessions last as long as it does."""
        return Client(self.security)

    def target(self, entry: str) -> Target:
        """Return the member of that entry."""
        return next(target for target in (*self.members, *self.witnesses) if target.entry == entry)

    async def ask(self, caller: Client | None = None) -> Pool:
        """Ask every member."""
        return await ask_pool(self.members, self.witnesses, caller or self.caller(), self.timeout_seconds)

    def ask_once(self) -> Pool:
        """Ask every member from a program that does nothing else."""
        return trio.run(self.ask)


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
    entries = configuration.get("HAD_LIST")
    if not isinstance(entries, tuple) or not entries:
        text = "must name the members of the election (it is not set)"
        raise ConfigurationError([configuration.problem("HAD_LIST", text)])
    witnesses = configuration.get("HAD_WITNESS_LIST")
    timeout = configuration.get("HAD_CONNECTION_TIMEOUT")
    assert isinstance(timeout, int | float), "the table gives it a default"
    return Configured(
        configuration,
        tuple(_target(entry) for entry in dict.fromkeys(entries)),
        tuple(_target(entry) for entry in dict.fromkeys(witnesses if isinstance(witnesses, tuple) else ())),
        security_of(configuration, is_tool=True),
        float(timeout),
        arguments.timeout or max(float(timeout), MINIMUM_TIMEOUT_SECONDS),
    )


def _target(entry: str) -> Target:
    try:
        address = Address.parse(entry)
    except ValueError as error:
        return Target(entry, None, str(error))
    try:
        numbers = local_addresses.resolve(address.host)
    except OSError as error:
        return Target(entry, None, f"{address.host} cannot be resolved: {error.strerror or error}")
    return Target(entry, attrs.evolve(address, host=numbers[0]))


def report_unusable(error: ConfigurationError) -> int:
    """Print what is wrong with the configuration; return exit status 2."""
    for problem in error.problems:
        print(problem, file=sys.stderr)
    return 2
