"""Arguments and environments as HTCondor's files write them.

Both have two forms (HTCondor manual, condor_submit, `arguments` and `environment`). The new one stands in double
quotes: items are separated by blanks, single quotes keep blanks together, and a doubled quote stands for itself. The
old one has no quotes around it: arguments are separated by blanks, variables by semicolons.
"""

import re

_NEW_ITEM = re.compile(r"(?:[^\s']|'(?:[^']|'')*')+")


def split_arguments(text: str) -> tuple[str, ...]:
    """Return the arguments of a program.

    Beyond HTCondor's old form, quotes may keep blanks together there too.

    Raises:
        ValueError: a quote is not closed.
    """
    quoted = _unquoted(text)
    if quoted is not None:
        return _split_new(quoted)
    items = re.findall(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""", text)
    if _has_open_quote(text):
        raise ValueError(f"a quote is not closed (got {text})")
    return tuple(
        re.sub(r"""'([^']*)'|"([^"]*)\"""", lambda found: found[1] or found[2] or "", item) for item in items
    )


def split_environment(text: str) -> dict[str, str]:
    """Return the variables of an environment.

    Raises:
        ValueError: a quote is not closed, or an item is not NAME=value.
    """
    quoted = _unquoted(text)
    if quoted is not None:
        items = _split_new(quoted)
    elif ";" in text:
        items = tuple(item.strip() for item in text.split(";") if item.strip())
    else:
        items = split_arguments(text)
    variables = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name or "\0" in item:
            raise ValueError(f"each item is NAME=value (got {item})")
        variables[name] = value
    return variables


def _unquoted(text: str) -> str | None:
    """The inside of a text in double quotes, or None when it has none around it."""
    stripped = text.strip()
    if len(stripped) < 2 or not (stripped.startswith('"') and stripped.endswith('"')):
        return None
    inside = stripped[1:-1]
    # "a" "b" is the old form with two quoted words.
    return inside.replace('""', '"') if '"' not in inside.replace('""', "") else None


def _split_new(text: str) -> tuple[str, ...]:
    if text.count("'") % 2:
        raise ValueError(f"a single quote is not closed (got {text})")
    return tuple(_without_quotes(item) for item in _NEW_ITEM.findall(text))


def _without_quotes(item: str) -> str:
    return re.sub(r"'((?:[^']|'')*)'", lambda found: found[1].replace("''", "'"), item)


def _has_open_quote(text: str) -> bool:
    rest = re.sub(r"""'[^']*'|"[^"]*\"""", "", text)
    return "'" in rest or '"' in rest
