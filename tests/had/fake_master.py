"""The command port of a condor_master: the test's own process, which is the parent of what it starts."""

import os

import attrs
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command
from daemoncore.cedar.sessions import family_session
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from tests.daemoncore.command_ports import Observer, settings
from tests.vector_files import load

ENVIRONMENT = load("09-master-family-session")["environment"]
FAMILY = family_session(ENVIRONMENT["CONDOR_PRIVATE_INHERIT"])


class Master:
    """Takes orders from its family, and does with them what the test says.

    Args:
        folder: for keys.
        family: the session that it knows.
    """

    def __init__(self, folder, family=FAMILY):
        self.orders = []
        self.is_frozen = False
        self.obey = lambda _command: None
        security = attrs.evolve(read_security(settings(folder).get), family=family)
        self.server = CommandServer(security, Observer())
        for command in (Command.CHILD_ON, Command.CHILD_OFF_FAST):
            self.server.register(command, Level.ADMINISTRATOR, self._obey)

    async def _obey(self, request):
        if self.is_frozen:
            await trio.sleep_forever()
        name = request.reader.get_string()
        request.reader.end()
        self.orders.append((request.command, name, request.peer.identity.user))
        self.obey(request.command)
        # condor_master closes the connection after its handler.
        os.close(request.hand_over()[1])

    def count(self, command):
        """How often it was told so."""
        return sum(order[0] == command for order in self.orders)
