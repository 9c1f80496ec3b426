"""A had reduced to what the replication daemon beside it hears: it keeps a REPLICATION_ATTEND stream, and leads when told.

The test is the controllee: `write` appends one transaction to the state of the node, as HTCondor's negotiator does.
Like a real had it calls again when its stream ends, and says then what is so.
"""

import itertools
import queue
import threading

import trio

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import CallFailed, Client
from daemoncore.startup import Options
from had.loading import load
from tests.end_to_end.ledger_controllee import HEAD, VALUE

REDIAL_SECONDS = 0.02


def transaction(value):
    """Return what the controllee writes for a value."""
    return b"105 \n%b%d.000000\n106 \n" % (VALUE, value)


class AttendingHad:
    """The had of one node, on a thread of its own until `close`.

    Args:
        pool: the pool.
        node: the member beside whose replication daemon it is.
    """

    def __init__(self, pool, node):
        self.node = node
        self._seconds = pool.timeout_seconds / 2
        self._security = load(Options(str(node.configuration)), pool.environment).security
        self._says = {"What": "ended", "IsStopped": True}
        self._is_frozen = False
        self._answers = queue.Queue()
        self._numbers = itertools.count(1)
        self._send, self._words = trio.open_memory_channel(100)
        is_up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run, is_up), daemon=True)
        self._thread.start()
        is_up.wait()

    # --- what the test has it do ------------------------------------------------------------------------------

    def lead(self, epoch):
        """Begin to lead, and say so from now on."""
        self._become({"What": "confirmed", "Epoch": epoch}, {"What": "began", "Epoch": epoch})

    def step_down(self):
        """Lead no more; the controllee is gone."""
        self._become({"What": "ended", "IsStopped": True})

    def freeze(self):
        """Say nothing any more, as under SIGSTOP; the stream stays open."""
        self._is_frozen = True

    def thaw(self):
        """Go on, believing what was so before."""
        self._is_frozen = False

    def ask(self, what, seconds=20, **fields):
        """Ask `current` or `flush`; return the answer."""
        number = next(self._numbers)
        self._say({"What": what, "Request": number, **fields})
        while True:
            answer = self._answers.get(timeout=seconds)
            if answer.get_int("Request") == number:
                return answer

    def write(self, value):
        """Write a value as the controllee, at the end of whatever stands there."""
        path = self.node.replica.state_file
        with path.open("ab") as file:
            file.write((b"" if file.tell() else HEAD) + transaction(value))

    def close(self):
        """End it, and its stream."""
        self._call(self._scope.cancel)
        self._thread.join()

    # --- its thread -------------------------------------------------------------------------------------------

    def _become(self, says, *first):
        self._says = says
        self._say(*first or (says,))

    def _say(self, *words):
        for word in words:
            self._call(self._send.send_nowait, word)

    def _call(self, function, *arguments):
        trio.from_thread.run_sync(function, *arguments, trio_token=self._token)

    async def _run(self, is_up):
        self.node.pool.network.enter(self.node.index)
        self._token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as self._scope:
            is_up.set()
            while True:
                try:
                    await self._attend()
                except* CallFailed:
                    pass
                await trio.sleep(REDIAL_SECONDS)

    async def _attend(self):
        client = Client(self._security, source_address=self.node.host)
        address = Address.parse(self.node.replica_entry)
        async with (
            await client.connect(address, Command.REPLICATION_ATTEND) as connection,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._listen, connection)
            await connection.send(connection.writer().put_ad(_ad(self._says)))
            while True:
                word = self._says
                with trio.move_on_after(self._seconds):
                    word = await self._words.receive()
                if not self._is_frozen:
                    writer = connection.writer().put_int(Command.REPLICATION_ATTEND)
                    await connection.send(writer.put_ad(_ad(word)))

    async def _listen(self, connection):
        while True:
            self._answers.put((await connection.receive()).get_ad())


def _ad(word):
    return ClassAd({"HadProtocol": 1, **word})
