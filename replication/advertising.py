"""The replication daemon's ad for the collectors, and for whoever asks it itself, in one piece for `replication.daemon`."""

from __future__ import annotations

import time
from collections.abc import Callable

from daemoncore.ad_queries import AdQueries
from daemoncore.advertising import Advertiser, CollectorMetrics, Means
from daemoncore.cedar.classad import ClassAd
from daemoncore.client import Client
from daemoncore.collector_ads import REPLICATION_AD, ConfiguredSince
from daemoncore.event_log import Tell
from daemoncore.server import CommandServer
from replication.advertisement import advertisement, essence
from replication.outlook import Outlook


class ReplicationAdvertising:
    """Tells the collectors, and answers queries.

    Args:
        outlook: what is told of.
        client: gives what connects.
        server: gets the handlers of the queries.
        tell: writes lines of the log.
        metrics: counts.
    """

    def __init__(
        self,
        outlook: Outlook,
        client: Callable[[], Client],
        server: CommandServer,
        tell: Tell,
        metrics: CollectorMetrics,
    ) -> None:
        settings = outlook.settings
        self._outlook = outlook
        self._since = ConfiguredSince(time.time)
        self._advertiser = Advertiser(
            Means(
                REPLICATION_AD,
                lambda: settings().advertising,
                self._make_ad,
                client,
                lambda: settings().connection_timeout_seconds,
                tell,
                metrics,
            )
        )
        AdQueries(REPLICATION_AD, self._make_ad).register(server)

    def _make_ad(self) -> ClassAd:
        outlook = self._outlook
        settings = outlook.settings()
        return advertisement(settings, outlook.status(), outlook.freshness(), self._since.moments(settings))

    async def run(self) -> None:
        """Keep the collectors told until cancelled."""
        await self._advertiser.run()

    def turned(self) -> None:
        """The machine turned: tell of it if it matters."""
        self._advertiser.look(essence(self._outlook.machine()))

    async def retire(self) -> None:
        """The daemon ends: take the ad back."""
        await self._advertiser.retire()
