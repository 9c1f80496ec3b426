"""Documents of other machines: whole and typed, or refused with the reason."""

import pytest

from had.ctl.documents import DocumentError, parse, status_from
from had.status import Majority, Status
from tests.had.ctl.pools import HOLD, PAUSED, A, status


@pytest.mark.parametrize(
    "made",
    [
        status(A),
        status(A, paused=PAUSED, hold=HOLD, majority=Majority(2, 1, 0.5), abstains_seconds=3),
        Status(A, "witness"),
    ],
)
def test_what_the_daemon_says_arrives(made):
    """A status that goes through JSON is the same status."""
    assert status_from(parse(made.to_text())) == made


def test_keys_may_be_added_and_missing():
    """A newer daemon's key is passed over, an older daemon's missing key has its default."""
    document = dict(parse(status(A).to_text()))
    del document["abstains_seconds"]
    assert status_from(document | {"phase_of_the_moon": "full"}) == status(A)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("[1]", "no JSON object"),
        ("{}", "has schema None"),
        ('{"schema": 2}', "has schema 2, and this tool knows 1"),
        ('{"schema": 1, "time": NaN}', "NaN is no JSON"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_document_is_refused(text, reason):
    """Anything but an object of the known schema is refused, and the sentence says why."""
    with pytest.raises(DocumentError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node": None}, "node is not of kind str"),
        ({"epoch": "7"}, r"epoch is not of kind int \(got '7'\)"),
        ({"epoch": True}, "epoch is not of kind int"),
        ({"time": True}, "time is not of kind float"),
        ({"time": 10**400}, "time is not of kind float"),
        ({"peers": {}}, "peers is no list"),
        ({"peers": [1]}, r"peers\[0\] is no object"),
        ({"controllee": []}, "controllee is no object"),
        (
            {"history": [{"time": 1, "from": "pre", "to": "passive", "epoch": 1}]},
            r"history\[0\]\.reason is missing",
        ),
    ],
)
def test_values_of_the_wrong_kind_are_refused(changes, reason):
    """One wrong value refuses the document, and the sentence names its place."""
    document = dict(parse(status(A).to_text())) | changes
    with pytest.raises(DocumentError, match=reason):
        status_from(document)
