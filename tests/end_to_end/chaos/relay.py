"""The wire between the hosts of a fire, as a program of its own: it carries every packet, or loses it, or carries it late.

    relay.py SEED NAME NAME ...

Each name is a network namespace, in which the relay makes the interface eth0 (a TUN device, so there is nothing but IP
packets and nobody has to resolve addresses). The last byte of 10.77.0.x says where a packet goes: x - 1 is the place of
the namespace in the list. The kernel's netem could do the same, where a kernel has it.

Standard input gives one order a line, `sender receiver cut loss delay jitter`: whether nothing passes (0 or 1), the share
that is lost, and the seconds that a packet is held and that it may be held longer, so that packets overtake each other.
Each order is answered with `done`. The end of standard input ends the relay, and its interfaces go with it.
"""

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import selectors
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x0001 | 0x1000
#: In an IPv4 packet, the last byte of the destination.
DESTINATION = 19
PACKET_BYTES = 65536


def interface(namespace):
    """Make eth0 in a namespace; return its descriptor. The caller's thread stays there."""
    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns({namespace})")
    os.close(place)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH14x", b"eth0", IFF_TUN_NO_PI))
    return descriptor


class Relay:
    """All hosts' cables, and what is wrong with them."""

    def __init__(self, seed, ends):
        self._dice = random.Random(seed)
        self._ends = ends
        self._orders = {}
        self._waiting = []
        self._numbers = itertools.count()

    def order(self, line):
        """Take one order."""
        sender, receiver, is_cut, loss, delay, jitter = line.split()
        self._orders[int(sender), int(receiver)] = (is_cut == "1", float(loss), float(delay), float(jitter))

    def carry(self, sender):
        """Take what a host has sent, and deliver it now, later or never."""
        while True:
            try:
                packet = os.read(self._ends[sender], PACKET_BYTES)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4 or not 1 <= packet[DESTINATION] <= len(self._ends):
                continue
            receiver = packet[DESTINATION] - 1
            is_cut, loss, delay, jitter = self._orders.get((sender, receiver), (False, 0.0, 0.0, 0.0))
            if is_cut or (loss and self._dice.random() < loss):
                continue
            if delay:
                due = time.monotonic() + delay + jitter * self._dice.random()
                heapq.heappush(self._waiting, (due, next(self._numbers), sender, receiver, packet))
            else:
                self._deliver(receiver, packet)

    def due(self):
        """Deliver what is due; return the seconds until the next packet is, None if none waits."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, sender, receiver, packet = heapq.heappop(self._waiting)
            # What is still on its way when the cable is cut does not arrive.
            if not self._orders[sender, receiver][0]:
                self._deliver(receiver, packet)
        return max(self._waiting[0][0] - time.monotonic(), 0.0) if self._waiting else None

    def _deliver(self, receiver, packet):
        try:
            os.write(self._ends[receiver], packet)
        except OSError:
            # The interface is not up yet, or its queue is full: a lost packet, as on any wire.
            return


def main():
    """Carry packets until standard input ends."""
    ends = [interface(name) for name in sys.argv[2:]]
    relay = Relay(int(sys.argv[1]), ends)
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    for index, end in enumerate(ends):
        selector.register(end, selectors.EVENT_READ, index)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select(relay.due()):
            if key.data is not None:
                relay.carry(key.data)
            elif line := sys.stdin.readline():
                relay.order(line)
                print("done", flush=True)
            else:
                return 0


if __name__ == "__main__":
    sys.exit(main())
