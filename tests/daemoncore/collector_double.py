"""A collector for tests, with a real command port: it keeps one ad for each name, as HTCondor's does, and answers queries.

`python -m tests.daemoncore.collector_double HOST PORT CONFIGURATION` runs one as a process, for tests of whole daemons;
what it was told is written to its standard output, a line of JSON for each command.
"""

import json
import signal
import sys
import time

import attrs
import trio

from daemoncore.ad_queries import matches
from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command
from daemoncore.config import load
from daemoncore.pool_security import security_of
from daemoncore.server import CommandServer
from daemoncore.server_connection import ServerLimits
from tests.daemoncore.command_ports import Observer

TYPES = {
    Command.UPDATE_HAD_AD: "HAD",
    Command.INVALIDATE_HAD_ADS: "HAD",
    Command.UPDATE_AD_GENERIC: "Replication",
    Command.INVALIDATE_ADS_GENERIC: "Replication",
}
INVALIDATIONS = (Command.INVALIDATE_HAD_ADS, Command.INVALIDATE_ADS_GENERIC)
#: A collector lets its updaters keep their connections.
LIMITS = ServerLimits(idle_seconds=3600.0)


@attrs.define
class CollectorDouble:
    """Keeps ads by type and name; `heard` is every command with its ad, in order."""

    server: CommandServer
    observer: Observer
    heard: list = attrs.field(factory=list)
    ads: dict = attrs.field(factory=dict)
    tell: object = None
    news: trio.Event = attrs.field(factory=trio.Event)

    @classmethod
    def of(cls, security, **arguments):
        """Make one with these security settings."""
        observer = Observer()
        server = CommandServer(security, observer, host="collector", limits=LIMITS, **arguments)
        double = cls(server, observer)
        for command in TYPES:
            server.register(command, Level.DAEMON, double.take)
        for command in (Command.QUERY_HAD_ADS, Command.QUERY_GENERIC_ADS, Command.QUERY_ANY_ADS):
            server.register(command, Level.READ, double.answer)
        return double

    async def take(self, request):
        """Take an ad, or take one back."""
        ad = request.reader.get_ad()
        request.reader.end()
        command = Command(request.command)
        key = TYPES[command], ad.get_string("Name")
        if command in INVALIDATIONS:
            assert ad.get_string("TargetType") == TYPES[command]
            self.ads.pop(key, None)
        else:
            assert ad.get_string("MyType") == TYPES[command]
            self.ads[key] = ad
        self.heard.append((command, ad))
        if self.tell is not None:
            self.tell(command, ad)
        self.news.set()
        self.news = trio.Event()

    async def answer(self, request):
        """Answer a query."""
        query = request.reader.get_ad()
        request.reader.end()
        wanted = query.get_string("TargetType", "").casefold()
        writer = request.writer()
        for (kind, _name), ad in self.ads.items():
            if (wanted in {"", "any"} or kind.casefold() == wanted) and matches(query, ad):
                writer.put_int(1).put_ad(ad)
        await request.reply(writer.put_int(0))

    async def until(self, condition, seconds=30):
        """Wait until a condition on what was heard holds."""
        with trio.fail_after(seconds):
            while not condition(self.heard):
                await self.news.wait()

    def commands(self):
        """Return the names of the commands that came, in order."""
        return [command.name for command, _ad in self.heard]


def _print(command, ad):
    values = {name: ad[name] for name in ad if isinstance(ad[name], bool | int | float | str)}
    print(json.dumps({"command": command.name, "at": time.time(), "ad": values}), flush=True)


async def _main(host, port, configuration):
    double = CollectorDouble.of(security_of(load(configuration, environment={}), is_tool=False))
    double.tell = _print
    listeners = await trio.open_tcp_listeners(int(port), host=host)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(double.server.serve, listeners)
            async for _number in signals:
                nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main, *sys.argv[1:])
