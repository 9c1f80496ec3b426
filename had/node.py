"""The parts that `had.daemon` puts together, each made from the settings.

They are the machines with the durable record, what performs their effects, and the controllee with its environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import trio

from daemoncore import boottime
from daemoncore.children import Children
from daemoncore.client import Client
from daemoncore.durable import DurableError, SlotStore
from daemoncore.event_log import Tell
from daemoncore.metrics import DaemonMetrics
from daemoncore.process import clean_environment
from daemoncore.startup import Options, StartError, claim_folder
from daemoncore.state_folder import StateFolder
from had import record_file
from had.control_settings import ControlKind
from had.controllee import (
    Commands,
    Controllee,
    ControlleeEvent,
    GuardedControllee,
    Program,
    controllee_environment,
)
from had.custody import Custody
from had.election import Election
from had.events import Record
from had.hands import Hands, Observer, ReplicaSpeaker, Sender
from had.master_controllee import MasterControllee
from had.master_hand_link import HandLink
from had.master_reach import MasterReach
from had.master_voice import MasterVoice
from had.metrics import HadMetrics
from had.negotiator_environment import negotiator_environment
from had.replica_words import Currency
from had.settings import Settings

EPOCH_FILE = "epoch"
RECORD_FILE = "record"


@attrs.define
class Durable:
    """What a node keeps on disk."""

    folder: StateFolder
    store: SlotStore
    record: Record
    instance: int
    owner: tuple[int, int] | None = None
    #: What was wrong with the record when it was opened; None when it was in order.
    damage: str | None = None

    @property
    def epoch_file(self) -> Path:
        """HAD_EPOCH_FILE."""
        return self.folder.path / EPOCH_FILE

    def close(self) -> None:
        """Give the files back; the lock goes with the last process that holds it."""
        self.store.close()
        self.folder.close()


async def open_durable(settings: Settings) -> Durable:
    """Claim this node's folder, read its record and count this start.

    Raises:
        StartError: the folder is another daemon's, or cannot be read or written.
    """
    folder = await claim_folder(settings.had_dir, "had", settings.me.entry, settings.owner)
    try:
        store = SlotStore.open(folder.path / RECORD_FILE, owner=settings.owner)
        payload, damage = store.read(), store.damage
        stored = record_file.Stored() if payload is None else record_file.decode(payload, time.time())
        # Larger than at any earlier start, also when the folder was lost and the others remember us.
        instance = max(stored.instance + 1, int(time.time()))
        store.write(record_file.encode(record_file.Stored(stored.record, instance)))
    except record_file.RecordError as error:
        raise StartError(f"{folder.path / RECORD_FILE}: {error}; move it away to start anew") from error
    except DurableError as error:
        raise StartError(str(error)) from error
    return Durable(folder, store, stored.record, instance, settings.owner, damage)


class NoControllee:
    """A witness has none."""

    @property
    def pid(self) -> int | None:
        """There is none."""
        return None

    def start(self, environment: Mapping[str, str], *, is_disaster: bool = False) -> None:
        """Never called: a witness never leads."""
        raise AssertionError(
            f"a witness never starts a controllee (got {len(environment)} variables, {is_disaster})"
        )

    def stop(self, timeout_seconds: float) -> None:
        """Nothing runs."""

    def renew(self, until: float) -> None:
        """Nothing has a lease."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do nothing until cancelled."""
        task_status.started()
        await trio.sleep_forever()


@attrs.frozen
class Surroundings:
    """What the controllee's keeper needs of the daemon.

    Attributes:
        options: the command line, and what condor_master handed down.
        environment: the daemon's, with the session with condor_master.
        client: gives what connects.
        tell: writes lines of the log.
        owned: the daemon's processes.
        lock: the descriptor of the folder's lock, shared with the guard until its work is done.
    """

    options: Options
    environment: Mapping[str, str]
    client: Callable[[], Client]
    tell: Tell
    owned: Children
    lock: int


