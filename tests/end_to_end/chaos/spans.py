"""Spans of time: sorted, disjoint pairs (from, to), and what one does with sets."""


def union(*sets):
    """Return what is in any of the sets; the pairs may overlap and need no order."""
    merged = []
    for began, ended in sorted(span for spans in sets for span in spans):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((began, ended))
    return merged


def intersection(one, other):
    """Return what is in both."""
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return union([(began, ended) for began, ended in pairs if began < ended])


def difference(one, other):
    """Return what is in the first and not in the second."""
    left = list(one)
    for began, ended in other:
        left = [
            piece
            for a, b in left
            for piece in ((a, min(b, began)), (max(a, ended), b))
            if piece[0] < piece[1]
        ]
    return union(left)


def stretched(spans, seconds):
    """Return the spans with each end so much later."""
    return union([(began, ended + seconds) for began, ended in spans])


def length(spans):
    """Return how long they are together."""
    return sum(ended - began for began, ended in spans)
