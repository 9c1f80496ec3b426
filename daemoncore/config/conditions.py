"""What `if` and `elif` understand, and the stack of open branches.

A condition is a number, a word of yes or no, `defined NAME`, `defined use CATEGORY[:NAME]`, or `version >= 9.0`, with an
optional `!` in front; `$(NAME)` that expands to nothing is false. There is no `&&` and no `||`, as in
HTCondor (config.cpp, `Evaluate_config_if`).
"""

import re
from collections.abc import Callable

import attrs

from daemoncore.config.metaknobs import has_metaknob
from daemoncore.config.statements import Branch

#: The release of HTCondor whose configuration language this is; what `if version` compares with.
LANGUAGE_VERSION = (25, 14, 1)
#: HTCondor keeps its stack in a 64-bit word.
MAXIMUM_NESTING = 63

_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_VERSION = re.compile(
    r"version\s*(?P<not>!?)(?P<mark>[<>]?=?=?)\s*[vV]?(?P<numbers>\d+\.\d+(?:\.\d+)?)", re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z_./][A-Za-z0-9_./]*")
_WORDS = {"true": True, "yes": True, "t": True, "false": False, "no": False, "f": False}


class ConditionError(Exception):
    """The condition, or its place, is wrong; the message says why."""


def is_true(text: str, expand: Callable[[str], str], look_up: Callable[[str], str | None]) -> bool:
    """Return the value of a condition.

    Args:
        text: what stands after `if`.
        expand: expands the macros of a text.
        look_up: returns the unexpanded text of a name, or None.

    Raises:
        ConditionError: it is none of the forms.
    """
    condition = expand(text).strip() if "$" in text else text.strip()
    is_inverted = condition.startswith("!")
    condition = condition.removeprefix("!").strip()
    if not condition and "$" in text:
        return is_inverted
    return _plain(condition, look_up) != is_inverted


def _plain(condition: str, look_up: Callable[[str], str | None]) -> bool:
    lowered = condition.lower()
    if lowered in _WORDS:
        return _WORDS[lowered]
    if _NUMBER.fullmatch(condition):
        return float(condition) != 0
    if lowered.split(maxsplit=1)[:1] == ["defined"]:
        return _is_defined(condition[len("defined") :].strip(), look_up)
    found = _VERSION.fullmatch(condition)
    if found:
        return _compare_version(found["mark"], found["numbers"]) != bool(found["not"])
    reason = "there are only numbers, true and false, defined and version; no expressions"
    raise ConditionError(f"{condition!r} is no condition: {reason}")


def _is_defined(argument: str, look_up: Callable[[str], str | None]) -> bool:
    if not argument:
        return False
    if argument.lower().startswith("use "):
        category, _colon, name = argument[4:].strip().partition(":")
        if re.search(r"\s", argument[4:].strip()):
            raise ConditionError(f"'defined {argument}' never matches: blanks are not allowed after use")
        return has_metaknob(category, name)
    if argument.lower() in _WORDS or _NUMBER.fullmatch(argument):
        return True
    if not _NAME.fullmatch(argument):
        raise ConditionError(f"'defined {argument}' asks for no name")
    return bool(look_up(argument))


def _compare_version(mark: str, numbers: str) -> bool:
    asked = tuple(int(number) for number in numbers.split("."))
    # A version without its last number leaves that number out of the comparison.
    ours = LANGUAGE_VERSION[: len(asked)]
    if asked[0] < 6:
        raise ConditionError(f"version {numbers} is no version of HTCondor")
    is_equal = "=" in mark or not mark
    if ours == asked:
        return is_equal
    return (">" in mark and ours > asked) or ("<" in mark and ours < asked)


@attrs.define
class _Open:
    """One open `if`: whether this branch is read, whether one was already taken, whether `else` was seen."""

    is_read: bool
    is_taken: bool
    is_outer_read: bool
    has_else: bool = False


@attrs.define
class BranchStack:
    """Which lines of a file are read; one stack per file, since a branch ends where its file ends."""

    _open: list[_Open] = attrs.field(factory=list)

    @property
    def is_reading(self) -> bool:
        """Whether the present line counts."""
        return not self._open or self._open[-1].is_read

    @property
    def depth(self) -> int:
        """How many branches are open."""
        return len(self._open)

    def step(self, branch: Branch, test: Callable[[str], bool]) -> None:
        """Take a branch line.

        Raises:
            ConditionError: it has no partner, or its condition is wrong; the branch then counts as false.
        """
        if branch.word == "if":
            self._begin(branch, test)
            return
        if not self._open:
            raise ConditionError(f"{branch.word} without a matching if")
        if branch.word == "endif":
            self._open.pop()
            return
        top = self._open[-1]
        if top.has_else:
            raise ConditionError(f"{branch.word} is not allowed after else")
        top.has_else = branch.word == "else"
        is_candidate = top.is_outer_read and not top.is_taken
        top.is_read = False
        top.is_read = is_candidate and (branch.word == "else" or test(branch.condition))
        top.is_taken = top.is_taken or top.is_read

    def _begin(self, branch: Branch, test: Callable[[str], bool]) -> None:
        if self.depth >= MAXIMUM_NESTING:
            raise ConditionError(f"if is nested deeper than {MAXIMUM_NESTING}")
        is_outer_read = self.is_reading
        # Pushed before the test, so that a wrong condition does not orphan its endif.
        self._open.append(_Open(is_read=False, is_taken=False, is_outer_read=is_outer_read))
        if is_outer_read:
            self._open[-1].is_read = self._open[-1].is_taken = test(branch.condition)
