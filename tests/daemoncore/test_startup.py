"""What only one daemon may have: its folder and its ports."""

import pytest
import trio
import trio.testing

from daemoncore.address import Address
from daemoncore.startup import (
    CLAIM_SECONDS,
    StartError,
    claim_folder,
    listen_for_commands,
    listen_for_pages,
)

ENTRY = "127.0.0.1:9620"


async def test_a_held_folder_is_waited_for(tmp_path, autojump_clock):
    """Whoever still holds it may have work to finish; when it is done in time the next daemon starts."""
    first = await claim_folder(tmp_path, "had", ENTRY, None)

    async def finish():
        await trio.sleep(CLAIM_SECONDS / 2)
        first.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish)
        second = await claim_folder(tmp_path, "had", ENTRY, None)
    assert second.path == tmp_path / f"had-{ENTRY}"
    second.close()


async def test_a_folder_that_stays_held_is_another_daemons(tmp_path, autojump_clock):
    """The error names the program that holds it."""
    first = await claim_folder(tmp_path, "replication", ENTRY, None)
    began = trio.current_time()
    with pytest.raises(StartError, match="another replication is running"):
        await claim_folder(tmp_path, "replication", ENTRY, None)
    assert trio.current_time() - began >= CLAIM_SECONDS
    first.close()


async def test_a_folder_that_cannot_be_made_is_not_waited_for(tmp_path, autojump_clock):
    """A file in its way will not go."""
    (tmp_path / "file").write_text("")
    began = trio.current_time()
    with pytest.raises(StartError, match="HAD_DIR"):
        await claim_folder(tmp_path / "file", "had", ENTRY, None)
    assert trio.current_time() == began


async def test_a_port_that_is_taken_is_named_with_its_settings():
    """The error says which settings lead there."""
    (listener,) = await listen_for_pages("127.0.0.1", 0, "HAD_HTTP_PORT")
    port = listener.socket.getsockname()[1]
    with pytest.raises(StartError, match="REPLICATION_LIST, -p"):
        await listen_for_commands(Address("127.0.0.1", port), "REPLICATION_LIST, -p")
    await listener.aclose()


async def test_without_a_port_there_are_no_pages():
    """Nothing is bound."""
    assert await listen_for_pages("127.0.0.1", None, "HAD_HTTP_PORT") == []
