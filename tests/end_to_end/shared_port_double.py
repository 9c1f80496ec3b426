"""A small condor_shared_port: listens on one port, and passes each connection to the daemon that its first message names.

    python -m tests.end_to_end.shared_port_double HOST PORT FOLDER

What a real one sends is in tests/vectors (10-shared-port-endpoint). A name that no daemon serves is hung up on.
"""

import array
import asyncio
import os
import socket
import sys
from pathlib import Path

from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import Stream

ORDER = Stream().encode(MessageWriter().put_int(Command.SHARED_PORT_PASS_SOCK))


def pass_on(path, connection):
    """Give a connection to the daemon with this local socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as messenger:
        messenger.settimeout(5)
        messenger.connect(str(path))
        messenger.sendall(ORDER)
        beside = array.array("i", [connection.fileno()])
        messenger.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, beside)])


async def serve_one(connection, folder):
    """Read the first message, byte by byte since what follows is the daemon's, and pass the connection on."""
    loop, stream = asyncio.get_running_loop(), Stream()
    with connection:
        try:
            async with asyncio.timeout(20):
                while (message := stream.next_message()) is None:
                    data = await loop.sock_recv(connection, 1)
                    if not data:
                        return
                    stream.receive_data(data)
            if message.get_int() == Command.SHARED_PORT_CONNECT:
                pass_on(folder / Path(message.get_string()).name, connection)
        except (OSError, TimeoutError):
            return


async def main(host, port, folder):
    """Listen for ever."""
    loop, tasks = asyncio.get_running_loop(), set()
    listener = socket.create_server((host, port), backlog=128)
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        task = loop.create_task(serve_one(connection, folder))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    os.umask(0o077)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
