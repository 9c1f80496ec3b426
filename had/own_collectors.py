"""Which collectors of COLLECTOR_HOST are on this host, for the negotiator that had starts (`had.negotiator_environment`).

It is found out while a configuration is loaded, because a name server may take its time: the manager that died may have
been the one that answered. A start of the controllee waits for nothing but the disk. The names are looked up all at once,
and one that has no answer when the patience is over, or none at all, counts as another host's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Final

from daemoncore.collectors import Collector
from daemoncore.membership import Network
from had.control_settings import Control, ControlKind
from had.negotiator_environment import NEGOTIATOR

PATIENCE_SECONDS: Final = 1.5
"""For all names together; a daemon that starts cannot vote before it has its settings."""


def find_own_collectors(
    control: Control, collectors: Sequence[Collector], network: Network
) -> tuple[str, ...]:
    """Return the entries that are on this host, in their order; none where nobody needs to know."""
    is_ours = control.kind is ControlKind.SPAWN and control.controllee.casefold() == NEGOTIATOR
    if not is_ours or len(collectors) < 2:
        return ()
    here = hosts_here([collector.address.host for collector in collectors], network)
    return tuple(collector.entry for collector in collectors if collector.address.host in here)


def hosts_here(
    hosts: Sequence[str], network: Network, patience_seconds: float = PATIENCE_SECONDS
) -> frozenset[str]:
    """Return those of the hosts that have an address of this host, as far as that is found out in time."""
    here: list[str] = []

    def look(host: str) -> None:
        try:
            if any(network.is_bindable(number) for number in network.resolve(host)):
                here.append(host)
        except (OSError, ValueError):
            # Nobody knows the name.
            pass

    deadline = time.monotonic() + patience_seconds
    threads: list[threading.Thread] = []
    # Without threads to ask with (RuntimeError) there is no order, and everything else as ever.
    with contextlib.suppress(RuntimeError):
        for host in dict.fromkeys(hosts):
            # An executor's threads would hold up the end of the process as well.
            thread = threading.Thread(target=look, args=(host,), daemon=True)
            thread.start()
            threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return frozenset(here)
