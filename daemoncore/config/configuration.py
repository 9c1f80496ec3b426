"""The result: every knob's value, text and source, frozen.

`load` is what daemons call; it raises with all problems at once. `read` gives the same result with its problems beside
it, for tools that show a configuration which is not in order.
"""

import functools
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from daemoncore.config import knobs
from daemoncore.config.detected import RESERVED, host_facts, process_facts
from daemoncore.config.functions import Evaluator
from daemoncore.config.knob import Knob
from daemoncore.config.layers import PLACES, find_root, read_layers
from daemoncore.config.macros import Entry, MacroTable
from daemoncore.config.problems import (
    DEFAULT,
    NOWHERE,
    ConfigurationError,
    ExpansionError,
    Problem,
    Source,
)
from daemoncore.config.reader import Reader
from daemoncore.config.values import Typed, ValueRefusedError, convert


@attrs.frozen(eq=False)
class Configuration:
    """A configuration as one daemon sees it.

    Attributes:
        path: the root file; empty when there is none.
        files: every file and command that was read, in order.
        problems: everything that is wrong; empty for one that `load` returned.
        warnings: what a daemon can live with.
    """

    path: str
    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    _table: MacroTable = attrs.field(repr=False)
    _typed: Mapping[str, Typed | None] = attrs.field(repr=False)

    @property
    def subsystem(self) -> str:
        """The daemon whose view this is, like `HAD`."""
        return self._table.subsystem

    @property
    def local_name(self) -> str:
        """The instance whose view this is; empty without `-local-name`."""
        return self._table.local_name

    def get(self, name: str) -> Typed | None:
        """Return the typed value of a knob, its default included; None when it is not set.

        Names outside the table are text.
        """
        upper = name.upper()
        return self._typed[upper] if upper in self._typed else self.text(name)

    def text(self, name: str) -> str | None:
        """Return the expanded text of any name; None when it is not set, or set to nothing."""
        raw = self._table.look_up(name)
        return (self.expand(raw) or None) if raw else None

    def raw(self, name: str) -> str | None:
        """Return the text of any name before expansion; None when it is not set."""
        return self._table.look_up(name)

    def source(self, name: str) -> Source:
        """Return where the value of a name was set."""
        entry = self._table.find(name)
        return Source(NOWHERE) if entry is None else entry.source

    def is_set(self, name: str) -> bool:
        """Whether somebody set the name, and to something, as against a default."""
        entry = self._table.find(name)
        return entry is not None and bool(entry.raw.strip()) and entry.source.name != DEFAULT

    def expand(self, text: str) -> str:
        """Return a text with its macros expanded; one that cannot be is a problem elsewhere, and empty here."""
        try:
            return self._table.expand(text)
        except ExpansionError:
            return ""

    def knob(self, name: str) -> Knob | None:
        """Return the row of a knob, with or without a prefix that applies to this daemon."""
        return knobs.find(_bare(name, self._table), _controllee(self._table))

    def entries(self) -> Iterator[Entry]:
        """Every assignment that stands, by name; prefixed ones under their full names."""
        yield from sorted(self._table.entries.values(), key=lambda entry: entry.name.upper())

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self.entries())

    def problem(self, name: str, message: str) -> Problem:
        """Return a problem with a knob, placed where the knob was set; `message` starts after the name."""
        source = self.source(name)
        if source.name in {NOWHERE, DEFAULT}:
            source = Source(self.path or source.name)
        return Problem(source, f"{name} {message}")


