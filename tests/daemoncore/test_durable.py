"""Small durable files: every torn write, every damaged byte, and a disk without room."""

import contextlib
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.durable import (
    PAYLOAD_LIMIT_BYTES,
    SLOT_BYTES,
    DurableError,
    Slot,
    SlotStore,
    decode_slot_untrusted,
    encode_slot,
    replace_file,
)


@contextlib.contextmanager
def opened(path):
    """Open a store and close it again."""
    store = SlotStore.open(path)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def file_size_limit(limit_bytes):
    """Let no file of this process grow past a limit: the kernel then answers EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "had-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Write until the file system has no byte left."""
    with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 1024):
            pass


def test_replacement_changes_content_and_mode_in_one_step(tmp_path):
    """A replaced file has the new bytes and mode, and nothing is left beside it."""
    target = tmp_path / "epoch"
    replace_file(target, b"1\n")
    replace_file(target, b"2\n", mode=0o644)
    assert target.read_bytes() == b"2\n"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["epoch"]


def test_failed_replacement_leaves_the_old_file_and_no_other(tmp_path):
    """When the new bytes do not fit, the old file stays, and the error names path and errno."""
    target = tmp_path / "epoch"
    replace_file(target, b"old")
    with file_size_limit(100), pytest.raises(DurableError, match=r"epoch: cannot replace .*EFBIG") as caught:
        replace_file(target, b"x" * 101)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.path == target
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["epoch"]


def test_replacement_in_a_missing_folder_names_it(tmp_path):
    """A folder that does not exist is a DurableError, not a traceback of the operating system."""
    with pytest.raises(DurableError, match=r"nowhere/epoch.*ENOENT"):
        replace_file(tmp_path / "nowhere" / "epoch", b"1")


def test_new_store_is_empty_and_has_its_final_size(tmp_path):
    """A new store reads None, and its file never grows."""
    path = tmp_path / "promises"
    with opened(path) as store:
        assert store.read() is None
        assert store.generation == 0
        assert store.damage is None
        for number in range(5):
            store.write(b'{"epoch": %d}' % number)
            assert path.stat().st_size == 2 * SLOT_BYTES


def test_the_newest_payload_survives_reopening(tmp_path):
    """Each write is what the next process reads, whichever slot it went to."""
    for number in range(5):
        with opened(tmp_path / "promises") as store:
            assert store.read() == (b"%d" % (number - 1) if number else None)
            store.write(b"%d" % number)
            assert store.read() == b"%d" % number
            assert store.generation == number + 1


def test_write_torn_at_any_byte_leaves_the_older_payload(tmp_path):
    """Whatever prefix of a write reached the disk, the payload is the older one or the whole new one."""
    path = tmp_path / "promises"
    with opened(path) as store:
        store.write(b"first payload, which is a little longer than the others")
        store.write(b"second")
    before = path.read_bytes()
    with opened(path) as store:
        store.write(b"third")
    after = path.read_bytes()
    assert before[SLOT_BYTES:] == after[SLOT_BYTES:]
    # What counts is header and payload; the zeros after them clear the older, longer payload.
    needed = SLOT_BYTES - PAYLOAD_LIMIT_BYTES + len(b"third")
    for length in range(SLOT_BYTES + 1):
        path.write_bytes(after[:length] + before[length:])
        with opened(path) as store:
            assert store.damage is None
            assert store.read() == (b"third" if length >= needed else b"second"), length


@given(sectors=st.lists(st.booleans(), min_size=8, max_size=8), fill_byte=st.integers(0, 255))
def test_any_subset_of_sectors_gives_the_old_slot_or_the_new(sectors, fill_byte):
    """Sectors written in any order never make a third payload."""
    old = encode_slot(Slot(3, b"old" * 900))
    new = encode_slot(Slot(5, bytes([fill_byte]) * 3000))
    mixed = b"".join((new if is_new else old)[at * 512 : at * 512 + 512] for at, is_new in enumerate(sectors))
    expected = {old: Slot(3, b"old" * 900), new: Slot(5, bytes([fill_byte]) * 3000)}.get(mixed)
    assert decode_slot_untrusted(mixed) == expected


