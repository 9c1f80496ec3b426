"""What the demo measured, held against what is promised.

The promises are those of docs/guarantees.md, as functions of T (HAD_CONNECTION_TIMEOUT). HTCondor's figures stand
beside them where it does the same thing: its manual promises a stable pool within 12*N*T, and the measured ones are
medians of condor_had 25.14 with three managers at T = 1 on one machine with two cores.
"""

from collections.abc import Sequence

import attrs

from had.ctl import tables


@attrs.frozen
class Measurement:
    """One promise and what came of it.

    Attributes:
        promise: its number in docs/guarantees.md.
        situation: what happened.
        limit_seconds: what was promised at most.
        measured_seconds: what it took; None when it never came about.
        condor: what HTCondor is known to take, for people.
        is_usage: whether the seconds are those that users were charged for and that are missing, and not time.
    """

    promise: str
    situation: str
    limit_seconds: float
    measured_seconds: float | None
    condor: str = ""
    is_usage: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether it came about in time."""
        return self.measured_seconds is not None and self.measured_seconds <= self.limit_seconds


def stabilisation_seconds(members: int, timeout_seconds: float) -> float:
    """Return what HTCondor's manual promises: 12 * N * HAD_CONNECTION_TIMEOUT."""
    return 12 * members * timeout_seconds


def table(measurements: Sequence[Measurement]) -> str:
    """Return the table at the end of the demo."""
    columns = ("PROMISE", "SITUATION", "AT MOST", "MEASURED", "KEPT", "HTCONDOR")
    return tables.render(columns, [_row(one) for one in measurements])


def _row(one: Measurement) -> tuple[str, ...]:
    show = usage if one.is_usage else seconds
    return (
        one.promise,
        one.situation,
        show(one.limit_seconds),
        "never" if one.measured_seconds is None else show(one.measured_seconds),
        "yes" if one.is_kept else "NO",
        one.condor,
    )


def seconds(value: float) -> str:
    """Show a time with as many digits as can be believed."""
    return f"{value:.3f} s" if value < 0.1 else f"{value:.2f} s"


def usage(value: float) -> str:
    """Show how much of the users' usage is missing."""
    return f"{value:.0f} s used" if value else "nothing"