def load(
    path: str | None = None,
    *,
    subsystem: str = "HAD",
    local_name: str | None = None,
    environment: Mapping[str, str],
) -> Configuration:
    """Read and check a configuration.

    Args:
        path: the root file; None to look in $HAD_CONFIG, $CONDOR_CONFIG and the usual places.
        subsystem: the daemon that asks; `SUBSYSTEM.NAME` is for it alone.
        local_name: the instance that asks (`-local-name`).
        environment: the process environment.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    configuration = read(path, subsystem=subsystem, local_name=local_name, environment=environment)
    if configuration.problems:
        raise ConfigurationError(configuration.problems)
    return configuration


def read(
    path: str | None = None,
    *,
    subsystem: str = "HAD",
    local_name: str | None = None,
    environment: Mapping[str, str],
) -> Configuration:
    """Read a configuration as `load` does, and return it with its problems.

    Raises:
        ConfigurationError: there is no file at all.
    """
    root = find_root(path, environment)
    if root is None:
        places = ", ".join(("-c FILE", "$HAD_CONFIG", "$CONDOR_CONFIG", *PLACES))
        raise ConfigurationError([Problem(Source("configuration"), f"no file was found; looked at {places}")])
    table = MacroTable(
        subsystem,
        local_name or "",
        knobs.defaults(),
        process_facts(subsystem, local_name or "", root),
        Evaluator(environment, secrets.randbelow, str(Path.cwd())),
        RESERVED,
    )
    table.detected |= host_facts(functools.partial(_expanded, table))
    reader = Reader(table, environment)
    read_layers(root, reader, environment)
    table.forget_facts()
    _take_misspelt(reader)
    typed = _check(reader)
    _warn_of_strays(reader)
    return Configuration(
        root,
        tuple(reader.files),
        tuple(problem for problem in reader.problems if not problem.is_warning),
        tuple(problem for problem in reader.problems if problem.is_warning),
        table,
        typed,
    )


def _take_misspelt(reader: Reader) -> None:
    """Let a spelling that manuals got wrong count, unless the right one is set too."""
    table = reader.table
    for wrong, right in knobs.MISSPELT.items():
        entry = table.find(wrong)
        if entry is None:
            continue
        if (table.find(right) or entry).source.name == DEFAULT:
            table.entries[right] = attrs.evolve(entry, name=right)
            message = f"{wrong} is taken as {right}, which HTCondor reads"
        else:
            message = f"{wrong} is ignored, since {right} is set"
        reader.note(entry.source, message, is_warning=True)


def _expanded(table: MacroTable, name: str) -> str:
    """The text of a knob that others depend on; a fault in it is reported where it is checked itself."""
    try:
        return table.expand(table.look_up(name) or "").strip()
    except ExpansionError:
        return ""


def _controllee(table: MacroTable) -> str:
    return _expanded(table, "HAD_CONTROLLEE")


def _bare(name: str, table: MacroTable) -> str:
    """A name without the prefix that makes it this daemon's own."""
    upper = name.upper()
    for prefix in table.prefixes():
        if upper.startswith(prefix):
            return upper[len(prefix) :]
    return upper


def _check(reader: Reader) -> dict[str, Typed | None]:
    """Convert every knob of the table, and every family member that is set; note what is wrong."""
    table = reader.table
    controllee = _controllee(table)
    names = set(knobs.TABLE) | {_bare(name, table) for name in table.entries}
    typed: dict[str, Typed | None] = {}
    for name in sorted(names):
        knob = knobs.find(name, controllee)
        if knob is not None:
            typed[name] = _value(name, knob, reader)
    return typed


def _value(name: str, knob: Knob, reader: Reader) -> Typed | None:
    """The typed value of one knob; the default, when what is set is wrong and has been noted."""
    entry = reader.table.find(name)
    if entry is None:
        return None
    shown = knob.name if not knob.is_family else entry.name
    try:
        text = reader.table.expand(entry.raw)
        # Set to nothing is not set, as in HTCondor.
        return convert(knob, text.strip()) if text.strip() else None
    except ExpansionError as error:
        fault = f"{shown} cannot be expanded: {error}"
    except ValueRefusedError as error:
        fault = f"{shown} {error}"
    # A default is only wrong because of another knob that it refers to, which is reported itself.
    if entry.source.name != DEFAULT:
        reader.note(entry.source, fault)
    return _default(knob, reader)


def _default(knob: Knob, reader: Reader) -> Typed | None:
    if knob.default is None:
        return None
    try:
        return convert(knob, reader.table.expand(knob.default))
    except (ExpansionError, ValueRefusedError):
        return None


def _warn_of_strays(reader: Reader) -> None:
    """Warn of names that look like ours, are no knobs, and that no other value refers to."""
    table = reader.table
    everything = "\n".join(entry.raw for entry in table.entries.values())
    is_mentioned = functools.partial(_mentions, everything)
    for entry in list(table.entries.values()):
        name = _bare(entry.name, table)
        if name in knobs.MISSPELT or knobs.find(name, _controllee(table)) or is_mentioned(name):
            continue
        if knobs.is_suspicious(name):
            meant = knobs.suggest(name)
            hint = f"; did you mean {meant}?" if meant else ", and nothing refers to it"
            reader.note(entry.source, f"{entry.name} is not a knob{hint}", is_warning=True)


def _mentions(everything: str, name: str) -> bool:
    return re.search(rf"\(\s*{re.escape(name)}\s*[:,)]", everything, re.IGNORECASE) is not None
