"""Networks for tests: a host per member in its own network namespace, all on one bridge, which can be cut at will.

Nothing here touches the network of the machine: the bridge has a namespace of its own. A cut is silent, as a real one
is: either the cable is pulled (`unplug`), or one direction between two hosts leads nowhere (`cut`), because the
sender's neighbour table is given a hardware address that nobody has.

Loopback addresses serve where nothing has to be cut.
"""

import ctypes
import itertools
import os
import random
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

NOBODY = "02:00:00:00:de:ad"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


class Loopback:
    """Hosts that are addresses of 127/8: no privileges needed, nothing can be cut."""

    def __init__(self, count):
        dice = random.Random(os.urandom(8))
        while True:
            prefix = f"127.{dice.randint(1, 254)}.{dice.randint(0, 254)}"
            # Below the range that the kernel takes the near ends of connections from, so it stays free meanwhile.
            port = dice.randint(20000, 32000)
            self.hosts = [f"{prefix}.{index + 1}" for index in range(count)]
            self.port, self.http_port = port, port + 1
            self.replication_port, self.replication_http_port = port + 2, port + 3
            if all(_is_free(host, p) for host in self.hosts for p in range(port, port + 4)):
                break

    def command(self, _index, argv):
        """Return the command that runs a program on a host."""
        return argv

    def inside(self, _index, function):
        """Call a function as if on a host."""
        return function()

    def enter(self, _index):
        """Let the calling thread live on a host from now on."""

    def http_address(self, index):
        """Return where the daemon of a host offers its status."""
        return self.hosts[index]

    def close(self):
        """There is nothing to undo."""


def _is_free(host, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class Namespaces:
    """Hosts in network namespaces, with addresses 10.77.0.1, 10.77.0.2, ..."""

    port, http_port = 9450, 9480
    replication_port, replication_http_port = 9451, 9481

    def __init__(self, count):
        if os.geteuid() != 0 or not shutil.which("ip"):
            pytest.skip("network namespaces need root and the program ip")
        stem = f"had{os.getpid()}-{next(_numbers)}"
        self._switch = f"{stem}-switch"
        self._names = [f"{stem}-{index}" for index in range(count)]
        self.hosts = [f"10.77.0.{index + 1}" for index in range(count)]
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        if subprocess.run(["ip", "netns", "add", self._switch], check=False, capture_output=True).returncode:
            pytest.skip("this machine does not allow network namespaces")
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for index, name in enumerate(self._names):
            port = f"port{index}"
            _ip("netns", "add", name)
            _ip(
                "-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name
            )
            _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"{self.hosts[index]}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def command(self, index, argv):
        """Return the command that runs a program on a host; it becomes the program, so the process id is its."""
        return ["ip", "netns", "exec", self._names[index], *argv]

    def place(self, index):
        """Return the file that is a host's network, as /proc/PID/ns/net is for a process on it."""
        return f"/run/netns/{self._names[index]}"

    def pids(self, index):
        """Return the processes that live on a host; the dead ones that nobody has waited for are left out."""
        return {int(word) for word in _ip("netns", "pids", self._names[index]).split()}

    def inside(self, index, function):
        """Call a function on a thread that lives on a host; sockets that it makes stay there."""
        outcome = []

        def enter():
            try:
                self.enter(index)
                outcome.append((function(), None))
            except BaseException as error:  # noqa: BLE001 -- it is raised where it belongs
                outcome.append((None, error))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    def enter(self, index):
        """Let the calling thread live on a host from now on; sockets that it makes are there."""
        _move_to(self._names[index])

    def http_address(self, _index):
        """Return where the daemon of a host offers its status: there only, so a cut does not blind the test."""
        return "127.0.0.1"

    def unplug(self, index):
        """Pull a host's cable."""
        _ip("-n", self._switch, "link", "set", f"port{index}", "down")

    def plug(self, index):
        """Put a host's cable back."""
        _ip("-n", self._switch, "link", "set", f"port{index}", "up")

    def cut(self, sender, receiver):
        """Let nothing that one host sends reach the other; the way back stays open."""
        words = ("lladdr", NOBODY, "nud", "permanent", "dev", "eth0")
        _ip("-n", self._names[sender], "neigh", "replace", self.hosts[receiver], *words)

    def mend(self, sender, receiver):
        """End a cut."""
        _ip("-n", self._names[sender], "neigh", "del", self.hosts[receiver], "dev", "eth0")

    def cut_both(self, one, other):
        """Let two hosts not reach each other."""
        self.cut(one, other)
        self.cut(other, one)

    def mend_both(self, one, other):
        """End what `cut_both` did."""
        self.mend(one, other)
        self.mend(other, one)

    def close(self):
        """Remove everything; virtual cables vanish with their namespaces."""
        for name in (*self._names, self._switch):
            if Path(f"/run/netns/{name}").exists():
                _ip("netns", "del", name)


def _move_to(name):
    """Move the calling thread into a network namespace."""
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns({name}): {os.strerror(number)}")
    finally:
        os.close(descriptor)


def _ip(*words):
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout
