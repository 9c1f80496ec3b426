"""Which files are read, in what order, and what comes after them.

Later layers win: defaults and detected facts; the root file; the folders of LOCAL_CONFIG_DIR; the files of
LOCAL_CONFIG_FILE; a user's own file; `_CONDOR_NAME` in the environment; and the facts that nobody may override. The
order is HTCondor's (condor_config.cpp, `real_config`). A TOML file is complete in itself: only the
environment comes after it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from daemoncore.config.detected import user_file
from daemoncore.config.metaknobs import Item, has_metaknob
from daemoncore.config.problems import ENVIRONMENT, NOWHERE, ExpansionError, Source
from daemoncore.config.reader import Reader, UnreadableError
from daemoncore.config.toml_file import read_toml
from daemoncore.config.values import split_list

#: Looked for, in this order, when neither an option nor the environment names a file.
PLACES = ("/etc/had/had.toml", "/etc/condor/condor_config")
#: Value of CONDOR_CONFIG that means: no file at all.
ONLY_ENVIRONMENT = "ONLY_ENV"

_PREFIX = "_condor_"
_AUTO_USE = re.compile(r"AUTO_USE_([A-Z]+)_(.+)", re.IGNORECASE)


def find_root(path: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the root file: the one named, $HAD_CONFIG, $CONDOR_CONFIG, or the first place that has one.

    An empty text means that no file is wanted; None that none was found.
    """
    named = path or environment.get("HAD_CONFIG") or environment.get("CONDOR_CONFIG")
    if named is None:
        return next((place for place in PLACES if os.access(place, os.R_OK)), None)
    return "" if named.upper() == ONLY_ENVIRONMENT else named


def read_layers(root: str, reader: Reader, environment: Mapping[str, str]) -> None:
    """Read everything that a configuration consists of into the reader's table; problems are noted there."""
    is_toml = root.lower().endswith(".toml")
    if root:
        _read_root(root, reader, is_toml=is_toml)
    if not is_toml:
        _read_locals(root, reader)
        _read_user_file(reader, environment)
    _take_environment(reader, environment)
    if not is_toml:
        _use_automatically(reader)


def _read_root(root: str, reader: Reader, *, is_toml: bool) -> None:
    try:
        if not is_toml:
            reader.read_file(root)
            return
        text = Path(root).read_text(encoding="utf-8")
    except (OSError, ValueError, UnreadableError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"cannot be read: {os.strerror(error.errno or 0)}"
        reader.note(Source(root), reason.replace(f"cannot read {root}:", "cannot be read:"))
        return
    reader.files.append(root)
    reader.problems.extend(read_toml(root, text, reader.table))


def _expanded(name: str, reader: Reader) -> str:
    """The expanded text of a knob that says where to read on; a fault in it is noted once, by the final check."""
    try:
        return reader.table.expand(reader.table.look_up(name) or "")
    except ExpansionError:
        return ""


def _source(name: str, reader: Reader) -> Source:
    entry = reader.table.find(name)
    return Source(NOWHERE) if entry is None else entry.source


def _is_required(reader: Reader) -> bool:
    return _expanded("REQUIRE_LOCAL_CONFIG_FILE", reader).strip().lower() not in {"false", "f", "no", "0"}


def _read_locals(root: str, reader: Reader) -> None:
    folders = _expanded("LOCAL_CONFIG_DIR", reader)
    if root:
        _read_folders(folders, reader)
    _read_files(reader)
    changed = _expanded("LOCAL_CONFIG_DIR", reader)
    if root and changed != folders:
        _read_folders(changed, reader)


def _read_folders(folders: str, reader: Reader) -> None:
    for folder in split_list(folders):
        try:
            excluded = re.compile(_expanded("LOCAL_CONFIG_DIR_EXCLUDE_REGEXP", reader) or "(?!)")
            names = sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
        except re.error as error:
            source = _source("LOCAL_CONFIG_DIR_EXCLUDE_REGEXP", reader)
            reader.note(source, f"LOCAL_CONFIG_DIR_EXCLUDE_REGEXP is no regular expression: {error}")
            return
        except (OSError, ValueError):
            # HTCondor passes over a folder that is not there, and pools rely on it.
            continue
        for name in names:
            if not excluded.search(name):
                _read_one(f"{folder.rstrip('/')}/{name}", "LOCAL_CONFIG_DIR", reader)


def _read_files(reader: Reader) -> None:
    """Read LOCAL_CONFIG_FILE; a file that changes the list changes what is still to be read."""
    done: list[str] = []
    while True:
        listed = _expanded("LOCAL_CONFIG_FILE", reader)
        paths = (listed,) if "|" in listed else split_list(listed)
        path = next((path for path in paths if path and path not in done), None)
        if path is None:
            return
        done.append(path)
        _read_one(path, "LOCAL_CONFIG_FILE", reader)


def _read_one(path: str, knob: str, reader: Reader) -> None:
    # Asked first: the file may set the knob anew.
    source = _source(knob, reader)
    try:
        reader.read_file(path, depth=1)
    except UnreadableError as error:
        if _is_required(reader):
            reader.note(source, f"{knob}: {error}")


def _read_user_file(reader: Reader, environment: Mapping[str, str]) -> None:
    path = user_file(_expanded("USER_CONFIG_FILE", reader), environment)
    if path is not None and os.access(path, os.R_OK):
        _read_one(path, "USER_CONFIG_FILE", reader)


def _take_environment(reader: Reader, environment: Mapping[str, str]) -> None:
    for variable, value in sorted(environment.items()):
        name = variable[len(_PREFIX) :]
        if not variable.lower().startswith(_PREFIX) or not name:
            continue
        try:
            reader.table.assign(name, value.strip(), Source(ENVIRONMENT))
        except ExpansionError as error:
            reader.note(Source(ENVIRONMENT), f"{variable} cannot be expanded: {error}")


def _use_automatically(reader: Reader) -> None:
    """`AUTO_USE_<CATEGORY>_<NAME> = condition` uses a metaknob after everything else was read."""
    for entry in list(reader.table.entries.values()):
        found = _AUTO_USE.fullmatch(entry.name)
        if found is None or not _expanded(entry.name, reader):
            continue
        item = Item(found[2])
        if not has_metaknob(found[1], item.name):
            reader.note(entry.source, f"{entry.name}: there is no metaknob of that name", is_warning=True)
            continue
        text = f"if {_expanded(entry.name, reader)}\nuse {found[1]} : {item.name}\nendif\n"
        reader.read_text(entry.name, text, depth=1)
