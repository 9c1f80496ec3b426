"""What is measured: each row of the bench's tables, what is promised of it, and what HTCondor itself was measured to do.

The promises are those of docs/guarantees.md, the aims are medians on an idle machine; T is HAD_CONNECTION_TIMEOUT in
seconds. HTCondor's figures are ours: condor_had 25.14.0 pre-release (its main branch of 2026-08-21, unmodified), each
manager in its own network namespace on one machine of two cores, HAD_USE_PRIMARY and HAD_USE_REPLICATION on, no shared
port; a negotiator counts while it is a live child of its condor_master, looked at each 20 ms; faults at a random moment.
"""

from collections.abc import Callable, Mapping

import attrs


@attrs.frozen
class Measure:
    """One thing that is measured, in seconds."""

    slug: str
    title: str
    #: The most that it may be, as a function of T; None if nothing is promised.
    promise: Callable[[float], float] | None = None
    #: The median to aim at.
    aim: Callable[[float], float] | None = None
    #: Whether HTCondor's rule of thumb, 12 * N * T (manual, High Availability of the Central Manager), is about this.
    has_formula: bool = False
    #: Median and maximum of HTCondor itself, by members and T.
    condor: Mapping[tuple[int, float], tuple[float, float]] = {}


MEASURES = (
    Measure(
        "cold_start",
        "cold start, all hosts together",
        promise=lambda t: 2 * t + 1,
        has_formula=True,
        condor={
            (2, 1): (20.3, 20.7),
            (2, 2): (36.4, 36.6),
            (3, 1): (28.3, 28.5),
            (3, 2): (52.4, 52.7),
        },
    ),
    Measure(
        "cold_ready",
        "cold start, once all are ready",
    ),
    Measure(
        "cold_overlap",
        "cold start: two run for",
        promise=lambda _: 0.0,
    ),
    Measure(
        "host_killed",
        "takeover, leader's host killed",
        promise=lambda t: 1.5 * t + 0.5,
        aim=lambda t: 1.25 * t + 0.1,
        has_formula=True,
        condor={
            (2, 1): (24.4, 28.1),
            (2, 2): (46.9, 51.2),
            (3, 1): (35.4, 38.9),
            (3, 2): (67.5, 74.8),
        },
    ),
    Measure(
        "network_cut",
        "takeover, leader's network cut",
        promise=lambda t: 1.5 * t + 0.5,
        aim=lambda t: 1.25 * t + 0.1,
        has_formula=True,
        condor={
            (2, 1): (22.2, 25.9),
            (2, 2): (38.5, 52.0),
            (3, 1): (31.9, 37.1),
            (3, 2): (61.2, 66.2),
        },
    ),
    Measure(
        "heal",
        "network heals: until one is left",
        promise=lambda t: t + 0.5,
        condor={
            (2, 1): (8.1, 12.7),
            (2, 2): (15.6, 21.8),
            (3, 1): (9.1, 17.4),
            (3, 2): (12.4, 46.8),
        },
    ),
    Measure(
        "daemon_killed",
        "takeover, leader's daemon killed",
        promise=lambda _: 1.0,
        aim=lambda _: 0.3,
        condor={
            (2, 1): (21.1, 21.7),
            (2, 2): (37.0, 37.1),
            (3, 1): (28.8, 29.8),
            (3, 2): (53.6, 53.7),
        },
    ),
    Measure(
        "orphan",
        "killed daemon outlived for",
        promise=lambda _: 0.2,
    ),
    Measure(
        "handover",
        "leader stopped: none runs for",
        promise=lambda _: 0.3,
        aim=lambda _: 0.05,
        condor={(2, 1): (22.1, 25.7)},
    ),
    Measure(
        "return",
        "primary returns: leads after",
        condor={
            (2, 1): (20.3, 21.1),
            (2, 2): (36.5, 37.1),
            (3, 1): (28.3, 29.3),
            (3, 2): (52.6, 53.0),
        },
    ),
    Measure(
        "return_gap",
        "primary returns: none runs for",
        promise=lambda _: 0.5,
    ),
    Measure(
        "return_overlap",
        "primary returns: two run for",
        promise=lambda _: 0.0,
        condor={
            (2, 1): (4.0, 8.9),
            (2, 2): (8.0, 17.0),
            (3, 1): (10.0, 17.2),
            (3, 2): (11.0, 29.6),
        },
    ),
    Measure(
        "restart",
        "controllee killed: back after",
        promise=lambda _: 0.3,
        aim=lambda _: 0.05,
        condor={(2, 1): (10.1, 10.2)},
    ),
    Measure(
        "overlap",
        "two at once, after all but the cuts",
        promise=lambda _: 0.0,
    ),
)

BY_SLUG = {measure.slug: measure for measure in MEASURES}