def test_one_changed_bit_anywhere_is_noticed():
    """A slot with any one bit flipped inside header or payload is not taken for valid."""
    payload = b'{"epoch": 385}'
    good = encode_slot(Slot(7, payload))
    header_bytes = SLOT_BYTES - PAYLOAD_LIMIT_BYTES
    for position in range((header_bytes + len(payload)) * 8):
        damaged = bytearray(good)
        damaged[position // 8] ^= 1 << position % 8
        assert decode_slot_untrusted(bytes(damaged)) is None, position


@given(st.binary(max_size=2 * SLOT_BYTES))
def test_any_bytes_are_a_slot_or_none(data):
    """Arbitrary bytes never raise."""
    assert decode_slot_untrusted(data) is None


def test_damage_to_both_slots_is_told_from_emptiness(tmp_path):
    """Two bad slots read as None and say so; the next write repairs the store."""
    path = tmp_path / "promises"
    with opened(path) as store:
        store.write(b"one")
        store.write(b"two")
    data = bytearray(path.read_bytes())
    data[53] ^= 1
    data[SLOT_BYTES + 53] ^= 1
    path.write_bytes(data)
    with opened(path) as store:
        assert store.read() is None
        assert store.damage == f"{path}: neither of its two slots is valid; what it promised is lost"
        store.write(b"three")
        assert store.damage is None
    with opened(path) as store:
        assert store.read() == b"three"


@pytest.mark.parametrize("length", [0, 10, SLOT_BYTES, SLOT_BYTES + 10])
def test_file_that_was_cut_short_is_made_whole_again(tmp_path, length):
    """A file of the wrong size keeps what is valid and can be written."""
    path = tmp_path / "promises"
    with opened(path) as store:
        store.write(b"one")
    path.write_bytes(path.read_bytes()[:length])
    with opened(path) as store:
        assert store.read() == (b"one" if length >= SLOT_BYTES else None)
        store.write(b"two")
    assert path.stat().st_size == 2 * SLOT_BYTES
    with opened(path) as store:
        assert store.read() == b"two"


def test_payload_limit_is_exact(tmp_path):
    """The longest payload fits; one byte more is refused and changes nothing."""
    with opened(tmp_path / "promises") as store:
        store.write(b"x" * PAYLOAD_LIMIT_BYTES)
        with pytest.raises(DurableError, match=f"payload of {PAYLOAD_LIMIT_BYTES + 1} bytes"):
            store.write(b"y" * (PAYLOAD_LIMIT_BYTES + 1))
        assert store.read() == b"x" * PAYLOAD_LIMIT_BYTES
    with opened(tmp_path / "promises") as store:
        assert store.read() == b"x" * PAYLOAD_LIMIT_BYTES


def test_failed_write_keeps_the_older_payload_and_the_next_one_works(tmp_path):
    """After a write that the operating system refused, the older payload stays and a later write succeeds."""
    path = tmp_path / "promises"
    with opened(path) as store:
        store.write(b"one")
        store.write(b"two")
        store.write(b"three")
        # The next write goes to the second slot, whose bytes lie past the limit.
        with file_size_limit(SLOT_BYTES), pytest.raises(DurableError, match=r"cannot write a slot.*EFBIG"):
            store.write(b"four")
        assert store.read() == b"three"
        store.write(b"five")
        assert store.read() == b"five"
    with opened(path) as store:
        assert store.read() == b"five"


def test_payload_is_synced_before_write_returns(tmp_path, monkeypatch):
    """A write ends with a sync that comes after its bytes; a disk error there (EIO) is a failed write."""
    path = tmp_path / "promises"
    real_sync, synced = os.fdatasync, []

    def recording_sync(descriptor):
        synced.append(path.read_bytes())
        real_sync(descriptor)

    def failing_sync(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(path) as store:
        monkeypatch.setattr(os, "fdatasync", recording_sync)
        store.write(b"one")
        assert synced == [path.read_bytes()]
        assert b"one" in synced[0]
        monkeypatch.setattr(os, "fdatasync", failing_sync)
        with pytest.raises(DurableError, match=r"promises: cannot write a slot: .*EIO"):
            store.write(b"two")
        assert store.read() == b"one"
        monkeypatch.setattr(os, "fdatasync", real_sync)
        store.write(b"three")
    with opened(path) as store:
        assert store.read() == b"three"
        assert store.generation == 2


@pytest.mark.root
def test_new_files_belong_to_the_given_owner(tmp_path):
    """Started as root, a new store or file belongs to whom the caller names, so that others can read it later."""
    if os.geteuid() != 0:
        pytest.skip("changing the owner needs root")
    SlotStore.open(tmp_path / "promises", owner=(1234, 4321)).close()
    replace_file(tmp_path / "epoch", b"1", owner=(1234, 4321))
    for name in ("promises", "epoch"):
        found = (tmp_path / name).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1234, 4321, 0o600)


@pytest.mark.root
def test_full_disk_does_not_stop_an_existing_store(small_disk):
    """With no byte free, an existing store still takes writes, and a new one is refused with ENOSPC."""
    with opened(small_disk / "promises") as store:
        fill(small_disk)
        for number in range(10):
            store.write(b"%4000d" % number)
        with pytest.raises(DurableError, match=r"others: cannot replace the file.*ENOSPC"):
            SlotStore.open(small_disk / "others")
    with opened(small_disk / "promises") as store:
        assert store.read() == b"%4000d" % 9
    assert not (small_disk / "others").exists()


@pytest.mark.root
def test_read_only_disk_is_a_durable_error(small_disk):
    """A file system remounted read-only refuses the open with EROFS, named."""
    with opened(small_disk / "promises") as store:
        store.write(b"one")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(DurableError, match=r"promises: cannot open the slots.*EROFS"):
        SlotStore.open(small_disk / "promises")


def test_killed_writer_leaves_a_payload_that_was_written(tmp_path):
    """A process killed among its writes leaves the last one it had seen succeed, or the one after."""
    path = tmp_path / "promises"
    program = (
        "import sys; from pathlib import Path; from daemoncore.durable import SlotStore\n"
        "store = SlotStore.open(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    store.write(b'%d' % number); print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with process:
        seen = [process.stdout.readline() for _ in range(50)]
        process.kill()
        seen += process.stdout.readlines()
        acknowledged = int(seen[-1])
    with opened(path) as store:
        assert int(store.read()) in {acknowledged, acknowledged + 1}
