"""What a knob is: the columns of the table.

One row says everything that parser, checker, sample file, manual and reload logic need to know, so that
none of them can disagree with another.
"""

import enum
import re

import attrs

#: What a placeholder of a family stands for.
_ANY = "[A-Z0-9_]+"
#: A list of who may do what is for one level (condor_perms.h), perhaps of one daemon. A misspelt level would leave the
#: level that was meant without its list, so it must not pass for a knob.
_AT_LEVEL = (
    "(?:READ|WRITE|NEGOTIATOR|ADMINISTRATOR|OWNER|CONFIG|DAEMON|SOAP|DEFAULT|CLIENT"
    "|ADVERTISE_STARTD|ADVERTISE_SCHEDD|ADVERTISE_MASTER)(?:_[A-Z0-9_]+)?"
)


class Kind(enum.Enum):
    """The type of a knob's value; `values.convert` says what text each one takes."""

    #: Any text.
    STRING = "text"
    #: A file or folder.
    PATH = "path"
    #: A program with its arguments.
    COMMAND = "command"
    #: A whole number or an integer expression.
    INTEGER = "integer"
    #: A number of seconds, decimals allowed.
    SECONDS = "seconds"
    #: A real number.
    REAL = "number"
    #: True or false, or a boolean expression.
    BOOLEAN = "boolean"
    #: Names separated by commas or blanks.
    LIST = "list"
    #: One of a few words.
    CHOICE = "choice"
    #: A size with an optional unit (Kb, Mb, ...), or an age (s, min, h, d, w).
    LOG_LIMIT = "size or age"


class Reload(enum.Enum):
    """What changing a knob on a running daemon needs."""

    #: SIGHUP is enough and the controllee keeps running.
    SOFT = "reconfigure"
    #: SIGHUP stops the controllee and the election starts over.
    HARD = "reconfigure, stops the controllee"
    #: Only a restart of the daemon takes it up.
    RESTART = "restart"
    #: The knob belongs to other programs; this one only reads or tolerates it.
    NONE = "not used here"


@attrs.frozen
class Knob:
    """One row of the table.

    Attributes:
        name: HTCondor's spelling; a family has parts in angle brackets, like `SEC_<LEVEL>_ENCRYPTION`.
        kind: type of the value.
        default: text of the default in the configuration language, or None when there is none.
        doc: what it means, in sentences for the manual.
        minimum: smallest value allowed, in the unit of the kind.
        maximum: largest value allowed.
        choices: the words that a CHOICE takes.
        reload: what a change needs.
        is_shared: whether all members must agree on it.
        daemons: which of our daemons read it.
        is_ours: whether HTCondor does not know the knob.
    """

    name: str
    kind: Kind
    default: str | None
    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    reload: Reload = Reload.SOFT
    is_shared: bool = False
    daemons: tuple[str, ...] = ("had",)
    is_ours: bool = False

    @property
    def is_family(self) -> bool:
        """Whether the row stands for many names."""
        return "<" in self.name

    @property
    def unit(self) -> str:
        """The unit that a number is given in; empty for the others."""
        return "seconds" if self.kind is Kind.SECONDS else ""

    def pattern(self) -> re.Pattern[str]:
        """The expression that the upper-case names of a family match."""
        parts = [
            _AT_LEVEL
            if part == "<LEVEL>" and self.name.endswith(part)
            else _ANY
            if part.startswith("<")
            else re.escape(part)
            for part in re.split("(<[^>]*>)", self.name.upper())
        ]
        return re.compile("".join(parts))
