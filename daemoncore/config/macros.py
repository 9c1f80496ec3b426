"""The table of macros, and how `$(NAME)` becomes text.

Expansion is lazy: a value keeps its `$(...)` until somebody asks for it, so the last assignment of NAME counts. The one
exception is a value that refers to itself (`A = $(A), more`), which is expanded at the assignment; that is
how lists grow. A name is looked up as LOCALNAME.NAME, SUBSYSTEM.NAME, NAME and then among the defaults.

Source of the semantics: HTCondor's config.cpp (`next_config_macro`, `expand_macro`, `expand_self_macro`,
`lookup_macro`), and the official bindings, which the tests ask the same questions.
"""

import re
from collections.abc import Callable, Iterator, Mapping

import attrs

from daemoncore.config.functions import FUNCTION_NAMES, Evaluator
from daemoncore.config.problems import DEFAULT, DETECTED, ExpansionError, Source

#: More steps than this means that macros refer to each other in a circle.
MAXIMUM_STEPS = 5000
#: Longer than any setting; a doubling chain of macros ends here.
MAXIMUM_LENGTH_BYTES = 1 << 20
#: Arguments of functions nested deeper than this are a circle too; each takes several frames of the stack.
MAXIMUM_NESTING = 20

#: `$(NAME)` and `$(NAME:default)`. The characters of a default are those that HTCondor takes; with any
#: other character the text is not a macro and stays as it is.
_REFERENCE = re.compile(
    r"(?<!\$)\$(?P<function>[A-Za-z0-9_]*)\("
    r"(?:(?P<name>[A-Za-z0-9_./]*)(?::(?P<default>(?:[A-Za-z0-9_./$ ,\\:]|\([^)]*\))*))?\)"
    r"|(?P<body>[^)]*)\))"
)
_VALID_NAME = re.compile(r"[A-Za-z0-9_./]+")


def is_valid_name(name: str) -> bool:
    """Whether a name may be assigned to: letters, digits, and `_ . /`."""
    return _VALID_NAME.fullmatch(name) is not None


@attrs.frozen
class Entry:
    """One assignment: the name as it was written, its text before expansion, and where."""

    name: str
    raw: str
    source: Source


