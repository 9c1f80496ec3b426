"""Metric families as a table: one row each, from which registry, manual and tests are made.

A daemon lists its families as `Family` rows and works with them by name through `Families`. That keeps the
help texts in one place, lets a test compare them with docs/reference/metrics.md, and leaves the observers
free of registration.
"""

import enum
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase


class Kind(enum.Enum):
    """What a family's numbers mean."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    #: A gauge per state, exactly one of which is 1.
    STATESET = "stateset"
    #: The constant 1 with facts as labels.
    INFO = "info"


@attrs.frozen
class Family:
    """One row of docs/reference/metrics.md."""

    name: str
    kind: Kind
    help: str
    #: Label names, in alphabetical order; of an INFO only those that are not facts.
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram's buckets, in seconds.
    buckets: tuple[float, ...] = ()
    #: The states of a state set.
    states: tuple[str, ...] = ()
    #: The facts of an INFO.
    facts: tuple[str, ...] = ()

    @property
    def shown_labels(self) -> tuple[str, ...]:
        """Every label that a scrape shows."""
        own = (self.name,) if self.kind is Kind.STATESET else ()
        return tuple(sorted((*self.labels, *self.facts, *own)))


class Families:
    """The families of one daemon in its registry, by name.

    Asking for a name that is not in the table, or for another kind, is a programmer's error.
    """

    def __init__(self, registry: CollectorRegistry, table: Iterable[Family]) -> None:
        rows = tuple(table)
        self._metrics = {row.name: _made(row, registry) for row in rows}
        self._labels = {row.name: row.labels for row in rows}
        self._presets: dict[str, set[tuple[str, ...]]] = {}

    def gauge(self, name: str, *labels: str) -> Gauge:
        """Give a gauge, or its child with these label values."""
        metric = self._child(name, labels)
        assert isinstance(metric, Gauge), name
        return metric

    def counter(self, name: str, *labels: str) -> Counter:
        """Give a counter, or its child with these label values."""
        metric = self._child(name, labels)
        assert isinstance(metric, Counter), name
        return metric

    def histogram(self, name: str, *labels: str) -> Histogram:
        """Give a histogram, or its child with these label values."""
        metric = self._child(name, labels)
        assert isinstance(metric, Histogram), name
        return metric

    def set_state(self, name: str, state: str) -> None:
        """Make `state` the one that is 1."""
        metric = self._metrics[name]
        assert isinstance(metric, Enum), name
        metric.state(state)

    def set_info(self, name: str, labels: Sequence[str], facts: Mapping[str, str]) -> None:
        """Give an INFO its facts."""
        metric = self._child(name, labels)
        assert isinstance(metric, Info), name
        metric.info(dict(facts))

    def allow(self, name: str, *values: Iterable[str]) -> None:
        """Set every combination of these label values to 0, one iterable for each label in order."""
        for labels in itertools.product(*values):
            self._metrics[name].labels(*labels)
            self._presets.setdefault(name, set()).add(labels)

    def is_allowed(self, name: str, *labels: str) -> bool:
        """Say whether a combination was set to 0 by `allow`."""
        return labels in self._presets.get(name, ())

    def forget(self, label: str, is_gone: Callable[[str], bool]) -> None:
        """Drop every combination whose value of `label` is gone."""
        for name, combinations in self._presets.items():
            if label not in self._labels[name]:
                continue
            position = self._labels[name].index(label)
            for labels in [one for one in combinations if is_gone(one[position])]:
                self._metrics[name].remove(*labels)
                combinations.remove(labels)

    def _child(self, name: str, labels: Sequence[str]) -> MetricWrapperBase:
        metric = self._metrics[name]
        return metric.labels(*labels) if labels else metric


def _made(family: Family, registry: CollectorRegistry) -> MetricWrapperBase:
    """Register one family."""
    name, text, labels = family.name, family.help, family.labels
    match family.kind:
        case Kind.GAUGE:
            return Gauge(name, text, labels, registry=registry)
        case Kind.COUNTER:
            return Counter(name, text, labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(name, text, labels, buckets=family.buckets, registry=registry)
        case Kind.STATESET:
            return Enum(name, text, labels, states=family.states, registry=registry)
        case Kind.INFO:
            # The library appends `_info` to the name.
            return Info(name.removesuffix("_info"), text, labels, registry=registry)
