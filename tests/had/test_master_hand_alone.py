"""The hand without its daemon, in this process: when it goes on telling condor_master to start none, and when not."""

import os
import socket
import subprocess
import time

import pytest
import trio

from daemoncore import boottime
from had.household import Household, Likeness, Resident
from had.master_ending import HOLD_PATIENCE_SECONDS, Ending
from had.master_hand import Hand
from had.master_hand_messages import Lease, encode

LIKENESS = Likeness("worker", frozenset({"sleeper"}))


class Voice:
    """Is heard from some time on, and does something at each word."""

    def __init__(self, heard_at=0.0, act=lambda: None):
        self.heard_at = heard_at
        self.act = act
        self.heard = 0

    async def say(self, _command):
        """Be heard, or not."""
        await trio.lowlevel.checkpoint()
        self.act()
        if time.monotonic() < self.heard_at:
            return "condor_master is frozen"
        self.heard += 1
        return ""


@pytest.fixture
def master():
    """Stand for condor_master."""
    held = Resident.hold(os.getpid())
    yield held
    held.close()


@pytest.fixture
def sleeper():
    """Something that is the controllee by its name."""
    process = subprocess.Popen(["sleeper", "600"], executable="/bin/sleep")
    yield process
    process.kill()
    process.wait(10)


@pytest.fixture
def serve(tmp_path):
    """Make what runs a hand whose daemon lives, says something, and closes the socket."""

    def serve(voice, master, *messages):
        daemon = Resident.hold(os.getpid())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, (tmp_path / "lock").open("w") as lock:
            for message in messages:
                ours.send(encode(message))
            ours.close()
            household = Household(lambda: master, LIKENESS)
            Hand(
                theirs.fileno(),
                daemon.descriptor,
                voice,
                household,
                lock.fileno(),
                lambda: None,
                hurry_seconds=0,
            ).run()
        daemon.close()

    return serve


def lapsed():
    """A lease that nobody renewed."""
    now = boottime.now()
    return Lease(now - 1, now, 0)


def test_it_perseveres_while_condor_master_lives(serve, master):
    """However long condor_master takes no order, it is told again until it does."""
    voice = Voice(time.monotonic() + HOLD_PATIENCE_SECONDS + 1)
    serve(voice, master, lapsed())
    assert voice.heard


def test_it_does_not_persevere_with_nobody(serve):
    """Where no condor_master is known there is an end to it."""
    voice = Voice(float("inf"))
    serve(voice, None, lapsed())
    assert not voice.heard


def test_a_daemon_that_dies_after_its_lapse(serve, master):
    """It is acted for again: since the lapse was dealt with, something may have come up."""
    voice = Voice()
    serve(voice, master, lapsed())
    assert voice.heard == 2


async def test_who_waits_for_an_end_keeps_the_descriptor(master, sleeper):
    """What asks for the living when condor_master has answered does not free a number that is being waited for."""
    household = Household(lambda: master, LIKENESS)
    while not household.look():  # noqa: ASYNC110 -- processes do not announce what they do
        await trio.sleep(0.005)
    (resident,) = household.look()

    def end():
        sleeper.kill()
        sleeper.wait(10)

    async def open_others(voice):
        while not voice.heard:
            await trio.lowlevel.checkpoint()
        for descriptor in os.pipe():
            if descriptor == resident.descriptor:
                with trio.move_on_after(0.1):
                    await trio.lowlevel.wait_readable(descriptor)
            os.close(descriptor)

    voice = Voice(act=end)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_others, voice)
        await Ending(voice, household, lambda: boottime.now() + 60).run()
    assert voice.heard
