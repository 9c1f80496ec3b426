"""What a replica reads from what the others reported."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.events import Point
from replication.manifest import Held
from replication.peers import (
    PLACES,
    Own,
    Peer,
    Wanted,
    content_point,
    is_contained,
    is_newer_known,
    is_overtaken,
    lacking,
    leader_of,
    next_gid,
    relation_to,
    wanted,
)
from replication.version import INTEGER_LIMIT, LINEAGE_LIMIT, Relation, Version, compare
from tests.replication.histories import GIDS, built, changes, forests, truth
from tests.replication.tellers import SETTINGS, A, C, Others, T, files, held, version


def peer(member, content=None, *points, at=0.0, **fields):
    """A replica of ours that reported at a time."""
    found = Peer(member)
    found.take(Others().report(member, content, *points, **fields).report, at)
    return found


def own(content, *points, **fields):
    """What this node holds."""
    return Own.of(held(content, *points, **fields))


def test_a_report_is_good_for_as_long_as_it_says():
    """Heard at 1 and good for T, a replica is alive until then, unless nobody listens there any more."""
    found = peer(A, "x", "5.1", at=1.0)
    assert found.is_alive(1.0 + T - 0.01)
    assert not found.is_alive(1.0 + T)
    found.is_gone(2.0)
    assert not found.is_alive(2.1)


def test_a_daemon_that_lost_its_count_of_starts_is_heard_after_it_was_gone():
    """Reports are ordered by the count of starts and their own; a refused connection ends that order."""
    found = Peer(A)
    late = Others().report(A, "x", "5.1", instance=9).report
    early = Others().report(A, "x", "5.1", instance=1).report
    found.take(late, 0.0)
    assert not found.is_news(early)
    found.is_gone(1.0)
    assert found.is_news(early)


@pytest.mark.parametrize(
    ("heard_at", "gone_at", "linked_at", "now", "has_answered"),
    [
        (-math.inf, -math.inf, -math.inf, 10.0, False),
        (10.5, -math.inf, -math.inf, 10.5, True),
        (9.0, -math.inf, -math.inf, 10.5, False),
        (-math.inf, 10.2, -math.inf, 10.5, True),
        (-math.inf, 10.2, 10.3, 10.5, False),
        (-math.inf, -math.inf, -math.inf, 10.0 + T, True),
    ],
)
def test_a_replica_has_answered_when_it_spoke_is_gone_or_was_silent(
    heard_at, gone_at, linked_at, now, has_answered
):
    """Hard case 19: the collection of versions of a daemon that started at 10 waits for each peer, T at most."""
    found = Peer(A, heard_at=heard_at, gone_at=gone_at, linked_at=linked_at)
    assert found.has_answered(now, 10.0, SETTINGS) is has_answered


def test_a_real_replica_gets_htcondors_wait():
    """NEWLY_JOINED_WAITING_VERSION_INTERVAL is for peers that are known not to be ours."""
    found = Peer(A, is_ours=False)
    assert not found.has_answered(SETTINGS.joining_seconds - 0.1, 0.0, SETTINGS)
    assert found.has_answered(SETTINGS.joining_seconds, 0.0, SETTINGS)


def test_of_two_leaders_the_later_epoch_counts():
    """A gid is an epoch; who reports no leadership or was not heard lately does not lead."""
    one, other = peer(A, "x", "5.9", leads=True), peer(C, "y", "6.0", "5.2", leads=True)
    assert leader_of([one, other], 1.0) is other
    other.is_gone(1.0)
    assert leader_of([one, other], 1.5) is one
    assert leader_of([one, other], T + 1) is None


@pytest.mark.parametrize(
    ("mine", "offered", "relation"),
    [
        (None, ("5.1",), Relation.NEWER),
        (("5.1",), ("5.2",), Relation.NEWER),
        (("5.1",), ("7.0", "5.1"), Relation.NEWER),
        (("5.2",), ("7.0", "5.1"), Relation.DIVERGED),
        (("5.2",), ("5.1",), Relation.OLDER),
    ],
)
def test_a_version_is_what_lineages_say(mine, offered, relation):
    """Against what this node holds, or against nothing."""
    base = None if mine is None else own("x", *mine)
    assert relation_to(base, version(*offered)) is relation


@pytest.mark.parametrize(
    ("mine", "offered", "relation"),
    [
        (("6.0", "5.1"), ("7.1", "5.1"), Relation.NEWER),
        (("7.0", "5.1"), ("6.1", "5.1"), Relation.NEWER),
        (("7.0", "5.1"), ("6.0", "5.3"), Relation.NEWER),
        (("7.0", "5.1"), ("8.2", "6.0", "5.1"), Relation.NEWER),
        (("7.0",), ("6.1",), Relation.NEWER),
        # The same bytes, or less, or something of ours is missing.
        (("6.0", "5.1"), ("7.0", "5.1"), Relation.DIVERGED),
        (("7.0", "5.3"), ("6.0", "5.1"), Relation.DIVERGED),
        (("7.0", "5.3"), ("6.2", "5.1"), Relation.DIVERGED),
        (("7.1", "5.1"), ("6.1", "5.1"), Relation.DIVERGED),
        (("7.0",), ("6.0",), Relation.DIVERGED),
    ],
)
def test_a_leadership_that_changed_nothing_stands_in_nobodys_way(mine, offered, relation):
    """What another leadership made of the same bytes is newer than these bytes under our leadership's name."""
    assert relation_to(own("x", *mine), version(*offered)) is relation


