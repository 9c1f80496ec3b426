"""Turns frozen values into the JSON documents of the HTTP pages and of the tools."""

from typing import Any

import attrs


def as_document(value: Any) -> Any:
    """Turn attrs values into dictionaries and tuples into lists, at whatever depth.

    A key is the attribute's name, or what its metadata names as `key`.
    """
    if attrs.has(type(value)):
        return {
            field.metadata.get("key", field.name): as_document(getattr(value, field.name))
            for field in attrs.fields(type(value))
        }
    if isinstance(value, tuple):
        return [as_document(one) for one in value]
    return value
