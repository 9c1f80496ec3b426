"""Events and effects in one short line each, for the trace of a replay."""

from __future__ import annotations

import attrs

from had import events


def describe(value: events.Event | events.Effect) -> str:
    """Return a line for people: the kind of the value and the fields that differ from their defaults."""
    if isinstance(value, events.Heard):
        return f"heard {value.kind.value} {_message(value.message)}"
    if isinstance(value, events.Send):
        return f"send {value.kind.value} to {short(value.to)} {_message(value.message)}"
    if isinstance(value, events.Note):
        return f"note {value.name} " + " ".join(f"{k}={v}" for k, v in value.fields)
    if isinstance(value, events.Reconfigured):
        return f"Reconfigured(hard={value.is_hard})"
    return str(value)


def short(member: str) -> str:
    """Return the member's host part, which is its name in simulations."""
    return member.partition(":")[0]


def _message(message: events.Message) -> str:
    defaults = {f.name: f.default for f in attrs.fields(events.Message)}
    hidden = {"sender", "state", "members", "controllee", "sightings", "sequence", "wall_clock", "is_ours"}
    parts = [
        f"{name}={short(v) if isinstance(v, str) else v}"
        for name in defaults
        if name not in hidden and (v := getattr(message, name)) != defaults[name]
    ]
    seen = ",".join(_sighting(s) for s in message.sightings)
    return f"<{short(message.sender)} {message.state.value} #{message.sequence} {' '.join(parts)} hears [{seen}]>"


def _sighting(seen: events.Sighting) -> str:
    extra = f" candidacy {seen.candidacy}" if seen.candidacy else ""
    extra += " wants" if seen.wants else ""
    extra += f" yields to {short(seen.successor)}" if seen.successor else ""
    return f"{short(seen.member)} {seen.state.value} {seen.age_seconds:.2f}s{extra}"