def test_a_state_that_never_was_is_older_than_any():
    """A leadership began with nothing and made nothing; HTCondor's state has no history that could say so."""
    nothing = Own.of(Held(version("7.0"), ()))
    assert relation_to(nothing, version("9.4", is_rooted=False)) is Relation.NEWER
    assert relation_to(own("x", "7.1"), version("9.4", is_rooted=False)) is Relation.UNKNOWN


def changed(point, forest):
    """The changes that a state holds; that a leadership begins is none."""
    return frozenset(change for change in changes(point, forest) if change.clock)


def small_histories():
    """Every small history: what stands at each point, and what its bytes hold."""
    for forest in forests(GIDS[:3]):
        versions = built(forest)
        contents = {point: changed(point, forest) for point in versions}
        yield forest, contents, {p: Own.of(Held(v, named(contents[p]))) for p, v in versions.items()}


def named(content):
    """Describe bytes; nothing is no file."""
    return files(repr(sorted(content))) if content else ()


def test_more_changes_are_newer_in_every_small_history():
    """A lineage tells what is newer; where two grew apart it is what holds all changes of the other, and more."""
    for forest, contents, owns in small_histories():
        for mine, theirs in itertools.product(owns, repeat=2):
            expected = truth(changes(theirs, forest), changes(mine, forest))
            if expected is Relation.DIVERGED and contents[mine] < contents[theirs]:
                expected = Relation.NEWER
            assert relation_to(owns[mine], owns[theirs].version) is expected, (forest, mine, theirs)


def test_a_conflict_is_kept_where_a_change_would_be_lost_in_every_small_history():
    """And nowhere else."""
    for forest, contents, owns in small_histories():
        for mine, new in itertools.product(owns, repeat=2):
            is_lost = not contents[mine] <= contents[new]
            assert is_contained(owns[mine], owns[new].held) is not is_lost, (forest, mine, new)


