"""The moves of one replacement, each of which can be done again and tells how far it was done.

There are four. A whole file is renamed over its target. A whole folder changes places with its target. A tail is
appended to its target in place, so that a kilobyte that is added to a gigabyte costs a kilobyte; the staged tail stays
until the journal is gone, and an append that was cut short is done again from its first byte. And where a version covers
no file at all, as the first one of a leadership that found none, the target is removed.
"""

from __future__ import annotations

import enum

from replication.disk import Disk, Likeness, remove_tree
from replication.journal import Journal, signature
from replication.manifest import Held
from replication.places import Places


class Progress(enum.Enum):
    """How far one move was done."""

    #: The target is as it was when the journal was written.
    PENDING = "pending"
    #: We began to append and were cut short: neither the old file nor the new one.
    HALF = "half"
    #: The target is the new one, whatever was appended to it since.
    DONE = "done"
    #: Nothing was moved, and somebody wrote to the target since.
    TOUCHED = "touched"


def is_removal(held: Held, places: Places) -> bool:
    """Whether what is to be held is no file at all; a folder without files is one all the same."""
    return not held.files and not places.is_folder


def progress(disk: Disk, places: Places, journal: Journal, place: int) -> Progress:
    """Say how far the move of one target was done."""
    move, target = journal.moves[place], places.paths[place]
    staged = places.staged(journal.number)[place]
    found = disk.facts(target)
    if move.start is None:
        return Progress.DONE
    if move.start:
        return _append_progress(disk, places, journal, place)
    if is_removal(journal.held, places) and found is not None:
        return Progress.PENDING if signature(disk, target) == move.before else Progress.TOUCHED
    # A folder keeps its inode. A file that is staged no more was renamed: nobody else renames it.
    is_new = found is not None and found.inode == move.inode
    if is_new if places.is_folder else disk.facts(staged) is None:
        return Progress.DONE
    return Progress.PENDING if signature(disk, target) == move.before else Progress.TOUCHED


def _append_progress(disk: Disk, places: Places, journal: Journal, place: int) -> Progress:
    """Say how far a tail was appended, by comparing it with what stands at its place."""
    move, target = journal.moves[place], places.paths[place]
    staged = places.staged(journal.number)[place]
    if signature(disk, target) == move.before:
        return Progress.PENDING
    found, tail = disk.facts(target), disk.facts(staged)
    if found is None or tail is None or not move.start or found.size_bytes < move.start:
        return Progress.TOUCHED
    present_bytes = min(found.size_bytes - move.start, tail.size_bytes)
    likeness = disk.likeness(staged, target, move.start, present_bytes)
    if likeness is Likeness.OTHER:
        return Progress.TOUCHED
    if likeness is Likeness.SAME and present_bytes == tail.size_bytes:
        return Progress.DONE
    # The time of our write may survive a power cut that its bytes did not. Or somebody rewrote the head: only its digest
    # tells, and what is no longer our head must not get our tail.
    if move.head is None or disk.digest(target, move.start) != move.head:
        return Progress.TOUCHED
    return Progress.HALF if present_bytes else Progress.PENDING


def perform(disk: Disk, places: Places, journal: Journal, place: int) -> None:
    """Do one move that is not done; its target's folder is not synced yet."""
    start, target = journal.moves[place].start, places.paths[place]
    staged = places.staged(journal.number)[place]
    if start:
        disk.append(staged, target, start)
        disk.sync(target)
    elif is_removal(journal.held, places):
        disk.remove(target)
    elif not places.is_folder or disk.facts(target) is None:
        disk.rename(staged, target)
    elif not disk.exchange(staged, target):
        outgoing = places.outgoing(journal.number)
        remove_tree(disk, outgoing)
        disk.rename(target, outgoing)
        disk.rename(staged, target)


def tidy(disk: Disk, places: Places, journal: Journal) -> None:
    """Remove what is left when the journal is gone: the folder that was, and tails."""
    for path in places.staged(journal.number):
        remove_tree(disk, path)
    if places.is_folder:
        remove_tree(disk, places.outgoing(journal.number))
