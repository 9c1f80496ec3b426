"""Reads the recorded conversations in tests/vectors; the README there explains what they are.

Tests of every layer use these: `conversations()` as parameters, `body_of` to write a message from its recorded fields, `has_content` to
compare packets, `session_key` and `iv` for the secrets. Long contents are made again from their label.
"""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.scalars import MessageWriter

VECTORS = Path(__file__).parent / "vectors"


def names() -> list[str]:
    """Return the names of all files that hold conversations, such as `04-fs`, in order."""
    return sorted(path.stem for path in VECTORS.glob("[01]*.json"))


@functools.cache
def load(name: str) -> dict[str, Any]:
    """Return the content of a file, such as `04-fs` or `akep2-seeds`; do not change it."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def conversation(name: str, identifier: str) -> dict[str, Any]:
    """Return one connection of a file, by its `id`."""
    return next(entry for entry in load(name)["connections"] if entry["id"] == identifier)


def conversations(transport: str = "tcp") -> list[Any]:
    """Return every connection over a transport as a pytest parameter named `file/id`."""
    return [
        pytest.param(connection, id=f"{name}/{connection['id']}")
        for name in names()
        for connection in load(name).get("connections", [])
        if connection["transport"] == transport
    ]


def generated(label: str, offset: int, length: int) -> bytes:
    """Return a piece of the made-up file content of that label."""
    first, last = offset // 32, (offset + length) // 32
    stream = b"".join(
        hashlib.sha256(f"state-file:{label}#{block}".encode()).digest() for block in range(first, last + 1)
    )
    return stream[offset - first * 32 :][:length]


def _bulk_matches(bulk: dict[str, Any], content: bytes) -> bool:
    return bulk["length"] == len(content) and bulk["sha256"] == hashlib.sha256(content).hexdigest()


def has_content(recorded: dict[str, Any], content: bytes) -> bool:
    """Tell whether a packet of a recording is exactly `content`, header included, be it recorded in full or as a digest."""
    if "hex" in recorded:
        return bytes.fromhex(recorded["hex"]) == content
    header = bytes.fromhex(recorded["header"])
    return content.startswith(header) and _bulk_matches(recorded["body"], content[len(header) :])


def packet_length(recorded: dict[str, Any]) -> int:
    """Return how many bytes the body of a recorded packet has on the wire."""
    header = bytes.fromhex(recorded["hex"][:10] if "hex" in recorded else recorded["header"])
    return int.from_bytes(header[1:], "big")


def session_key(connection: dict[str, Any]) -> bytes:
    """Return the AES key that a connection was encrypted with."""
    return bytes.fromhex(connection["derived"]["session_key"])


def iv(connection: dict[str, Any], direction: str) -> bytes | None:
    """Return the IV with which a direction's first encrypted packet begins, or None when it has none."""
    for entry in connection["stream"]:
        if entry.get("encrypted") and entry.get("dir") == direction:
            packet = entry["packets"][0]
            return bytes.fromhex(packet["hex"][10:42] if "hex" in packet else packet["body"]["head"][:32])
    return None


def wire_bytes(entry: dict[str, Any]) -> bytes | None:
    """Return a message or unframed piece as on the wire, or None when a packet was recorded as a digest only."""
    if "packets" in entry:
        packets = entry["packets"]
        return (
            b"".join(bytes.fromhex(p["hex"]) for p in packets) if all("hex" in p for p in packets) else None
        )
    return unframed_bytes(entry)


def put_field(writer: MessageWriter, field: dict[str, Any], entry: dict[str, Any]) -> None:
    """Append one recorded field of a message."""
    match field["type"]:
        case "int":
            writer.put_int(field["value"])
        case "string":
            writer.put_string(field["value"])
        case "bytes" if "bulk" in field:
            writer.put_bytes(generated(**entry["generated"]))
        case "bytes":
            writer.put_bytes(bytes.fromhex(field["value"]))
        case "double":
            writer.put_double(field["value"])
        case "ad":
            writer.put_ad(ClassAd.from_lines(f"{name} = {text}" for name, text in field["value"].items()))


def body_of(entry: dict[str, Any]) -> bytes:
    """Return the plain body of a recorded message, written anew from its fields and compared with the recording."""
    writer = MessageWriter(encrypted=entry["encrypted"])
    for field in entry["fields"]:
        put_field(writer, field, entry)
    body = writer.body()
    assert body.hex() == entry["plain"] if "plain" in entry else _bulk_matches(entry["plain_bulk"], body)
    return body


def unframed_bytes(entry: dict[str, Any]) -> bytes:
    """Return bytes that were recorded outside the framing."""
    if "unframed" in entry:
        return bytes.fromhex(entry["unframed"])
    content = generated(**entry["generated"])
    assert _bulk_matches(entry["unframed_bulk"], content)
    return content