def test_taking_what_is_wanted_comes_to_an_end_in_every_small_history():
    """Without a leader each version taken holds more changes, or is newer; none that grew out of it is left behind."""
    for forest, contents, owns in small_histories():
        others = [
            Peer(str(p), is_ours=True, version=o.version, heard_at=0.0, expires_at=9.0)
            for p, o in owns.items()
        ]
        for own in owns.values():
            steps, best = [own], wanted(own, others, 1.0, is_fenced=False)
            while best is not None:
                steps.append(owns[best.version.point])
                assert not any(compare(o.version, best.version) is Relation.NEWER for o in owns.values())
                assert len(steps) <= len(owns), (forest, steps)
                best = wanted(steps[-1], others, 1.0, is_fenced=False)
            assert contents[own.version.point] <= contents[steps[-1].version.point]


def test_two_states_under_one_name_diverged():
    """HTCondor's numbers can come twice; the same bytes under the same number are the same."""
    base = own("x", "5.1")
    assert relation_to(base, version("5.1"), base.fingerprint) is Relation.SAME
    assert relation_to(base, version("5.1"), "of other bytes") is Relation.DIVERGED


def test_anything_goes_over_a_state_that_nobody_numbered():
    """HTCondor calls it 0.0 and takes whatever another has."""
    base = own("x", "0.0", is_rooted=False)
    assert relation_to(base, version("5.1")) is Relation.NEWER
    assert relation_to(own("x", "5.1"), version("0.0", is_rooted=False)) is Relation.UNKNOWN


def test_the_leaders_version_is_wanted_even_over_a_diverged_one():
    """Others that hold it too come after the leader."""
    leader = peer(A, "z", "7.1", "5.1", leads=True)
    other = peer(C, "z", "7.1", "5.1")
    found = wanted(own("x", "5.2"), [other, leader], 1.0, is_fenced=False)
    assert found == Wanted(version("7.1", "5.1"), (A, C), is_leaders=True)


def test_a_leader_that_slept_is_not_believed_while_a_later_one_was_heard():
    """Fencing: its epoch is earlier than that of what is held, and it grew out of nothing of that."""
    leader = peer(A, "z", "5.9", leads=True)
    base = own("x", "7.1", "5.1")
    assert wanted(base, [leader], 1.0, is_fenced=True) is None
    assert wanted(base, [leader], 1.0, is_fenced=False) is not None


def test_without_a_leader_only_what_is_proved_newer_is_wanted():
    """The newest of them; a diverged one is nobody's to choose; a real peer sends only while it leads."""
    newer, newest = peer(A, "y", "5.3"), peer(C, "z", "5.4")
    assert wanted(own("x", "5.2"), [newer, newest], 1.0, is_fenced=False) == Wanted(
        version("5.4"), (C,), is_leaders=False
    )
    assert wanted(own("x", "5.2", "3.1"), [peer(A, "y", "4.7", "3.1")], 1.0, is_fenced=False) is None
    real = Peer(A, is_ours=False)
    real.take_condor(Point(5, 9), 0.0, None, is_leading=False, settings=SETTINGS)
    assert wanted(own("x", "5.2"), [real], 1.0, is_fenced=False) is None
    assert is_newer_known(own("x", "5.2"), [real])


def test_every_node_chooses_the_same_of_two_that_diverged():
    """The later leadership, whatever the order in which they were heard."""
    one, other = peer(A, "y", "6.5", "5.2"), peer(C, "z", "7.1", "5.2")
    for order in ([one, other], [other, one]):
        found = wanted(own("x", "5.2"), order, 1.0, is_fenced=False)
        assert found is not None
        assert found.holders == (C,)


def test_descent_decides_before_the_size_of_the_gid():
    """A child is newer than its parent though HTCondor chose the parent's gid at random and large."""
    parent, child = (
        peer(m, "x", "1.1", version=version(*points, is_rooted=False))
        for m, points in ((A, ["2000000000.9"]), (C, ["300.0", "2000000000.9"]))
    )
    found = wanted(None, [parent, child], 1.0, is_fenced=False)
    assert found == Wanted(child.version, (C,), is_leaders=False)