def make_controllee(
    settings: Settings, deliver: Callable[[ControlleeEvent], None], around: Surroundings
) -> Controllee:
    """Make what starts and stops the controllee."""
    control = settings.control
    if control.kind is ControlKind.NONE:
        return NoControllee()
    if control.kind is ControlKind.MASTER:
        reach = MasterReach(around.options.inheritance, control)
        voice = MasterVoice(around.client, reach.address, control.controllee)
        hand = HandLink(around.options, around.environment, around.owned, around.lock, around.tell)
        return MasterControllee(reach, voice, deliver, hand, around.tell, control.stop_timeout_seconds)
    answer_seconds = settings.connection_timeout_seconds
    what, disaster = reins(settings), disaster_program(settings)
    return GuardedControllee(
        what, deliver, answer_seconds, around.owned, inherited=(around.lock,), disaster=disaster
    )


def change_controllee(controllee: Controllee, settings: Settings) -> None:
    """Have its keeper go by other settings from the next start on."""
    if isinstance(controllee, MasterControllee):
        controllee.change(settings.control)
    elif isinstance(controllee, GuardedControllee):
        controllee.change(reins(settings), settings.connection_timeout_seconds, disaster_program(settings))


def reins(settings: Settings) -> Program | Commands:
    """How the controllee is started and stopped, as the configuration says it now."""
    control = settings.control
    if control.kind is ControlKind.COMMAND:
        return Commands(
            control.start_command,
            control.stop_command,
            control.check_command,
            stop_timeout_seconds=control.stop_timeout_seconds,
            log_path=control.log_path,
        )
    # Started as root it stays root, as under condor_master: HTCondor's daemons choose their identity themselves.
    return Program(control.argv, control.log_path)


def disaster_program(settings: Settings) -> Program | None:
    """What runs where the state is lost, as the configuration says it now; None if nothing is named."""
    control = settings.control
    return Program(control.disaster_argv, control.log_path) if control.disaster_argv else None


def environment_of(
    settings: Settings, epoch: int, epoch_file: Path, currency: Currency | None = None
) -> dict[str, str]:
    """The controllee's environment for a leadership; without a replica's word there is one copy, the node's own."""
    place = settings.state.place
    found = currency or (Currency.CURRENT if place.is_there() else Currency.MISSING)
    base = clean_environment(os.environ)
    # What stands in the daemon's own environment is the administrator's, and wins.
    if settings.control.kind is ControlKind.SPAWN:
        collectors = [collector.entry for collector in settings.advertising.collectors]
        own = settings.own_collectors
        base = negotiator_environment(settings.control.controllee, collectors, own, os.environ) | base
    return controllee_environment(
        base,
        node=settings.me.entry,
        epoch=epoch,
        epoch_file=str(epoch_file),
        state=found.value,
        state_file=place.spelled,
        extra=settings.control.environment,
    )


def make_hands(
    settings: Callable[[], Settings],
    durable: Durable,
    *,
    sender: Sender,
    controllee: Controllee,
    observer: Observer,
    replica: ReplicaSpeaker | None,
) -> Hands:
    """Make what performs the effects, by the settings that are in force when it does."""

    def has_state() -> bool:
        return settings().state.place.is_there()

    return Hands(
        sender=sender,
        controllee=controllee,
        store=durable.store,
        epoch_file=durable.epoch_file,
        environment=lambda epoch, currency: environment_of(settings(), epoch, durable.epoch_file, currency),
        observer=observer,
        instance=durable.instance,
        owner=durable.owner,
        replica=replica,
        has_state=has_state,
    )


def make_custody(settings: Settings, durable: Durable) -> Custody | None:
    """Make what minds the state, where a replica looks after it; a witness has neither."""
    if not settings.election().has_replica:
        return None
    return Custody(settings.custody(), durable.instance, boottime.now())


def make_metrics(settings: Settings, common: DaemonMetrics) -> HadMetrics:
    """Make what counts for Prometheus, beside what every daemon counts."""
    metrics = HadMetrics(
        common,
        me=settings.me.entry,
        members=[m.entry for m in settings.members],
        witnesses=[m.entry for m in settings.witnesses],
        controllee=settings.control.controllee,
        now=time.time(),
        boottime=boottime.now,
    )
    metrics.settings(settings.connection_timeout_seconds)
    return metrics


def make_election(settings: Settings, durable: Durable, version: str) -> Election:
    """Make the machine from the settings and the record."""
    return Election(settings.election(version), durable.record, durable.instance, boottime.now())
