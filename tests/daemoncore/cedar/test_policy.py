"""How two policies are reconciled: a real server's 122 answers, and what a client makes of an answer."""

import attrs
import pytest

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.policy import (
    Agreement,
    SecurityPolicy,
    Wish,
    canonical_method,
    objection,
    reconcile,
    split_list,
)
from tests import vector_files

TABLE = vector_files.load("02-policy-table")
ROWS = [
    pytest.param(row, id=f"{number}-{row['feature'].split(' ')[0]}")
    for number, row in enumerate(TABLE["rows"])
]


def test_the_table_is_all_there():
    """The recording has 122 rows."""
    assert len(TABLE["rows"]) == 122


@pytest.mark.parametrize("row", ROWS)
def test_our_server_decides_as_a_real_one_did(row):
    """For each recorded request our answer has the recorded attributes, or is a closed connection as well."""
    lines = dict(TABLE["base_request"])
    for name, value in row["client"].items():
        lines[name] = f'"{value}"' if isinstance(value, str) else str(value)
        if value is None:
            del lines[name]
    request = ClassAd.from_lines(f"{name} = {text}" for name, text in lines.items())
    policy = SecurityPolicy(
        methods=("FS", "IDTOKENS", "CLAIMTOBE"),
        crypto_methods=("AES", "BLOWFISH", "3DES"),
        **{name.lower(): Wish[value] for name, value in row["server"].items()},
    )
    agreement = reconcile(request, policy)
    answer = None
    if agreement is not None:
        ad = ClassAd(agreement.attributes())
        answer = {name: ad.text(name) for name in ad}
    assert answer == row["response"]


def test_an_agreement_survives_the_wire():
    """What a server writes into its answer is what a client reads out of it."""
    agreement = Agreement(
        authentication=True,
        encryption=True,
        integrity=False,
        methods=("FS", "TOKEN"),
        crypto_methods=("AES",),
        session_duration_seconds=60,
        session_lease_seconds=30,
        is_authentication_required=False,
    )
    assert Agreement.from_ad(ClassAd(agreement.attributes())) == agreement


@pytest.mark.parametrize("name", ["Authentication", "Encryption", "Integrity"])
@pytest.mark.parametrize("value", ["MAYBE", "", 1, None])
def test_an_answer_that_decides_nothing_is_no_answer(name, value):
    """A server that does not say YES or NO to every feature has not answered."""
    ad = ClassAd({"Authentication": "NO", "Encryption": "NO", "Integrity": "NO"}).without(name)
    if value is not None:
        ad = ad.with_values({name: value})
    with pytest.raises(WireError, match=name):
        Agreement.from_ad(ad)


NOTHING = Agreement(
    authentication=False,
    encryption=False,
    integrity=False,
    methods=(),
    crypto_methods=("AES",),
    session_duration_seconds=0,
    session_lease_seconds=0,
)

OBJECTIONS = [
    # our policy, the server's decision, whether a key was agreed on, part of the objection
    ({}, {}, False, None),
    ({"authentication": Wish.REQUIRED}, {}, True, "require authentication"),
    ({"authentication": Wish.REQUIRED}, {"authentication": True}, True, None),
    ({"encryption": Wish.REQUIRED}, {}, False, "require encryption"),
    ({"encryption": Wish.REQUIRED}, {}, True, None),
    ({"integrity": Wish.REQUIRED}, {}, False, "require integrity"),
    ({"integrity": Wish.REQUIRED}, {"integrity": True}, False, "no key"),
    ({}, {"encryption": True}, False, "no key"),
    ({"authentication": Wish.NEVER}, {"authentication": True}, True, "never authenticate"),
]


@pytest.mark.parametrize(("ours", "theirs", "has_key", "expected"), OBJECTIONS)
def test_a_client_does_not_go_below_its_own_policy(ours, theirs, has_key, expected):
    """A server, or somebody in between, cannot talk a client out of what it requires."""
    trouble = objection(SecurityPolicy(**ours), attrs.evolve(NOTHING, **theirs), has_key=has_key)
    assert trouble is None if expected is None else expected in trouble


@pytest.mark.parametrize("name", ["TOKEN", "TOKENS", "IDTOKEN", "idtokens", "Token"])
def test_identity_tokens_have_four_names_and_travel_under_one(name):
    """Configurations say what they like, the wire says TOKEN."""
    assert canonical_method(name) == "TOKEN"


@pytest.mark.parametrize("text", ["FS,TOKEN", "FS TOKEN", " FS ,\tTOKEN, ", "FS,,TOKEN"])
def test_a_list_is_separated_by_commas_or_blanks(text):
    """Any mixture of commas and blanks separates entries."""
    assert split_list(text) == ("FS", "TOKEN")


def test_old_peers_hear_a_wish_that_includes_the_others():
    """Before 23.10 wanting encryption was wanting authentication."""
    policy = SecurityPolicy(encryption=Wish.REQUIRED)
    assert policy.attributes()["Authentication"] == "REQUIRED"
    assert policy.attributes()["AuthenticationNew"] == "OPTIONAL"
