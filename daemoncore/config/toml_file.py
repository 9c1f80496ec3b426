"""The TOML form of a configuration: flat and strict.

Keys are knob names in any case, values are TOML's strings, numbers, booleans, or lists of strings. An unknown key is
an error with a suggestion, since a misspelt knob that is silently ignored costs a night. A string may refer
to other knobs and to facts of the host by `$(NAME)`; a reference to nothing is an error too.
"""

import re

from daemoncore.config import knobs
from daemoncore.config.macros import MacroTable
from daemoncore.config.problems import ExpansionError, Problem, Source

_REFERENCE = re.compile(r"(?<!\$)\$\(([A-Za-z0-9_./]+)\)")
_LOCATION = re.compile(r" \(at line (\d+), column \d+\)$")


def read_toml(path: str, text: str, table: MacroTable) -> list[Problem]:
    """Assign everything that a TOML text says; return what is wrong with it."""
    # Late, since most pools use HTCondor's own language, and the parser takes 0.6 MB.
    import tomli

    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        place = _LOCATION.search(str(error))
        reason = _LOCATION.sub("", str(error)).lower()
        return [Problem(Source(path, int(place[1]) if place else None), f"is not TOML: {reason}")]
    controllee = _controllee(document)
    problems: list[Problem] = []
    for key, value in document.items():
        source = Source(path, _line_of(key, text))
        message = _fault(key, value, controllee)
        if message is not None:
            problems.append(Problem(source, message))
            continue
        try:
            table.assign(key, _text(value), source)
        except ExpansionError as error:
            problems.append(Problem(source, f"{key} cannot be expanded: {error}"))
    problems.extend(_dangling(document, text, path, table))
    return problems


def _controllee(document: dict[str, object]) -> str:
    named = {key.upper(): value for key, value in document.items()}.get("HAD_CONTROLLEE")
    return named if isinstance(named, str) else knobs.TABLE["HAD_CONTROLLEE"].default or ""


def _fault(key: str, value: object, controllee: str) -> str | None:
    """What is wrong with one key, or None."""
    if isinstance(value, dict):
        return f"{key} is a table; the file is flat: a knob stands at the top, as NAME = value"
    if not isinstance(value, str | int | float | bool) and not _is_flat_list(value):
        return f"{key} must be a string, a number, true or false, or a list of strings (got {value})"
    # A quoted "manager1.HAD_SELF" is for one instance; the part before the dot is its name.
    upper = key.upper().rpartition(".")[2]
    if knobs.find(upper, controllee) is None and upper not in knobs.MISSPELT:
        meant = knobs.suggest(upper)
        return f"{key} is not a knob" + (f"; did you mean {meant}?" if meant else "")
    return None


def _is_flat_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str | int) for item in value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _line_of(key: str, text: str) -> int | None:
    """The line on which a key stands; tomli does not say."""
    pattern = re.compile(rf"^[ \t]*(['\"]?){re.escape(key)}\1[ \t]*=", re.MULTILINE)
    found = pattern.search(text)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _dangling(document: dict[str, object], text: str, path: str, table: MacroTable) -> list[Problem]:
    """References to names that mean nothing; in HTCondor's language those expand to nothing."""
    problems = []
    for key, value in document.items():
        for name in _REFERENCE.findall(_text(value)):
            is_known = (
                name.upper() in knobs.TABLE or name.upper() == "DOLLAR" or table.look_up(name) is not None
            )
            if not is_known:
                problems.append(
                    Problem(Source(path, _line_of(key, text)), f"{key} refers to $({name}), which is not set")
                )
    return problems
