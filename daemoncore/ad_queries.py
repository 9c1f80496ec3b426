"""Answers whoever asks the daemon itself for its ad, in place of a collector: `condor_status -pool HOST:PORT -had`.

The ad is made when it is asked for, so the answer is true also while no collector can be reached. A query's constraint is
evaluated as a collector does it, with the ad's own values; one that needs more of the ClassAd language than there is
here (`daemoncore.config.expressions`), or is long, holds, so that too much is shown and nothing is hidden. `Projection` is only an
economy, and is not taken up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.collector_ads import AdKind
from daemoncore.config.expressions import ExpressionError, Value, evaluate
from daemoncore.payloads import ad_of
from daemoncore.server import CommandServer
from daemoncore.server_connection import Request

MAXIMUM_CONSTRAINT: Final = 1000
"""Characters of a constraint that are evaluated, which the loop waits for; a longer one holds. Nobody types more."""

_BY_TARGET: Final = (Command.QUERY_GENERIC_ADS, Command.QUERY_MULTIPLE_ADS)
"""These ask for the types that TargetType lists."""


class AdQueries:
    """The handlers.

    Args:
        kind: the type of the one ad that there is.
        make_ad: makes it.
    """

    def __init__(self, kind: AdKind, make_ad: Callable[[], ClassAd]) -> None:
        self._kind = kind
        self._make_ad = make_ad

    def register(self, server: CommandServer) -> None:
        """Offer every query that can mean this ad."""
        own = () if self._kind.query is None else (self._kind.query,)
        for command in (*own, *_BY_TARGET, Command.QUERY_ANY_ADS):
            server.register(command, Level.READ, self._answer)

    async def _answer(self, request: Request) -> None:
        query = ad_of(request)
        writer = request.writer()
        ad = self._make_ad()
        if self._is_meant(request.command, query) and matches(query, ad):
            writer.put_int(1).put_ad(ad)
        await request.reply(writer.put_int(0))

    def _is_meant(self, command: int, query: ClassAd) -> bool:
        if command not in _BY_TARGET:
            return True
        types = query.get_string("TargetType", "").replace(",", " ").casefold().split()
        return self._kind.my_type.casefold() in types


def matches(query: ClassAd, ad: ClassAd) -> bool:
    """Whether an ad is what a query asks for."""
    if "Requirements" not in query:
        return True
    constraint = query.text("Requirements")
    if len(constraint) > MAXIMUM_CONSTRAINT:
        return True

    def value_of(name: str) -> Value:
        scope, _, attribute = name.rpartition(".")
        value = ad.get(attribute) if scope.casefold() in {"", "my", "target"} else None
        return value if isinstance(value, bool | int | float | str) else None

    try:
        return evaluate(constraint, value_of) not in {None, False}
    except ExpressionError:
        return True
