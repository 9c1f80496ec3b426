"""Where the demo lives: its folder, the sample files that it uses, the addresses, and what may be in the way.

The folder is only ever removed when it has the mark that a demo put there, so that nobody loses a folder that happens to
have the same name.
"""

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

import had

#: Names the folder as ours, and says what it is.
MARK = "MADE-BY-HADCTL-DEMO"
#: The ports of sample-configs/demo/had.conf: HAD_PORT, HAD_HTTP_PORT, REPLICATION_PORT and REPLICATION_HTTP_PORT.
PORTS = (21450, 21480, 21440, 21481)
MANAGERS = ("manager1", "manager2", "manager3")


class PlaceError(Exception):
    """The demo cannot run here; the sentence says what is in the way and what to do about it."""


@attrs.frozen
class Place:
    """The folder of one demo, and the folder of the sample files.

    Attributes:
        folder: everything that the demo writes; absolute.
        source: had.conf and negotiator.py.
    """

    folder: Path
    source: Path

    @property
    def configuration(self) -> Path:
        """The configuration of all three managers."""
        return self.source / "had.conf"

    @property
    def register(self) -> Path:
        """The list of the demo's own processes, for `--stop`."""
        return self.folder / "processes.json"

    def entry(self, name: str) -> str:
        """Return the entry of HAD_LIST of a manager."""
        return f"127.0.0.{MANAGERS.index(name) + 1}:{PORTS[0]}"

    def log_folder(self, name: str) -> Path:
        """Return the folder of a manager's logs."""
        return self.folder / self.entry(name) / "log"

    def accounts(self, name: str) -> Path:
        """Return a manager's own copy of the negotiator's accounts."""
        return self.folder / self.entry(name) / "spool" / "Accountantnew.log"

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the daemons: no configuration of the caller's reaches the demo."""
        kept = {
            name: value
            for name, value in base.items()
            if not name.upper().startswith("_CONDOR_") and name not in {"HAD_CONFIG", "CONDOR_CONFIG"}
        }
        negotiator = self.source / "negotiator.py"
        return kept | {
            "_CONDOR_DEMO_DIR": str(self.folder),
            "_CONDOR_DEMO_SOURCE": str(self.source),
            # The interpreter beneath a virtual environment: it starts faster, and the negotiator needs nothing else.
            "_CONDOR_NEGOTIATOR": os.path.realpath(sys.executable),
            "_CONDOR_NEGOTIATOR_ARGS": f"-S '{negotiator}' --period 1",
        }

    def prepare(self) -> None:
        """Make an empty folder.

        Raises:
            PlaceError: something that is not ours has that name, or it cannot be made.
        """
        self.remove()
        try:
            for name in MANAGERS:
                self.log_folder(name).mkdir(parents=True)
                self.accounts(name).parent.mkdir()
            (self.folder / MARK).write_text("hadctl demo keeps its files here and removes them.\n", "utf-8")
        except OSError as error:
            raise PlaceError(f"{self.folder} cannot be made: {error.strerror}") from error

    def remove(self) -> None:
        """Remove the folder, if it is there and ours.

        Raises:
            PlaceError: it is not ours.
        """
        if not os.path.lexists(self.folder):
            return
        if not (self.folder / MARK).is_file():
            text = f"{self.folder} exists, and no demo made it; move it away or name another with --folder"
            raise PlaceError(text)
        shutil.rmtree(self.folder, ignore_errors=True)


def find_source() -> Path:
    """Return the folder of the demo's sample files: beside the sources, or inside the installed package.

    Raises:
        PlaceError: it is in neither.
    """
    package = Path(had.__file__).resolve().parent
    places = (package.parent / "sample-configs" / "demo", package / "sample-configs" / "demo")
    for place in places:
        if (place / "had.conf").is_file():
            return place
    raise PlaceError(f"the demo's sample files are missing; looked at {places[0]} and {places[1]}")


def check_ports() -> None:
    """Make sure that nobody uses the demo's addresses.

    Raises:
        PlaceError: somebody does, or this machine lacks them.
    """
    for number in range(1, len(MANAGERS) + 1):
        for port in PORTS:
            with socket.socket() as probe:
                # As the daemons do it: connections of an earlier demo that still linger are no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((f"127.0.0.{number}", port))
                    probe.listen()
                except OSError as error:
                    text = f"127.0.0.{number}:{port} cannot be used ({error.strerror})"
                    hint = "an earlier demo may still run: `hadctl demo --stop` ends it"
                    raise PlaceError(f"{text}; {hint}") from error
