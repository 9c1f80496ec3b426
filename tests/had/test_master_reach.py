"""Which process condor_master is, where it did not start us: this one, which listens at the address in its file."""

import os

import pytest
import trio

from daemoncore.address import Address
from had.master_reach import MasterReach
from tests.had.test_settings import make


class Reach(MasterReach):
    """Counts how often it looks, which begins with the address."""

    looks = 0

    def address(self) -> Address:
        """Where condor_master takes commands."""
        self.looks += 1
        return super().address()


@pytest.fixture
def reach(tmp_path):
    """What looks for the process behind an address file that is not there yet."""
    text = f"HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = master\nMASTER_ADDRESS_FILE = {tmp_path}/address\n"
    return Reach(None, make(tmp_path, text).control)


def test_a_question_is_not_a_look(reach):
    """What is asked each 10 ms reads nothing of other processes, also while nothing is known."""
    assert [reach.master() for _ in range(100)] == [None] * 100
    assert reach.looks == 0


async def test_it_is_found_in_time(reach, tmp_path):
    """A condor_master that comes up later is found, and is looked for no more."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery, listener:
        nursery.start_soon(reach.keep_finding)
        while not reach.looks:  # noqa: ASYNC110 -- nothing announces it
            await trio.sleep(0.01)
        assert reach.master() is None
        (tmp_path / "address").write_text("<{}:{}>\n".format(*listener.socket.getsockname()))
        with trio.fail_after(15):
            while reach.master() is None:  # noqa: ASYNC110 -- nothing announces it
                await trio.sleep(0.01)
        assert reach.master().pid == os.getpid()
        assert reach.master().is_alive
        looks = reach.looks
        reach.find()
        assert reach.looks == looks
        nursery.cancel_scope.cancel()
