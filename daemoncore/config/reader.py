"""Reads files of HTCondor's language into the table of macros.

One reader lives for one load. It never stops at a mistake: the line is noted as a problem and the next one is
read, so that all problems come out at once.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import attrs

from daemoncore.config import metaknobs
from daemoncore.config.conditions import BranchStack, ConditionError, is_true
from daemoncore.config.lines import Line, LogicalLines
from daemoncore.config.macros import MacroTable, is_valid_name
from daemoncore.config.problems import ExpansionError, Problem, Source
from daemoncore.config.statements import (
    Assignment,
    Branch,
    Include,
    LongText,
    Message,
    StatementError,
    Use,
    parse_branch,
    parse_statement,
)

#: HTCondor's limit for includes and metaknobs within each other (CONFIG_MAX_NESTING_DEPTH).
MAXIMUM_DEPTH = 20
#: How long a command that prints configuration may take.
COMMAND_SECONDS = 60.0


class UnreadableError(Exception):
    """A file or command cannot be read; the message says why."""


@attrs.define
class _Reading:
    """Where the reader stands in one file or template."""

    name: str
    depth: int
    via: str = ""
    fixed_line: int | None = None
    branches: BranchStack = attrs.field(factory=BranchStack)
    long_text: LongText | None = None
    long_source: Source | None = None
    long_lines: list[str] = attrs.field(factory=list)
    is_strict: bool = False

    def source(self, line: int) -> Source:
        return Source(self.name, line if self.fixed_line is None else self.fixed_line, self.via)


@attrs.define
class Reader:
    """Fills a table from files; collects problems, and the names of the files read."""

    table: MacroTable
    environment: Mapping[str, str]
    problems: list[Problem] = attrs.field(factory=list)
    files: list[str] = attrs.field(factory=list)

    def note(self, source: Source, message: str, *, is_warning: bool = False) -> None:
        """Remember a problem."""
        self.problems.append(Problem(source, message, is_warning))

    def read_file(self, path: str, depth: int = 0) -> None:
        """Read a file, or the output of a command that ends with `|`.

        Raises:
            UnreadableError: it cannot be opened, or the command fails.
        """
        is_command = path.rstrip().endswith("|")
        text = self._run(path.rstrip().removesuffix("|")) if is_command else _open(path)
        self.files.append(path)
        self.read_text(path, text, depth)

    def read_text(self, name: str, text: str, depth: int = 0) -> None:
        """Read the text of a file that goes by a name."""
        self._read(text, _Reading(name, depth))

    def _read(self, text: str, reading: _Reading) -> None:
        lines = LogicalLines(text)
        last = 0
        for line in lines:
            last = line.number
            reading.is_strict = lines.is_strict
            try:
                self._take(line, reading)
            except (StatementError, ConditionError, ExpansionError, UnreadableError) as error:
                self.note(reading.source(line.number), str(error))
        if reading.long_text is not None and reading.long_source is not None:
            self.note(reading.long_source, f"the file ends before @{reading.long_text.tag}")
        if reading.branches.depth:
            self.note(reading.source(last), "the file ends before endif")

    def _take(self, line: Line, reading: _Reading) -> None:
        if reading.long_text is not None:
            self._continue_long_text(line.text, reading.long_text, reading)
            return
        text = line.text
        # A colon hides a line of an if from readers older than 8.1.5.
        if text.startswith(":") and (reading.branches.depth or text[1:3].lower() == "if"):
            text = text[1:].lstrip()
        branch = parse_branch(text)
        if branch is not None:
            reading.branches.step(branch, self._test)
        elif reading.branches.is_reading:
            self._perform(text, reading.source(line.number), reading)

    def _test(self, condition: str) -> bool:
        return is_true(condition, self.table.expand, self.table.look_up)

    def _perform(self, text: str, source: Source, reading: _Reading) -> None:
        statement = parse_statement(text)
        match statement:
            case Assignment():
                self._assign(statement, source, is_strict=reading.is_strict)
            case LongText():
                reading.long_text = LongText(self._name(statement.name), statement.tag)
                reading.long_source = source
                reading.long_lines = []
            case Use():
                self._use(statement, source, reading.depth + 1)
            case Include():
                self._include(statement, source, reading.depth + 1)
            case Message():
                self.note(source, self.table.expand(statement.text), is_warning=statement.is_warning)
            case Branch() | None:
                pass

    def _continue_long_text(self, text: str, long_text: LongText, reading: _Reading) -> None:
        if text != f"@{long_text.tag}":
            reading.long_lines.append(text)
            return
        assert reading.long_source is not None
        reading.long_text = None
        self.table.assign(long_text.name, "\n".join(reading.long_lines), reading.long_source)

    def _name(self, written: str) -> str:
        name = self.table.expand(written)
        if not is_valid_name(name):
            hint = "; a blank is missing before +=" if name.endswith("+") else ""
            raise StatementError(f"{name!r} is no name: letters, digits and _ . / are allowed{hint}")
        return name

    def _assign(self, assignment: Assignment, source: Source, *, is_strict: bool) -> None:
        name = self._name(assignment.name)
        if assignment.is_colon:
            message = f"{name} is set with the obsolete ':' instead of '='"
            self.note(source, message, is_warning=not is_strict)
        if assignment.extra_words:
            message = f"the words {assignment.extra_words!r} between {name} and its '=' mean nothing"
            self.note(source, message, is_warning=True)
        value = assignment.value
        if assignment.joiner is not None:
            before = self.table.look_up(name)
            value = before + assignment.joiner + value if before else value
        self.table.assign(name, value, source)

    def _use(self, use: Use, source: Source, depth: int) -> None:
        category = self.table.expand(use.category).strip().upper()
        if category not in metaknobs.CATEGORIES:
            raise StatementError(f"use {category or '(nothing)'}: there is no such category of metaknobs")
        if depth >= MAXIMUM_DEPTH:
            raise StatementError(f"use {category} is nested deeper than {MAXIMUM_DEPTH}")
        for item in metaknobs.split_items(use.items):
            text = metaknobs.template(category, item)
            if text is not None:
                via = source.via or f"{category}:{item.name}"
                self._read(text, _Reading(source.name, depth, via, source.line))
            elif category in {metaknobs.SECURITY, "EXPERIMENTAL"}:
                raise StatementError(
                    f"use {category}: {item.name} is not known, and may decide who commands us"
                )
            else:
                self.note(source, f"use {category}: {item.name} is left to other daemons", is_warning=True)

    def _include(self, include: Include, source: Source, depth: int) -> None:
        target = self.table.expand(include.target)
        if not target:
            raise StatementError("include names nothing")
        if depth >= MAXIMUM_DEPTH:
            raise StatementError(f"include is nested deeper than {MAXIMUM_DEPTH}")
        try:
            name, text = self._included(include, target, source)
        except UnreadableError:
            if include.must_exist:
                raise
            return
        self.files.append(name)
        self._read(text, _Reading(name, depth, source.via))

    def _included(self, include: Include, target: str, source: Source) -> tuple[str, str]:
        """The name and the text of what an include names; a cache is written once and read from then on.

        The status of an included command is only worth a warning, as in HTCondor, which does not look at it.
        """
        if not include.is_command:
            return target, _open(target)
        if not include.cache:
            text, failure = self._output(target)
            if failure:
                self.note(source, failure, is_warning=True)
            return f"{target} |", text
        cache = self.table.expand(include.cache)
        if "\0" in cache or not Path(cache).exists():
            text = self._run(target)
            try:
                Path(cache).write_text(text, encoding="utf-8", errors="surrogateescape")
            except (OSError, ValueError) as error:
                raise UnreadableError(f"cannot write {cache}: {error}") from error
        return cache, _open(cache)

    def _run(self, command: str) -> str:
        """Return what a command prints.

        Raises:
            UnreadableError: it cannot be started, fails, or takes too long.
        """
        text, failure = self._output(command)
        if failure:
            raise UnreadableError(failure)
        return text

    def _output(self, command: str) -> tuple[str, str]:
        """Return what a command prints, and a sentence about its status if that is not 0."""
        try:
            done = subprocess.run(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=COMMAND_SECONDS,
                env=dict(self.environment),
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise UnreadableError(f"cannot run {command!r}: {error}") from error
        text = done.stdout.decode(errors="surrogateescape")
        if done.returncode == 0:
            return text, ""
        said = " ".join(done.stderr.decode(errors="replace").strip().splitlines()[-1:]) or "no reason given"
        return text, f"{command!r} ended with status {done.returncode}: {said}"


def _open(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        raise UnreadableError(f"cannot read {path}: {reason}") from error