@attrs.define
class MacroTable:
    """All macros of one daemon's configuration.

    Attributes:
        subsystem: name of the daemon, like `HAD`; prefix of values meant for it alone.
        local_name: name of this instance (`-local-name`), a stronger prefix; empty when there is none.
        defaults: upper-case name to text.
        detected: upper-case name to a function that finds out; asked at most once each, only when needed.
        evaluator: what runs `$ENV(...)` and the other functions.
        entries: upper-case name to its latest assignment.
        reserved: upper-case names of detected facts that no file may override.
    """

    subsystem: str
    local_name: str
    defaults: Mapping[str, str]
    detected: dict[str, Callable[[], str | None]]
    evaluator: Evaluator
    reserved: frozenset[str] = frozenset()
    entries: dict[str, Entry] = attrs.field(factory=dict)
    _facts: dict[str, str | None] = attrs.field(factory=dict)
    #: Arguments of functions that are being expanded, each inside the one before.
    _nesting: int = attrs.field(default=0, init=False)

    def prefixes(self) -> Iterator[str]:
        """The prefixes that apply to this daemon, strongest first, upper-case, each with its dot."""
        for prefix in (self.local_name, self.subsystem):
            if prefix:
                yield prefix.upper() + "."

    def find(self, name: str) -> Entry | None:
        """Return what a name stands for in this daemon, or None; the text may be empty."""
        upper = name.upper()
        for prefix in self.prefixes():
            if prefix + upper in self.entries:
                return self.entries[prefix + upper]
        if upper in self.reserved and self._fact(upper) is not None:
            return Entry(upper, self._fact(upper) or "", Source(DETECTED))
        if upper in self.entries:
            return self.entries[upper]
        fact = self._fact(upper)
        if fact is not None:
            return Entry(upper, fact, Source(DETECTED))
        if upper in self.defaults:
            return Entry(upper, self.defaults[upper], Source(DEFAULT))
        return None

    def _fact(self, upper: str) -> str | None:
        if upper not in self._facts:
            self._facts[upper] = self.detected[upper]() if upper in self.detected else None
        return self._facts[upper]

    def forget_facts(self) -> None:
        """Ask for detected facts anew: what was read meanwhile may have changed them."""
        self._facts.clear()

    def look_up(self, name: str) -> str | None:
        """Return the unexpanded text of a name, or None when it is not defined."""
        entry = self.find(name)
        return None if entry is None else entry.raw

    def assign(self, name: str, value: str, source: Source) -> None:
        """Set a name; a reference to itself takes the value that it had before.

        Raises:
            ExpansionError: the reference to itself cannot be expanded, or the value could be no text of the
                operating system's.
        """
        if "\0" in value:
            raise ExpansionError(f"the value of {name} holds a NUL byte")
        names = {name.upper()}
        for prefix in self.prefixes():
            if name.upper().startswith(prefix) and len(name) > len(prefix):
                names.add(name.upper()[len(prefix) :])
        raw = self._substitute(
            value, lambda function, inner: function[:1] in {"", "F"} and inner.upper() in names
        )
        self.entries[name.upper()] = Entry(name, raw, source)

    def expand(self, text: str) -> str:
        """Return a text with everything expanded.

        Raises:
            ExpansionError: macros in a circle, or a function that cannot be evaluated.
        """
        if "$" not in text:
            return text
        expanded = self.expand_keeping_dollars(text)
        return re.sub(r"(?<!\$)\$\(DOLLAR\)", "$", expanded, flags=re.IGNORECASE)

    def expand_keeping_dollars(self, text: str) -> str:
        """Expand everything but `$(DOLLAR)`, which must survive until the whole value is known.

        Raises:
            ExpansionError: as `expand`; also a function whose argument names the value that it stands in.
        """
        if self._nesting == MAXIMUM_NESTING:
            raise ExpansionError("its macros refer to each other in a circle")
        self._nesting += 1
        try:
            return self._substitute(text, lambda function, inner: bool(function) or inner.upper() != "DOLLAR")
        finally:
            self._nesting -= 1

    def _substitute(self, text: str, is_wanted: Callable[[str, str], bool]) -> str:
        """Replace the leftmost wanted reference until none is left, so that results are expanded in turn."""
        for _step in range(MAXIMUM_STEPS):
            found = _next_reference(text, is_wanted)
            if found is None:
                return text
            text = text[: found.start()] + self._replacement(found) + text[found.end() :]
            if len(text) > MAXIMUM_LENGTH_BYTES:
                raise ExpansionError("the value grows beyond 1 MiB: its macros refer to each other")
        raise ExpansionError("its macros refer to each other in a circle")

    def _replacement(self, found: re.Match[str]) -> str:
        function = found["function"]
        default = found["default"] or ""
        if function == "":
            return self.look_up(found["name"]) or default
        if function == "ENV":
            return self.evaluator.environment(found["name"], found["default"])
        body = found["body"] if found["name"] is None else found[0][found[0].index("(") + 1 : -1]
        return self.evaluator.call(function, body, self)


def _next_reference(text: str, is_wanted: Callable[[str, str], bool]) -> re.Match[str] | None:
    position = 0
    while True:
        found = _REFERENCE.search(text, position)
        if found is None:
            return None
        function, name = found["function"], found["name"]
        # A plain reference and $ENV take a name; with any other text inside they are not macros at all.
        takes_name = function in {"", "ENV"}
        if takes_name:
            is_macro = name is not None
        else:
            # An argument with references of its own is expanded first, from the inside out.
            is_macro = FUNCTION_NAMES.fullmatch(function) is not None and "$(" not in (found["body"] or "")
        if is_macro and is_wanted(function, name or ""):
            return found
        position = found.start() + 2
