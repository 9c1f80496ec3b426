"""Reads a status document that another machine sent, and believes nothing of it.

The other daemon may be older or newer than this tool: a key that it does not send has the default of the class that is
read (`had.status`, `had.ctl.replica_status`), and a key that this tool does not know is passed over. A value of the wrong
kind refuses the whole document, because half-believed values would make wrong sentences.
"""

import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from had.status import SCHEMA, Status

Value = TypeVar("Value")


class DocumentError(Exception):
    """What came is not the document that it should be; the sentence says what is wrong with it."""


def parse(text: str) -> Mapping[str, Any]:
    """Return the object that one line of JSON holds.

    Raises:
        DocumentError: it is no JSON object, or of a schema that this tool does not know.
    """
    document = parse_object(text)
    if document.get("schema") != SCHEMA:
        raise DocumentError(f"the answer has schema {document.get('schema')}, and this tool knows {SCHEMA}")
    return document


def parse_object(text: str) -> dict[str, Any]:
    """Return the object that a text holds.

    Raises:
        DocumentError: it is no JSON object.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"the answer is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise DocumentError("the answer is no JSON object")
    return document


def status_from(document: Mapping[str, Any]) -> Status:
    """Return the typed status that a document holds.

    Raises:
        DocumentError: a value is missing that has no default, or is of the wrong kind.
    """
    return value_from(Status, document)


def value_from(kind: type[Value], document: object) -> Value:
    """Return the value of an attrs class that a document holds.

    Raises:
        DocumentError: a value is missing that has no default, or is of the wrong kind.
    """
    value = _build(kind, document, "")
    assert isinstance(value, kind)
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _build(kind: type, document: object, where: str) -> object:
    """Build one attrs class from its dictionary, or from the list of its values if it may be sent so."""
    fields = attrs.fields(kind)
    if isinstance(document, list) and getattr(kind, "IS_LIST_TOO", False):
        names = (field.metadata.get("key", field.name) for field in fields)
        document = dict(zip(names, document, strict=False))
    if not isinstance(document, dict):
        raise DocumentError(f"{where or 'the answer'} is no object (got {document!r:.80})")
    hints = typing.get_type_hints(kind)
    values = {}
    for field in fields:
        key = field.metadata.get("key", field.name)
        place = f"{where}.{key}" if where else key
        if key in document:
            values[field.name] = _convert(hints[field.name], document[key], place)
        elif field.default is attrs.NOTHING:
            raise DocumentError(f"{place} is missing")
    return kind(**values)


def _convert(hint: Any, value: object, where: str) -> object:
    """Return the value as the annotation `hint` wants it."""
    if isinstance(hint, types.UnionType):
        choices = typing.get_args(hint)
        if value is None and types.NoneType in choices:
            return None
        hint = next(choice for choice in choices if choice is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise DocumentError(f"{where} is no list (got {value!r})")
        part = typing.get_args(hint)[0]
        return tuple(_convert(part, one, f"{where}[{index}]") for index, one in enumerate(value))
    if attrs.has(hint):
        return _build(hint, value, where)
    return _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> object:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif type(value) is hint:
        return value
    raise DocumentError(f"{where} is not of kind {hint.__name__} (got {value!r})")