@pytest.mark.parametrize(
    ("mine", "epoch", "is_late", "overtaken"),
    [
        (version("5.2"), None, True, False),
        (version("5.2"), 5, True, False),
        (version("5.2"), 7, True, False),
        (version("5.2"), 4, True, True),
        (version("5.2"), 4, False, False),
        (version("5.2", "3.1", is_rooted=False), 4, True, True),
        (version("5.2", "3.1"), 3, False, True),
        # What HTCondor numbered is no epoch.
        (version("5.2", is_rooted=False), 4, True, False),
    ],
)
def test_an_epoch_that_is_over_is_told_by_what_came_after(mine, epoch, is_late, overtaken):
    """It is in the history, or before it."""
    base = Own.of(Held(mine, files("x")))
    assert is_overtaken(base, epoch, [mine], set(), is_late=is_late) is overtaken


def test_an_unended_leadership_is_never_overtaken_and_another_replicas_history_counts():
    """What is held here belongs to a leadership that goes on; what others hold grew out of the epoch."""
    other = version("9.1", "4.3")
    assert is_overtaken(own("x", "5.2"), 4, [other, version("5.2")], set(), is_late=False)
    assert not is_overtaken(own("x", "5.2", is_leading=True), 4, [other], set(), is_late=True)
    assert not is_overtaken(None, 4, [other], set(), is_late=True)


def test_a_leadership_that_was_given_up_is_overtaken():
    """Nothing that is known grew out of it, but something was written under its name."""
    assert is_overtaken(own("x", "5.2"), 7, [], {7}, is_late=False)
    assert not is_overtaken(own("x", "5.2"), 5, [], {5, 7}, is_late=False)


def test_a_replica_lags_until_it_reports_these_very_bytes():
    """The version alone is no acknowledgement where the bytes differ; a child of it is one."""
    base = own("x", "5.2")
    assert lacking(base, [peer(A, "x", "5.2"), peer(C, "x", "5.1")], 1.0) == (C,)
    assert lacking(base, [peer(A, "other", "5.2"), peer(C, "z", "7.1", "5.2")], 1.0) == (A,)
    assert lacking(base, [peer(A), Peer(C)], 1.0) == (A,)
    assert lacking(None, [peer(A)], 1.0) == ()


@pytest.mark.parametrize(
    ("points", "is_rooted", "content"),
    [
        (("5.2",), True, Point(5, 2)),
        (("7.0", "5.2"), True, Point(5, 2)),
        (("7.0", "6.0", "5.2"), True, Point(5, 2)),
        (("7.0", "5.0"), True, None),
        (("7.0", "5.0"), False, Point(5, 0)),
    ],
)
def test_a_leadership_begins_with_its_parents_bytes(points, is_rooted, content):
    """Bytes are named by where they were first published, if they were."""
    assert content_point(version(*points, is_rooted=is_rooted)) == content


@pytest.mark.parametrize(
    ("mine", "new", "contained"),
    [
        (("5.2",), ("7.1", "5.2"), True),
        (("5.3",), ("7.1", "5.2"), False),
        (("6.0", "5.2"), ("7.1", "5.2"), True),
        (("6.1", "5.2"), ("7.1", "5.2"), False),
        (("5.2",), ("5.2",), False),
    ],
)
def test_what_was_not_handed_on_is_kept_before_it_is_replaced(mine, new, contained):
    """Hard case 21; two leaderships that changed nothing lose nothing, and two states of one name are two."""
    assert is_contained(own("x", *mine), held("y", *new)) is contained


def test_leaderships_in_which_nothing_was_written_hide_no_ancestor():
    """After more of them than a lineage names, what grew out of our bytes still replaces them without a conflict."""
    mine = version("5.2")
    for gid in range(6, 6 + 2 * LINEAGE_LIMIT):
        mine = mine.led_by(gid)
    ours = Own.of(Held(mine, files("x")))
    child = mine.led_by(1000).advanced()
    assert is_contained(ours, Held(child, files("y")))
    assert is_contained(ours, Held(mine.led_by(1000).led_by(1001).advanced(), files("y")))
    # What was written here since is not in it.
    assert not is_contained(Own.of(Held(mine.advanced(), files("z"))), Held(child, files("y")))


