"""What a running replication daemon shows of itself: its status, how fresh it is, its numbers, and the pages with them.

All of it is put together from memory when somebody asks; no disk, no peer and no lock is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from daemoncore import boottime
from daemoncore.http import HttpServer
from daemoncore.life import Life
from daemoncore.metrics import DaemonMetrics
from daemoncore.pages import Pages, health_limit_seconds
from daemoncore.version import VERSION
from replication import view
from replication.loading import Loaded
from replication.places import Places
from replication.replica import Replica
from replication.settings import Settings
from replication.status import Status
from replication.store import Store
from replication.telling import Telling
from replication.transfers import Transfers
from replication.web import Web


class Outlook:
    """Reads the parts of one daemon.

    Args:
        settings: the settings in force.
        replica: the machine, None before there is one.
        places: where the state is.
        store: the disk side.
        transfers: the processes that copy.
        telling: the observer.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        replica: Callable[[], Replica | None],
        places: Places,
        store: Store,
        transfers: Transfers,
        telling: Telling,
    ) -> None:
        self.settings = settings
        self._replica = replica
        self._places = places
        self._store = store
        self._transfers = transfers
        self._telling = telling

    def status(self) -> Status:
        """The status document as of now."""
        store = self._store
        around = view.Surroundings(
            places=self._places,
            transfers=self._transfers.figures(),
            sent=self._telling.transfers.sent,
            conflicts=store.conflicts,
            pending=store.pending,
            failed=store.failed,
            watching=store.fault,
            changed=store.changed_at,
            history=tuple(self._telling.history),
            program=VERSION,
            shared_hash=self.settings().shared_hash,
            time=time.time(),
        )
        return view.status_of(
            self.machine(), self._telling.lag, boottime.now(), names=self._telling.name, around=around
        )

    def machine(self) -> Replica:
        """The machine; before the pair was read one that holds nothing, for whoever asks so early."""
        return self._replica() or Replica(self.settings().replica(), None, 0, boottime.now())

    def freshness(self) -> view.Freshness:
        """How far this node's replica may lag."""
        return view.freshness(self.machine(), self._telling.lag, boottime.now())

    def pages(self, life: Life[Loaded], common: DaemonMetrics) -> HttpServer:
        """Make the server of the pages."""

        def scrape() -> bytes:
            replica = self._replica()
            if replica is not None:
                self._telling.measure(replica, boottime.now())
                self._telling.store.measure(self._places, self._store.files, self._store.conflicts)
            return life.scrape()

        pages = Pages(
            metrics=scrape,
            why_not_ready=life.why_not_ready,
            last_turn_seconds=life.last_turn_seconds,
            health_limit_seconds=lambda: health_limit_seconds(self.settings().connection_timeout_seconds),
        )
        return HttpServer(Web(self.status, self.freshness, pages).routes(), observer=common.http_request)
