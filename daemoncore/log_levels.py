"""HTCondor's debug flags: which lines a log shows, and what stands in front of them.

The language is that of `_condor_parse_merge_debug_flags` (src/condor_utils/dprintf_common.cpp, 25.x):
flags separated by blanks, commas or bars; `D_X` turns a category on, `D_X:2` makes it verbose, `-D_X` or
`D_X:0` turns it off, `D_FULLDEBUG` is `D_ALWAYS:2`; some flags are no categories but parts of the header.
D_ALWAYS, D_ERROR and D_STATUS cannot be turned off.
"""

import logging
import re
from typing import Final

import attrs

#: Every category that HTCondor knows; those that nothing of ours uses are accepted and stay silent.
CATEGORIES: Final = frozenset(
    {
        *("D_ALWAYS", "D_ERROR", "D_STATUS", "D_ZKM", "D_JOB", "D_MACHINE", "D_CONFIG", "D_PROTOCOL"),
        *("D_PRIV", "D_DAEMONCORE", "D_SECURITY", "D_COMMAND", "D_MATCH", "D_NETWORK", "D_KEYBOARD"),
        *("D_PROCFAMILY", "D_IDLE", "D_THREADS", "D_ACCOUNTANT", "D_SYSCALLS", "D_CRON", "D_HOSTNAME"),
        *("D_PERF_TRACE", "D_LOAD", "D_AUDIT", "D_TEST", "D_STATS", "D_MATERIALIZE"),
    }
)

#: Shown whatever the flags say.
ALWAYS_SHOWN: Final = frozenset({"D_ALWAYS", "D_ERROR", "D_STATUS"})

#: Parts of the header, by the flags that ask for them. Those that make no sense here are accepted.
HEADER_FLAGS: Final = {
    "D_PID": "pid",
    "D_CAT": "category",
    "D_CATEGORY": "category",
    "D_LEVEL": "category",
    "D_SUB_SECOND": "sub_second",
    "D_TIMESTAMP": "timestamp",
    "D_FDS": "descriptors",
    "D_IDENT": "",
    "D_BACKTRACE": "",
    "D_NOHEADER": "",
}

_FLAG: Final = re.compile(r"([-+]?)(\w+)(?::(\d?).*)?")


@attrs.frozen
class Level:
    """A line's category and verbosity, and its weight for `logging` and the journal."""

    category: str
    verbosity: int = 1
    #: A level number of the standard library.
    number: int = logging.DEBUG

    @property
    def verbose(self) -> "Level":
        """The same category, shown only when the flags ask for `:2`."""
        return attrs.evolve(self, verbosity=2, number=logging.DEBUG)


ALWAYS: Final = Level("D_ALWAYS", number=logging.INFO)
STATUS: Final = Level("D_STATUS", number=logging.INFO)
WARNING: Final = Level("D_ALWAYS", number=logging.WARNING)
ERROR: Final = Level("D_ERROR", number=logging.ERROR)
FULLDEBUG: Final = ALWAYS.verbose
COMMAND: Final = Level("D_COMMAND")
NETWORK: Final = Level("D_NETWORK")
SECURITY: Final = Level("D_SECURITY")


@attrs.frozen
class DebugFlags:
    """What the debug knobs of one daemon ask for."""

    #: Categories shown at verbosity 1, beyond those always shown.
    basic: frozenset[str] = frozenset()
    #: Categories shown at verbosity 2 as well.
    verbose: frozenset[str] = frozenset()
    #: Parts of the header: `pid`, `category`, `sub_second`, `timestamp`, `descriptors`.
    header: frozenset[str] = frozenset()
    #: Words that are no flag of HTCondor's; ignored, as there, and worth a warning.
    unknown: tuple[str, ...] = ()

    @classmethod
    def parse(cls, *texts: str | None) -> "DebugFlags":
        """Merge the values of several knobs, the later over the earlier; None is a knob that is not set."""
        flags = cls()
        for text in texts:
            for word in re.split(r"[|,\s]+", text or ""):
                if word:
                    flags = flags._with(word)
        return flags

    def _with(self, word: str) -> "DebugFlags":
        """Merge one flag."""
        match = _FLAG.fullmatch(word)
        name = match[2].upper() if match else ""
        verbosity = int(match[3]) if match and match[3] else int(not word.startswith("-"))
        if name == "D_FULLDEBUG":
            return self._with_categories(frozenset({"D_ALWAYS"}), 2 * verbosity)
        if name == "D_FAILURE":
            return self
        if name == "D_ALL":
            with_header = self._with_header({"pid", "category", "descriptors"}, verbosity)
            return with_header._with_categories(CATEGORIES, verbosity)  # noqa: SLF001 - our own class
        if name == "D_ANY":
            return self._with_categories(CATEGORIES, verbosity)
        if name in HEADER_FLAGS:
            return self._with_header({HEADER_FLAGS[name]} - {""}, verbosity)
        if name in CATEGORIES:
            return self._with_categories(frozenset({name}), verbosity)
        return attrs.evolve(self, unknown=(*self.unknown, word))

    def _with_categories(self, categories: frozenset[str], verbosity: int) -> "DebugFlags":
        if not verbosity:
            return attrs.evolve(self, basic=self.basic - categories, verbose=self.verbose - categories)
        verbose = self.verbose | categories if verbosity > 1 else self.verbose
        return attrs.evolve(self, basic=self.basic | categories, verbose=verbose)

    def _with_header(self, parts: set[str], verbosity: int) -> "DebugFlags":
        return attrs.evolve(self, header=self.header | parts if verbosity else self.header - parts)

    def is_shown(self, level: Level) -> bool:
        """Say whether a line of `level` belongs in the log."""
        if level.verbosity > 1:
            return level.category in self.verbose
        return level.category in ALWAYS_SHOWN or level.category in self.basic

    @property
    def lowest_number(self) -> int:
        """The lowest standard-library level that can be shown, for a cheap first test."""
        return logging.DEBUG if self.verbose or self.basic - ALWAYS_SHOWN else logging.INFO
