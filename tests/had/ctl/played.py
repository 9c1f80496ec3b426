"""A pool whose daemons are played: real command servers on loopback that answer hadctl from a script of the test's own.

The played leader does what a real one does when its controllee is restarted: asked for its status once it says that the
controllee is stopping; asked again, everything scheduled has been done and another process runs. So nothing depends on how
fast anybody is.
"""

import json

import attrs
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.config import load
from daemoncore.pool_security import security_of
from daemoncore.server import CommandServer
from had.status import Controllee
from replication.status import Pending
from tests.had.ctl import pools, replicated

HOST = "127.0.0.1"


class Deaf:
    """Hears what a server tells, and needs none of it."""

    def __getattr__(self, _name):
        """Take any call."""
        return lambda *_arguments, **_more: None


class PlayedPool:
    """Two members, the first leads; `entries` are theirs in HAD_LIST, `replicas` those in REPLICATION_LIST.

    Attributes:
        said: every request that changes something: who was asked, the act or the command, and the ad.
        refusals: acts and commands that are refused, with the sentence.
        plan: the document that a plan gives.
        is_willing: whether a restart does what is scheduled.
    """

    def __init__(self, *, knows_restart=True):
        self.knows_restart = knows_restart
        self.said = []
        self.refusals = {}
        self.plan = {"kind": "merge", "base": "385.3", "rows": [], "warnings": [], "files": [], "bytes": 0}
        self.is_willing = True
        self.is_stopping = False
        self.has_said_so = False
        self.process = 4711
        self.entries, self.replicas = [], []
        self.conflicts = {}
        self.pending = ()
        self.held = replicated.HELD
        self.configuration = None

    async def open(self, nursery, folder):
        """Open all ports and write the configuration that names them."""
        path = folder / "pool.conf"
        path.write_text(f"HAD_LIST = {HOST}:9\n")
        security = security_of(load(str(path), environment={}), is_tool=True)
        for _ in range(2):
            self.entries.append(await self._serve(nursery, security, self._offer_had))
            self.replicas.append(await self._serve(nursery, security, self._offer_replication))
        self.conflicts = {entry: [] for entry in self.replicas}
        lists = {"HAD_LIST": self.entries, "REPLICATION_LIST": self.replicas}
        lines = [f"{name} = {' '.join(entries)}" for name, entries in lists.items()]
        path.write_text("\n".join([*lines, "HAD_USE_REPLICATION = true", "HAD_CONTROLLEE = negotiator", ""]))
        self.configuration = path

    async def _serve(self, nursery, security, offer):
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        entry = f"{HOST}:{listener.socket.getsockname()[1]}"
        server = CommandServer(security, Deaf())
        offer(server, entry)
        nursery.start_soon(server.serve, [listener])
        return entry

    # --- had --------------------------------------------------------------------------------------------------

    def _offer_had(self, server, entry):
        async def status(asked):
            if self.has_said_so and entry == self.entries[0]:
                self._finish()
            made = self._member(entry)
            self.has_said_so |= made.controllee.state == "stopping"
            await asked.reply(asked.writer().put_string(made.to_text()))

        async def restart(asked):
            ad = asked.reader.get_ad()
            self.said.append((entry, "restart", ad))
            text = self.refusals.get("restart")
            self.is_stopping = text is None
            answer = {"Accepted": text is None, "Text": text or "restarting the controllee"}
            await asked.reply(asked.writer().put_ad(ClassAd(answer)))

        server.register(Command.HAD_STATUS, Level.READ, status)
        if self.knows_restart:
            server.register(Command.HAD_RESTART, Level.ADMINISTRATOR, restart)

    def _member(self, entry):
        made = pools.status(entry, self.entries[0], self.entries)
        if entry != self.entries[0]:
            return made
        running = Controllee("negotiator", "running", self.process, 0, pools.NOW + self.process)
        return attrs.evolve(
            made, controllee=Controllee("negotiator", "stopping") if self.is_stopping else running
        )

    def _finish(self):
        """Everything scheduled is done, and another controllee runs."""
        self.is_stopping = self.has_said_so = False
        self.process += 1
        if not self.is_willing:
            return
        self.held = attrs.evolve(self.held, clock=self.held.clock + 1)
        point = f"{self.held.gid}.{self.held.clock}"
        names = {one.id for one in self.pending}
        self.pending = ()
        for entry, kept in self.conflicts.items():
            self.conflicts[entry] = [
                one | {"merged_into": point} if one["id"] in names else one for one in kept
            ]

    # --- replication ------------------------------------------------------------------------------------------

    def _offer_replication(self, server, entry):
        async def status(asked):
            asked.reader.get_ad()
            await asked.reply(asked.writer().put_string(self._replica(entry).to_text()))

        async def conflict(asked):
            ad = asked.reader.get_ad()
            act = ad.get_string("Act")
            self.said.append((entry, act, ad))
            text = self.refusals.get(act) or self.refusals.get((act, ad.get_string("Identifier")))
            document = None if text else self._acted(entry, act, ad)
            answer = {"Accepted": text is None, "Text": text or "done"}
            answer |= {} if document is None else {"Document": json.dumps(document)}
            await asked.reply(asked.writer().put_ad(ClassAd(answer)))

        server.register(Command.REPLICATION_STATUS, Level.READ, status)
        server.register(Command.REPLICATION_CONFLICT, Level.ADMINISTRATOR, conflict)

    def _replica(self, entry):
        leader = self.replicas[0]
        return replicated.replica(
            entry,
            leader,
            self.replicas,
            conflicts=tuple(self.conflicts[entry]),
            version=self.held,
            pending=self.pending if entry == leader else (),
        )

    def _acted(self, entry, act, ad):
        identifier = ad.get_string("Identifier")
        kept = self.conflicts[entry]
        if act == "plan":
            return self.plan | {"kind": ad.get_string("Kind")}
        if act == "show":
            return next(one for one in kept if one["id"] == identifier)
        if act == "drop":
            self.conflicts[entry] = [one for one in kept if one["id"] != identifier]
        if act == "schedule":
            self.pending = (*self.pending, Pending(identifier, ad.get_string("Kind")))
        if act == "cancel":
            self.pending = tuple(one for one in self.pending if one.id != identifier)
        return None

    @property
    def acts(self):
        """Who was asked to do what with which state, in order."""
        return [(entry, act, ad.get_string("Identifier")) for entry, act, ad in self.said]
