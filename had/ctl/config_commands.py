"""`hadctl config`: what the configuration says on this machine, where it says so, and whether it is in order.

Works on any machine, member of the election or not, and talks to no daemon. Values go to standard output; problems and
remarks go to standard error. Exit status: 0 in order, 1 not in order, 2 wrong usage or no configuration.
"""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Mapping

from daemoncore.config import Configuration, ConfigurationError, Problem, read
from daemoncore.config.knob import Knob
from daemoncore.config.knobs import TABLE, all_rows, find, suggest
from daemoncore.config.manual import knob_text, markdown, sample
from daemoncore.membership import HOST_NETWORK, Examination
from daemoncore.pool_security import security_of
from had.settings import examine

IN_ORDER = 0
NOT_IN_ORDER = 1
UNUSABLE = 2


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb `config` and its sub-verbs."""
    parser = subparsers.add_parser("config", help="show and check the configuration of this machine")
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument(
        "-c", "--config", metavar="FILE", help="configuration file instead of the usual places"
    )
    source.add_argument(
        "--subsystem", default="HAD", metavar="NAME", help="daemon whose view is shown (default: HAD)"
    )
    source.add_argument("-local-name", "--local-name", metavar="NAME", help="instance whose view is shown")
    form = argparse.ArgumentParser(add_help=False)
    form.add_argument("-v", "--verbose", action="store_true", help="with source, unexpanded text and default")
    form.add_argument("--json", action="store_true", help="print JSON")
    dump = verbs.add_parser("dump", parents=[source, form], help="print every value that is set")
    dump.add_argument("pattern", nargs="?", default="", metavar="REGEX", help="only names that match")
    dump.add_argument("--defaults", action="store_true", help="also knobs that are not set")
    get = verbs.add_parser("get", parents=[source, form], help="print one value")
    get.add_argument("name", metavar="NAME")
    check = verbs.add_parser("check", parents=[source, form], help="report everything that is wrong")
    check.add_argument(
        "-p", "--port", type=int, metavar="PORT", help="port that the daemon is told to listen on"
    )
    check.add_argument("--member", action="store_true", help="wrong unless this machine is a member")
    explain = verbs.add_parser(
        "explain", parents=[source, form], help="what a knob means, and its value here"
    )
    explain.add_argument("name", nargs="?", metavar="NAME")
    explain.add_argument("--markdown", action="store_true", help="print the manual page of every knob")
    verbs.add_parser("sample", parents=[], help="print an annotated configuration with every knob")


def run(arguments: argparse.Namespace, environment: Mapping[str, str] | None = None) -> int:
    """Carry out one `hadctl config` verb and return its exit status."""
    surroundings = os.environ if environment is None else environment
    for stream in (sys.stdout, sys.stderr):
        # A file that is not UTF-8 must not keep its problems from being printed.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments.verb == "sample":
        print(sample(), end="")
        return IN_ORDER
    if arguments.verb == "explain" and (arguments.markdown or arguments.name is None):
        print(markdown() if arguments.markdown else _all_names(), end="")
        return IN_ORDER
    try:
        configuration = read(
            arguments.config,
            subsystem=arguments.subsystem.upper(),
            local_name=arguments.local_name,
            environment=surroundings,
        )
    except ConfigurationError as error:
        if arguments.verb == "explain":
            return _explain_without_file(arguments)
        _report(error.problems)
        return UNUSABLE
    if configuration.path and not configuration.files:
        _report(configuration.problems)
        return UNUSABLE
    verbs = {"dump": _dump, "get": _get, "check": _check, "explain": _explain}
    return verbs[arguments.verb](arguments, configuration, surroundings)


def _dump(
    arguments: argparse.Namespace, configuration: Configuration, _environment: Mapping[str, str]
) -> int:
    try:
        pattern = re.compile(arguments.pattern, re.IGNORECASE)
    except re.error as error:
        print(f"hadctl: {arguments.pattern} is no regular expression: {error}", file=sys.stderr)
        return UNUSABLE
    names = {name.upper(): name for name in configuration}
    if arguments.defaults:
        names |= {
            upper: knob.name
            for upper, knob in TABLE.items()
            if knob.default is not None and upper not in names
        }
    chosen = [names[upper] for upper in sorted(names) if pattern.search(upper)]
    if arguments.json:
        print(json.dumps({name: _as_json(name, configuration) for name in chosen}, indent=2))
    else:
        print(f"# Configuration from machine: {configuration.text('FULL_HOSTNAME')}")
        for name in chosen:
            print(_entry_text(name, configuration, is_verbose=arguments.verbose))
        if not arguments.verbose:
            print("# Contributing configuration file(s):")
            for file in configuration.files:
                print(f"#\t{file}")
    _report(configuration.problems)
    return NOT_IN_ORDER if configuration.problems else IN_ORDER


def _get(arguments: argparse.Namespace, configuration: Configuration, _environment: Mapping[str, str]) -> int:
    text = configuration.text(arguments.name)
    wrong = [problem for problem in configuration.problems if _concerns(problem, arguments.name)]
    _report(wrong)
    if text is None:
        hint = "" if configuration.knob(arguments.name) else _did_you_mean(arguments.name)
        print(f"Not defined: {arguments.name}{hint}", file=sys.stderr)
        return NOT_IN_ORDER
    if arguments.json:
        print(json.dumps({"name": arguments.name, **_as_json(arguments.name, configuration)}, indent=2))
    elif arguments.verbose:
        print(_entry_text(arguments.name, configuration, is_verbose=True))
    else:
        print(text)
    return NOT_IN_ORDER if wrong else IN_ORDER


def _check(
    arguments: argparse.Namespace, configuration: Configuration, environment: Mapping[str, str]
) -> int:
    problems = list(configuration.problems)
    warnings = list(configuration.warnings)
    is_member = configuration.text("HAD_LIST") is not None
    if is_member and not problems:
        examination = Examination(configuration, HOST_NETWORK, is_member_required=arguments.member)
        examine(examination, port=arguments.port, environment=environment)
        problems += examination.problems + _security_problems(configuration)
        warnings += examination.warnings
    if arguments.json:
        found = [_problem_as_json(problem) for problem in (*problems, *warnings)]
        print(json.dumps({"in_order": not problems, "is_member": is_member, "problems": found}, indent=2))
    else:
        _report((*problems, *warnings))
        state = "is in order" if not problems else "is not in order"
        remark = "" if is_member else "; HAD_LIST is not set, so this machine is no member of an election"
        print(f"{configuration.path or 'the environment'} {state}{remark}", file=sys.stderr)
    return NOT_IN_ORDER if problems else IN_ORDER


def _security_problems(configuration: Configuration) -> list[Problem]:
    try:
        security_of(configuration, is_tool=False)
    except ConfigurationError as error:
        return list(error.problems)
    return []


def _explain(
    arguments: argparse.Namespace, configuration: Configuration, _environment: Mapping[str, str]
) -> int:
    knob = configuration.knob(arguments.name)
    if knob is None:
        print(f"hadctl: {arguments.name} is not a knob{_did_you_mean(arguments.name)}", file=sys.stderr)
        return UNUSABLE
    if arguments.json:
        print(json.dumps({**_knob_as_json(knob), **_as_json(arguments.name, configuration)}, indent=2))
        return IN_ORDER
    print(knob_text(knob))
    print(f"  here:     {configuration.text(arguments.name) or 'not set'}")
    print(f"  set at:   {configuration.source(arguments.name)}")
    if arguments.verbose:
        print(f"  raw:      {configuration.raw(arguments.name) or ''}")
    return IN_ORDER


def _explain_without_file(arguments: argparse.Namespace) -> int:
    """A machine without any configuration can still be told what a knob means."""
    knob = find(arguments.name)
    if knob is None:
        print(f"hadctl: {arguments.name} is not a knob{_did_you_mean(arguments.name)}", file=sys.stderr)
        return UNUSABLE
    print(json.dumps(_knob_as_json(knob), indent=2) if arguments.json else knob_text(knob))
    return IN_ORDER


def _all_names() -> str:
    return "".join(f"{knob.name}\n" for knob in all_rows())


def _entry_text(name: str, configuration: Configuration, *, is_verbose: bool) -> str:
    """One value, as condor_config_val shows it."""
    raw = configuration.raw(name) or ""
    if not is_verbose:
        return f"{name} = {raw}"
    lines = [
        f"{name} = {configuration.text(name) or ''}",
        f" # at: {configuration.source(name)}",
        f" # raw: {name} = {raw}",
    ]
    knob = configuration.knob(name)
    if knob is not None and knob.default is not None:
        lines.append(f" # default: {knob.default}")
    return "\n".join([*lines, ""])


def _as_json(name: str, configuration: Configuration) -> dict[str, object]:
    source = configuration.source(name)
    knob = configuration.knob(name)
    return {
        "value": configuration.text(name),
        "raw": configuration.raw(name),
        "source": source.name,
        "line": source.line,
        "via": source.via or None,
        "default": knob.default if knob else None,
        "is_knob": knob is not None,
    }


def _knob_as_json(knob: Knob) -> dict[str, object]:
    return {
        "name": knob.name,
        "type": knob.kind.value,
        "unit": knob.unit or None,
        "minimum": knob.minimum,
        "maximum": knob.maximum,
        "choices": list(knob.choices) or None,
        "change": knob.reload.value,
        "same_on_every_member": knob.is_shared,
        "read_by": list(knob.daemons),
        "documentation": knob.doc,
    }


def _problem_as_json(problem: Problem) -> dict[str, object]:
    return {
        "severity": "warning" if problem.is_warning else "error",
        "file": problem.source.name,
        "line": problem.source.line,
        "via": problem.source.via or None,
        "message": problem.message,
    }


def _report(problems: "tuple[Problem, ...] | list[Problem]") -> None:
    for problem in problems:
        print(f"warning: {problem}" if problem.is_warning else str(problem), file=sys.stderr)


def _concerns(problem: Problem, name: str) -> bool:
    return problem.message.upper().startswith(f"{name.upper()} ")


def _did_you_mean(name: str) -> str:
    meant = suggest(name)
    return f"; did you mean {meant}?" if meant else ""
