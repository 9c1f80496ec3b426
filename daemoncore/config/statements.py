"""From one logical line to one statement.

The grammar is HTCondor's (config.cpp, `Parse_macros`): a word, an operator, the rest. The operators are `=`,
the obsolete `:`, `@=tag` for a text of several lines, and `+=` with an optional separator. A few words before a colon
are directives. What the statement does is the reader's business.
"""

import re

import attrs


class StatementError(Exception):
    """The line is no statement; the message says why."""


@attrs.frozen
class Assignment:
    """`NAME = value`; `joiner` is what `+=` puts between the old value and this one, None for a plain `=`."""

    name: str
    value: str
    joiner: str | None = None
    is_colon: bool = False
    extra_words: str = ""


@attrs.frozen
class LongText:
    """`NAME @=tag`: the lines up to `@tag` are the value."""

    name: str
    tag: str


@attrs.frozen
class Use:
    """`use CATEGORY : item, item(arguments)`."""

    category: str
    items: str


@attrs.frozen
class Include:
    """`include [ifexist] [command [into cache]] : target`."""

    target: str
    must_exist: bool = True
    is_command: bool = False
    cache: str = ""


@attrs.frozen
class Message:
    """`warning : text`, or `error [code] : text`."""

    text: str
    is_warning: bool


@attrs.frozen
class Branch:
    """`if`, `elif`, `else` or `endif`, with its condition."""

    word: str
    condition: str = ""


Statement = Assignment | LongText | Use | Include | Message | Branch

_BRANCH = re.compile(r"(if|elif|else|endif)(?:\s+(.*))?$", re.IGNORECASE)
_NAME = re.compile(r"[^\s=:]*")
_OPERATOR = re.compile(r"(?P<words>[^=:@+]*)(?P<operator>=|:|@=|\+(?P<separator>[,;|&*]{0,2})=)\s*")
#: How `+=` and its relatives join: one separator stands bare, a doubled one between blanks.
_JOINERS = {"": " "} | {mark: mark for mark in ",;|&*"} | {mark * 2: f" {mark * 2} " for mark in ",;|&*"}


def parse_branch(text: str) -> Branch | None:
    """Return the branch that a line is, or None when it is something else."""
    found = _BRANCH.match(text)
    return Branch(found[1].lower(), (found[2] or "").strip()) if found else None


def parse_statement(text: str) -> Statement | None:
    """Return the statement of a logical line, or None for a line that means nothing (an .ini section).

    Raises:
        StatementError: the line has no operator, or a directive is malformed.
    """
    name = _NAME.match(text)
    assert name is not None
    if not text[name.end() :]:
        if text.startswith("["):
            return None
        raise StatementError(f"{text!r} is no statement: there is no '=' after the name")
    operator = _OPERATOR.match(text, name.end())
    if operator is None:
        raise StatementError(f"{text!r} is no statement: there is no '=' after {name[0]}")
    if operator["operator"] == ":":
        directive = _parse_directive(
            name[0].lower().removeprefix("@"), operator["words"].strip(), text[operator.end() :]
        )
        if directive is not None:
            return directive
    return _parse_assignment(name[0], operator, text[operator.end() :])


def _parse_assignment(name: str, operator: re.Match[str], value: str) -> Statement:
    if operator["operator"] == "@=":
        return LongText(name, value.strip())
    separator = operator["separator"]
    if separator is not None and separator not in _JOINERS:
        raise StatementError(f"+{separator}= is no operator")
    return Assignment(
        name,
        value,
        joiner=None if separator is None else _JOINERS[separator],
        is_colon=operator["operator"] == ":",
        extra_words=operator["words"].strip(),
    )


def _parse_directive(word: str, between: str, rest: str) -> Statement | None:
    if word == "use":
        return Use(between, rest)
    if word == "include":
        return _parse_include(between.split(), rest.strip())
    if word == "warning":
        return Message(rest, is_warning=True)
    if word == "error":
        return Message(rest, is_warning=False)
    return None


def _parse_include(options: list[str], target: str) -> Include:
    words = list(options)
    must_exist = True
    is_command = target.endswith("|")
    cache = ""
    if words and words[0] in {"ifexist", "ifexists"}:
        must_exist = False
        del words[0]
    if words and words[0] in {"command", "output"}:
        is_command = True
        del words[0]
        if words and words[0] == "into":
            if len(words) < 2:
                raise StatementError("include command into needs the name of a file")
            cache = words[1]
            del words[:2]
    if words:
        raise StatementError(f"unexpected words {' '.join(words)!r} after include")
    return Include(target.removesuffix("|").rstrip(), must_exist, is_command, cache)