def test_a_written_state_far_back_is_still_contained():
    """Ours names who wrote it; what comes names our leadership, and nobody before it."""
    mine = version("7.0", "5.2")
    child = mine
    for gid in range(8, 8 + LINEAGE_LIMIT - 1):
        child = child.led_by(gid)
    assert not child.led_by(1000).has(Point(5, 2))
    assert is_contained(Own.of(Held(mine, files("x"))), Held(child.led_by(1000).advanced(), files("y")))


def test_equal_bytes_are_contained_whatever_they_are_called():
    """Nothing is lost when they are replaced by themselves."""
    assert is_contained(own("x", "5.3"), held("x", "9.1"))
    assert is_contained(None, held("x", "9.1"))


def test_htcondors_number_is_trusted_only_with_the_bytes_seen():
    """5.9 of HTCondor's may be two states, so its grown-up child may have grown from the other."""
    child = held("y", "7.1", "5.9", is_rooted=False)
    mine = held("x", "5.9", is_rooted=False)
    assert not is_contained(Own.of(mine), child)
    seen = held("x", "5.9", is_rooted=False, acknowledged=Point(5, 9))
    assert is_contained(Own.of(seen), child)


@pytest.mark.parametrize(
    ("backed", "contained"),
    [
        (None, True),  # restarted since: nothing is remembered of it
        (Point(10, 50), True),
        (Point(9, 60), True),  # of another leadership, and then it fetched this one
        (Point(10, 10), False),
    ],
)
def test_a_real_one_that_had_less_goes_on_beside_us(backed, contained):
    """Cut off with an old copy it leads under our gid to a larger clock: what we wrote since is kept, though others have it."""
    real, mine = Peer(C, is_ours=False), Own.of(held("x", "10.50", "5.2", acknowledged=Point(10, 50)))
    if backed is not None:
        real.take_condor(backed, 1.0, mine, is_leading=False, settings=SETTINGS)
    real.take_condor(Point(10, 60), 2.0, mine, is_leading=True, settings=SETTINGS)
    assert is_contained(mine, held("y", "10.60", is_rooted=False), real) is contained
    real.gave(version("10.60", is_rooted=False))
    assert is_contained(mine, held("y", "10.61", is_rooted=False), real)


@given(
    st.lists(st.integers(0, INTEGER_LIMIT), max_size=5)
    | st.lists(st.integers(INTEGER_LIMIT - 300, INTEGER_LIMIT), max_size=300),
    st.integers(0, PLACES - 1),
)
def test_a_gid_of_our_own_making_is_new_and_in_its_makers_place(known, place):
    """So no two nodes make the same one, even where HTCondor has drawn the largest there is."""
    gid = next_gid(known, place)
    assert 0 < gid <= INTEGER_LIMIT
    assert gid not in known
    assert gid % PLACES == place


def test_failed_downloads_are_tried_again_ever_more_slowly():
    """0.2, 0.4, 0.8 seconds and so on, 10 at most; a success forgets them."""
    found = Peer(A)
    delays = [found.failed(0.0) for _ in range(9)]
    assert delays[:3] == [0.2, 0.4, 0.8]
    assert delays[-1] == 10.0
    assert found.retry_at == 10.0
    found.succeeded()
    assert found.failed(5.0) == 0.2


def test_a_real_peer_has_no_lineage():
    """Its version is a point, and good for two of HTCondor's intervals."""
    found = Peer(C, is_ours=False)
    found.take_condor(Point(9, 4), 1.0, None, is_leading=True, settings=SETTINGS)
    assert found.version == Version.adopted(Point(9, 4))
    assert found.is_alive(1.0 + SETTINGS.condor_interval_seconds)
