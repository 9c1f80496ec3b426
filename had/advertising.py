"""had's ad for the collectors, and for whoever asks had itself: what `had.daemon` needs of it, in one piece."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from daemoncore.ad_queries import AdQueries
from daemoncore.advertising import Advertiser, CollectorMetrics, Means
from daemoncore.cedar.classad import ClassAd
from daemoncore.client import Client
from daemoncore.collector_ads import HAD_AD, ConfiguredSince
from daemoncore.event_log import Tell
from daemoncore.server import CommandServer
from had.advertisement import advertisement, essence
from had.election import Election
from had.settings import Settings
from had.status import Status


class Advertised(Protocol):
    """The daemon, as far as its ad says something of it."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    def status(self) -> Status:
        """The status document as of now."""


class HadAdvertising:
    """Tells the collectors, and answers queries.

    Args:
        daemon: what is told of.
        client: gives what connects.
        server: gets the handlers of the queries.
        tell: writes lines of the log.
        metrics: counts.
    """

    def __init__(
        self,
        daemon: Advertised,
        client: Callable[[], Client],
        server: CommandServer,
        tell: Tell,
        metrics: CollectorMetrics,
    ) -> None:
        self._daemon = daemon
        self._since = ConfiguredSince(time.time)
        self._advertiser = Advertiser(
            Means(
                HAD_AD,
                lambda: daemon.settings.advertising,
                self._make_ad,
                client,
                lambda: daemon.settings.connection_timeout_seconds,
                tell,
                metrics,
            )
        )
        AdQueries(HAD_AD, self._make_ad).register(server)

    def _make_ad(self) -> ClassAd:
        settings = self._daemon.settings
        return advertisement(settings, self._daemon.status(), self._since.moments(settings))

    async def run(self) -> None:
        """Keep the collectors told until cancelled."""
        await self._advertiser.run()

    def turned(self, election: Election) -> None:
        """The machine turned: tell of it if it matters."""
        self._advertiser.look(essence(election))

    async def retire(self) -> None:
        """The daemon ends: take the ad back."""
        await self._advertiser.retire()
