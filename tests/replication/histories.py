"""Every small history of leaderships, and the sets of changes that its versions stand for."""

import itertools

from replication.version import Point, Relation, Version

CLOCKS = range(3)
GIDS = (1, 2, 3, 4)


def forests(gids):
    """Every way in which these leaderships, the smaller earlier, began from nothing or from an older one's point."""
    choices = [
        [None, *(Point(*pair) for pair in itertools.product(gids[:place], CLOCKS))]
        for place in range(len(gids))
    ]
    for parents in itertools.product(*choices):
        yield dict(zip(gids, parents, strict=True))


def built(forest):
    """Make every version of a forest by the product's own means."""
    versions = {}
    for gid, parent in forest.items():
        version = Version.first(gid) if parent is None else versions[parent].led_by(gid)
        for _ in CLOCKS:
            versions[version.point] = version
            version = version.advanced()
    return versions


def changes(point, forest):
    """The set of all changes, this model's truth, that the state at a point holds."""
    parent = forest[point.gid]
    own = {Point(point.gid, clock) for clock in range(point.clock + 1)}
    return own if parent is None else own | changes(parent, forest)


def truth(one, other):
    """What one set of changes is to the other."""
    if one == other:
        return Relation.SAME
    if one > other:
        return Relation.NEWER
    return Relation.OLDER if one < other else Relation.DIVERGED
