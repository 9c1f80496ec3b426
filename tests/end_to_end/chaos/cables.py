"""Hosts in network namespaces whose only wire is a relay process, so that every direction can be cut, lossy or slow.

The kernel's own means would do where it has them; the relay does everywhere. It needs root, the program ip and /dev/net/tun.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from tests.end_to_end.networks import Namespaces, _ip

RELAY = Path(__file__).with_name("relay.py")


@attrs.frozen
class Weather:
    """What is wrong with one direction between two hosts; the default is nothing."""

    is_cut: bool = False
    #: The share of packets that is lost.
    loss: float = 0.0
    delay_seconds: float = 0.0
    #: A packet is held longer by up to so many seconds, so that packets overtake each other.
    jitter_seconds: float = 0.0

    def worse(self, other):
        """Return what two faults do together."""
        return Weather(
            self.is_cut or other.is_cut,
            max(self.loss, other.loss),
            max(self.delay_seconds, other.delay_seconds),
            max(self.jitter_seconds, other.jitter_seconds),
        )


def why_not():
    """Return why this machine cannot have such cables; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "the relay between the hosts needs /dev/net/tun"
    return ""


class Cables(Namespaces):
    """A network for a `Pool`; `set_weather` takes the place of cuts."""

    def _build(self):
        if reason := why_not():
            pytest.skip(reason)
        for name in self._names:
            done = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True)
            if done.returncode:
                pytest.skip("this machine does not allow network namespaces")
        argv = [sys.executable, "-I", "-S", str(RELAY), "1", *self._names]
        self._relay = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._relay.stdout.readline() != "ready\n":
            pytest.skip("this machine does not allow TUN interfaces in network namespaces")
        # A relay that has to wait for a processor would be a slow network, which nobody ordered.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._relay.pid, -10)
        for index, name in enumerate(self._names):
            _ip("-n", name, "addr", "add", f"{self.hosts[index]}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def set_weather(self, sender, receiver, weather):
        """Let one direction between two hosts be so from now on."""
        words = (weather.loss, weather.delay_seconds, weather.jitter_seconds)
        self._relay.stdin.write(f"{sender} {receiver} {int(weather.is_cut)} {' '.join(map(str, words))}\n")
        self._relay.stdin.flush()
        assert self._relay.stdout.readline() == "done\n", "the relay is gone"

    def close(self):
        """End the relay and remove everything."""
        if relay := getattr(self, "_relay", None):
            relay.stdin.close()
            relay.wait(10)
            relay.stdout.close()
        super().close()
