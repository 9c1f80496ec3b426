"""Which member an operator means: the whole entry, or just its host when that is enough."""

from collections.abc import Sequence


class NamingError(ValueError):
    """No member, or more than one, goes by that name."""


def entry_named(name: str, entries: Sequence[str]) -> str:
    """Return the entry that `name` means.

    Raises:
        NamingError: none or several; the sentence lists the choices.
    """
    if name in entries:
        return name
    wanted = name.strip("[]").casefold()
    found = [entry for entry in entries if _host(entry) == wanted or entry.casefold() == wanted]
    # A host's first label is what people call it.
    found = found or [entry for entry in entries if _label(entry) == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise NamingError(f"{name} could be {' or '.join(found)}; write the whole entry")
    raise NamingError(f"{name} is no member; the members are {', '.join(entries)}")


def _host(entry: str) -> str:
    return entry.strip("<>").partition("?")[0].rpartition(":")[0].strip("[]").casefold()


def _label(entry: str) -> str:
    host = _host(entry)
    return host if host.replace(".", "").isdigit() else host.partition(".")[0]
