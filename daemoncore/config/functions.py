"""The functions that a value may call: `$ENV`, `$CHOICE`, `$SUBSTR`, `$INT`, `$REAL`, `$Fn` and their like.

Each takes the text between its parentheses. An argument that is the name of a macro stands for the macro's value, any
other stands for itself. Source of the semantics: HTCondor's config.cpp (`evaluate_macro_func`), and the
official bindings, which the tests ask the same questions.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Protocol

import attrs

from daemoncore.config.expressions import ExpressionError, Value, evaluate
from daemoncore.config.problems import ExpansionError

#: Names after the dollar sign that are functions; names are case-sensitive but for the letters after F.
FUNCTION_NAMES = re.compile(
    r"RANDOM_CHOICE|RANDOM_INTEGER|CHOICE|SUBSTR|INT|REAL|STRING|EVAL|DIRNAME|BASENAME|F[pnxdqabfwuPNXDQABFWU]*"
)
#: A printf format with one conversion, as $INT and its relatives take.
_FORMAT = re.compile(r"[^%]*%[-+ #0]*\d{0,3}(?:\.\d{1,3})?(?:ll?)?([dioxXeEfFgGs])[^%]*")


class Macros(Protocol):
    """What a function may ask of the table of macros."""

    def look_up(self, name: str) -> str | None:
        """Return the unexpanded text of a name."""

    def expand_keeping_dollars(self, text: str) -> str:
        """Return a text with its macros expanded."""


@attrs.frozen
class Evaluator:
    """Runs the functions.

    Attributes:
        variables: the process environment, for `$ENV`.
        choose: returns a random number from 0 to one less than its argument.
        folder: the folder that relative paths start from, for `$Ff`.
    """

    variables: Mapping[str, str]
    choose: Callable[[int], int]
    folder: str = ""

    def environment(self, name: str, default: str | None) -> str:
        """`$ENV(name:default)`: an unset variable without a default is the word UNDEFINED."""
        value = self.variables.get(name)
        if value is None:
            return "UNDEFINED" if default is None else default
        return value or default or ""

    def call(self, function: str, body: str, macros: Macros) -> str:
        """Return the value of a function.

        Raises:
            ExpansionError: an argument is missing or of the wrong type.
        """
        if function in _PLAIN:
            return _PLAIN[function](self, body, macros)
        return _file_name(self, function, body, macros)


def _random_choice(evaluator: Evaluator, body: str, macros: Macros) -> str:
    items = body if "," in body else _argument(body, macros)
    return _item(items, evaluator.choose(items.count(",") + 1)) or ""


def _random_integer(evaluator: Evaluator, body: str, _macros: Macros) -> str:
    numbers = [_whole("$RANDOM_INTEGER", text) for text in body.split(",")]
    if len(numbers) not in {2, 3}:
        raise ExpansionError("$RANDOM_INTEGER needs min, max and perhaps step")
    minimum, maximum, step = (*numbers, 1)[:3]
    if step < 1 or minimum > maximum:
        raise ExpansionError(f"$RANDOM_INTEGER cannot choose from {minimum} to {maximum} by {step}")
    return str(minimum + evaluator.choose((step + maximum - minimum) // step) * step)


def _choice(_evaluator: Evaluator, body: str, macros: Macros) -> str:
    first, comma, items = body.partition(",")
    if not comma or not items.strip():
        raise ExpansionError("$CHOICE needs an index and a list")
    index = _whole("$CHOICE", _argument(first, macros))
    if "," not in items:
        raw = macros.look_up(items.strip())
        if raw is None:
            raise ExpansionError(f"$CHOICE: there is no list named {items.strip()}")
        items = macros.expand_keeping_dollars(raw)
    chosen = _item(items, index)
    if chosen is None:
        raise ExpansionError(f"$CHOICE: index {index} is out of range")
    return chosen


def _substring(_evaluator: Evaluator, body: str, macros: Macros) -> str:
    arguments = [_argument(text, macros) for text in body.split(",")]
    text = arguments[0]
    if not text:
        return ""
    if len(arguments) not in {2, 3}:
        raise ExpansionError("$SUBSTR needs a name, a start, and perhaps a length")
    numbers = [_whole("$SUBSTR", argument) for argument in arguments[1:]]
    start = numbers[0]
    # Negative numbers count from the end of what is there.
    text = text[max(0, len(text) + start if start < 0 else start) :]
    length = numbers[1] if len(numbers) == 2 else len(text)
    return text[: max(0, len(text) + length if length < 0 else length)]


def _integer(_evaluator: Evaluator, body: str, macros: Macros) -> str:
    value, form = _formatted("$INT", "dioxX", body, macros)
    number = _whole("$INT", value)
    return str(number) if form is None else form % number


def _real(_evaluator: Evaluator, body: str, macros: Macros) -> str:
    value, form = _formatted("$REAL", "eEfFgG", body, macros)
    number = _number("$REAL", value)
    if form is None:
        return f"{number:.16G}"
    text = form % number
    return text if "." in text else text + ".0"


def _string(_evaluator: Evaluator, body: str, macros: Macros) -> str:
    value, form = _formatted("$STRING", "s", body, macros)
    evaluated = _evaluated(value)
    text = evaluated if isinstance(evaluated, str) else value
    return text if form is None else form % text


def _eval(_evaluator: Evaluator, body: str, macros: Macros) -> str:
    raw = macros.look_up(body)
    text = macros.expand_keeping_dollars(body if raw is None else raw)
    try:
        value = evaluate(text)
    except ExpressionError:
        return text
    return _unparsed(value)


def _directory_name(evaluator: Evaluator, body: str, macros: Macros) -> str:
    return _file_name(evaluator, "Fp", body, macros)


def _base_name(evaluator: Evaluator, body: str, macros: Macros) -> str:
    return _file_name(evaluator, "Fnx", body, macros)


def _file_name(evaluator: Evaluator, function: str, body: str, macros: Macros) -> str:
    raw = macros.look_up(body)
    if raw is None:
        return ""
    letters = function[1:].lower()
    path = macros.expand_keeping_dollars(raw)
    if len(path) > 1 and path[0] == path[-1] and path[0] in "\"'":
        path = path[1:-1]
    if "f" in letters:
        path = str(PurePosixPath(evaluator.folder) / path)
    if "u" in letters:
        path = path.replace("\\", "/")
    text = _path_parts(path, letters)
    if "w" in letters:
        text = text.replace("/", "\\")
    mark = ("'" if "a" in letters else '"') if "q" in letters else ""
    return f"{mark}{text}{mark}"


def _path_parts(path: str, letters: str) -> str:
    """The parts of a path that the letters p, d, n, x ask for; b strips what joins them."""
    wanted = {letter for letter in letters if letter in "pdnx"}
    cut = path.rfind("/") + 1
    folder, base = path[:cut], path[cut:]
    stem, extension = _split_extension(base)
    if not wanted:
        return path
    if not folder and wanted & {"n", "x"}:
        wanted -= {"p", "d"}
    if "d" in wanted and "p" not in wanted:
        folder = _last_folders(folder, letters.count("d"))
    is_bare = "b" in letters
    if not wanted & {"n", "x"}:
        return folder.removesuffix("/") if is_bare else folder
    if wanted == {"x"}:
        return extension.removeprefix(".") if is_bare else extension
    name = stem if "x" not in wanted else base
    return folder + name if wanted & {"p", "d"} else name


def _split_extension(base: str) -> tuple[str, str]:
    cut = base.rfind(".")
    # A leading dot is part of the name.
    return (base, "") if cut <= 0 else (base[:cut], base[cut:])


def _last_folders(folder: str, count: int) -> str:
    parts = folder.split("/")
    # The folder ends with a slash, so the last part is empty.
    return "/".join(parts[-1 - count :]) if len(parts) > count else folder


def _item(items: str, index: int) -> str | None:
    parts = [part.strip() for part in items.split(",")]
    return parts[index] if 0 <= index < len(parts) else None


def _argument(text: str, macros: Macros) -> str:
    raw = macros.look_up(text.strip())
    return macros.expand_keeping_dollars(text.strip() if raw is None else raw)


def _formatted(function: str, conversions: str, body: str, macros: Macros) -> tuple[str, str | None]:
    first, comma, form = body.partition(",")
    if comma:
        found = _FORMAT.fullmatch(form)
        if found is None or found[1] not in conversions:
            raise ExpansionError(f"{function}: {form!r} is no format for its value")
        # Python knows no length modifiers.
        form = re.sub(r"ll?(?=[dioxX])", "", form)
    return _argument(first, macros), form if comma else None


def _evaluated(text: str) -> Value:
    try:
        return evaluate(text)
    except ExpressionError:
        return None


def _whole(function: str, text: str) -> int:
    value = _evaluated(text)
    if isinstance(value, int | float):
        return int(value)
    raise ExpansionError(f"{function}: {text.strip()!r} is not a whole number")


def _number(function: str, text: str) -> float:
    value = _evaluated(text)
    if isinstance(value, int | float):
        return float(value)
    raise ExpansionError(f"{function}: {text.strip()!r} is not a number")


def _unparsed(value: Value) -> str:
    """Write a value as the ClassAd language does, but a string without its quotes."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = f"{value:.16G}"
        return text if any(mark in text for mark in ".EN") else text + ".0"
    return str(value)


_PLAIN: dict[str, Callable[[Evaluator, str, Macros], str]] = {
    "RANDOM_CHOICE": _random_choice,
    "RANDOM_INTEGER": _random_integer,
    "CHOICE": _choice,
    "SUBSTR": _substring,
    "INT": _integer,
    "REAL": _real,
    "STRING": _string,
    "EVAL": _eval,
    "DIRNAME": _directory_name,
    "BASENAME": _base_name,
}
