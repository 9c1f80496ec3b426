"""Tells systemd how the daemon is (sd_notify(3)): one datagram of `KEY=value` lines, never waited for.

Without systemd (no NOTIFY_SOCKET) every call does nothing. Keep-alives must come from the loop that does
the work, so that a stuck daemon is restarted; `watchdog_seconds` says how often.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

import attrs


@attrs.frozen
class Notifier:
    """Speaks to the service manager that started this process."""

    #: The socket's path; a first `@` is the abstract namespace. None is no service manager.
    address: str | None = None
    #: How often `watchdog` must be called, with a margin of two; None when nobody watches.
    watchdog_seconds: float | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int | None = None) -> "Notifier":
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; what makes no sense is left out."""
        address = environment.get("NOTIFY_SOCKET", "")
        text = environment.get("WATCHDOG_USEC", "")
        watched = environment.get("WATCHDOG_PID", "")
        is_for_us = not watched or watched == str(os.getpid() if pid is None else pid)
        is_watched = text.isascii() and text.isdecimal() and int(text) > 0 and is_for_us
        return cls(
            address=address if address[:1] in {"/", "@"} else None,
            watchdog_seconds=int(text) / 2e6 if is_watched else None,
        )

    def ready(self, status: str = "") -> None:
        """Start-up, or a reconfiguration, is finished."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(f"STATUS={text}")

    def watchdog(self) -> None:
        """The loop turns."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The daemon was asked to stop and does."""
        self._send("STOPPING=1")

    def _send(self, *lines: str) -> None:
        """Send one datagram; a full or absent socket loses it, which is no reason to stop."""
        if self.address is None:
            return
        data = "\n".join(line.replace("\n", " ") for line in lines).encode("utf-8", "replace")
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with (
            contextlib.suppress(OSError),
            socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as speaker,
        ):
            speaker.sendto(data, name)
