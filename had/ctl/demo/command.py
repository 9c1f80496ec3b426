"""The verb `hadctl demo`: sets the stage, plays the story, and clears the stage.

Exit status: 0 everything happened as promised, 1 something did not, 2 the demo cannot run here. Ctrl-C ends it early and
clears up as well.
"""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import trio

from daemoncore.config import ConfigurationError
from had.ctl.configured import Configured, read_configured, report_unusable
from had.ctl.demo import measurement
from had.ctl.demo.managers import MANAGERS, Managers, left_over, stop
from had.ctl.demo.measurement import Measurement
from had.ctl.demo.place import PORTS, Place, PlaceError, check_ports, find_source
from had.ctl.demo.stage import Stage
from had.ctl.demo.story import Story
from had.ctl.demo.watching import Watch


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "demo", help="run a pool of three managers on this machine, and show what happens when one dies"
    )
    parser.add_argument(
        "--folder", default="demo", metavar="FOLDER", help="where its files are (default: ./demo)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the pool running at the end, to look at (or KEEP=1)"
    )
    parser.add_argument("--stop", action="store_true", help="end a pool that was left running")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environment: Mapping[str, str] | None = None) -> int:
    """Carry out the verb and return its exit status."""
    surroundings = os.environ if environment is None else environment
    is_kept = arguments.keep or surroundings.get("KEEP", "") not in {"", "0"}
    try:
        place = Place(Path(arguments.folder).absolute(), find_source())
        if arguments.stop:
            return _stop(place)
        _clear(place)
        check_ports()
        place.prepare()
        return _perform(place, surroundings, is_kept=is_kept)
    except PlaceError as error:
        print(f"hadctl demo: {error}", file=sys.stderr)
        return 2
    except ConfigurationError as error:
        return report_unusable(error)


def _stop(place: Place) -> int:
    """End what an earlier demo left, and remove its files."""
    daemons = left_over(place)
    stop(daemons)
    place.remove()
    print(f"{len(daemons)} daemons stopped, {place.folder} removed" if daemons else "no demo runs here")
    return 0


def _clear(place: Place) -> None:
    """Refuse to disturb a demo that still runs in the same folder."""
    daemons = left_over(place)
    if daemons:
        listed = ", ".join(str(daemon.pid) for daemon in daemons)
        text = f"a demo still runs in {place.folder} (processes {listed}); `hadctl demo --stop` ends it"
        raise PlaceError(text)


def _perform(place: Place, environment: Mapping[str, str], *, is_kept: bool) -> int:
    managers = Managers(place, environment)
    measurements: list[Measurement] = []
    is_finished = False
    try:
        configured = _configured(place, environment)
        measurements, is_finished = trio.run(_play, managers, place, configured)
    finally:
        is_kept = is_kept and is_finished
        if not is_kept:
            # A second Ctrl-C must not leave anything behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            managers.stop_all()
            place.remove()
    if not is_finished:
        print("hadctl demo: ended early; everything is cleared up", file=sys.stderr)
        return 1
    print(f"\n{measurement.table(measurements)}\n")
    if is_kept:
        _tell_how_to_look(place)
    broken = [one for one in measurements if not one.is_kept]
    for one in broken:
        print(f"Not kept: {one.promise}, {one.situation}.")
    print("Everything happened as promised." if not broken else "Not everything happened as promised.")
    return 1 if broken else 0


def _configured(place: Place, environment: Mapping[str, str]) -> Configured:
    arguments = argparse.Namespace(config=str(place.configuration), local_name=None, timeout=None)
    return read_configured(arguments, place.environment(environment))


async def _play(managers: Managers, place: Place, configured: Configured) -> tuple[list[Measurement], bool]:
    """Play the story until its end or until a signal; return what was measured, and which it was."""
    began = trio.current_time()

    def say(text: str) -> None:
        print(f"[{trio.current_time() - began:6.2f} s] {text}", flush=True)

    watch = Watch(managers, place)
    stage = Stage(place, managers, watch, configured, say)
    is_finished = False
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def until_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(until_signal)
            nursery.start_soon(watch.run)
            await Story(stage).perform()
            is_finished = True
            nursery.cancel_scope.cancel()
    return stage.measurements, is_finished


def _tell_how_to_look(place: Place) -> None:
    configuration, folder = shlex.quote(str(place.configuration)), shlex.quote(str(place.folder))
    print("The pool goes on running. Look at it:")
    # Not everybody has the program on the search path; what was called is what can be called.
    program = shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == "hadctl" else "hadctl"
    print(f"  {program} status --watch -c {configuration}")
    print(f"  {program} replication status --watch -c {configuration}")
    print(f"  {program} conflicts list -c {configuration}")
    for index, name in enumerate(MANAGERS, 1):
        print(f"  {name}: http://127.0.0.{index}:{PORTS[1]}/ and http://127.0.0.{index}:{PORTS[3]}/")
        print(f"    logs in {shlex.quote(str(place.log_folder(name)))}")
        print(f"    accounts in {shlex.quote(str(place.accounts(name)))}")
    print(f"End it:\n  {program} demo --stop --folder {folder}\n")
