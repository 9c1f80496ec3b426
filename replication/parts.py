"""What parts of the replication daemon work by, taken from the settings in force."""

from __future__ import annotations

from collections.abc import Mapping

from replication.loading import Loaded
from replication.settings import Settings
from replication.store_terms import StoreSettings
from replication.transfer_terms import Terms


def store_settings(settings: Settings) -> StoreSettings:
    """Return what the store works by."""
    return StoreSettings(
        keep_conflicts=settings.keep_conflicts,
        interval_seconds=settings.interval_seconds,
        half_life_seconds=settings.half_life_seconds,
    )


def terms_of(loaded: Loaded, environment: Mapping[str, str]) -> Terms:
    """Return what the transferers work by.

    Args:
        loaded: the configuration in force.
        environment: the daemon's own.
    """
    settings = loaded.settings
    return Terms(
        lifetime_seconds=settings.lifetime_seconds,
        security=loaded.security_texts,
        source_address=settings.me.numeric.host,
        argv=settings.transferer,
        environment=environment,
        is_fips=settings.is_fips,
        is_plain=loaded.security.client_policy.is_plain,
        asking={"ReplicationSender": settings.me.name},
    )
