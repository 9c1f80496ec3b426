"""docs/reference/wire.md lists what replication says: every attribute, word and key that the code writes or reads."""

import re
from pathlib import Path

import pytest

from replication import conflict_commands, messages, revising, service
from replication.accountant import Row
from replication.effects import Answer, Currency
from replication.events import IDENTIFIERS_LIMIT, Report, State
from replication.version import LINEAGE_LIMIT, Point, Version

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")


def section(heading):
    """What stands under one heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(heading, first):
    """The rows of the table whose first column has this title: the words in backquotes of each cell."""
    body = section(heading).split(f"| {first} |", 1)[1].split("\n\n")[0]
    cells = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("| `")]
    return [[re.findall(r"`(\w+)`", cell) for cell in row] for row in cells]


def first_column(heading, first):
    """The words of its first cells, in order."""
    return [word for row in table(heading, first) for word in row[0]]


def strings_read(source):
    """The names that a piece of source asks an ad for."""
    found = re.findall(r'get_\w+\("(\w+)"|_count\(ad, "(\w+)"|_seconds\(ad, "(\w+)"', source)
    return {name for names in found for name in names if name}


def source_of(module):
    """The source of a module."""
    return Path(module.__file__).read_text(encoding="utf-8")


FULLEST = Report("127.0.0.1:9630", State.LEADER, Version(386, 7, (Point(257, 1203),), is_rooted=True))


def test_every_attribute_of_a_report_is_documented():
    """What is sent is in the table, and what is in the table is sent and read."""
    sent = set(messages.encode_report(FULLEST))
    assert set(first_column("The report of a replica", "attribute")) == sent
    source = source_of(messages).split("def decode_report_untrusted")[1].split("\ndef ")[0]
    assert strings_read(source) | {"MyType", "HadProtocol"} == sent


def test_the_example_is_what_a_leader_says():
    """Each line of the example is a line of the ad that it describes."""
    report = Report(
        "127.0.0.1:9630",
        State.LEADER,
        FULLEST.version,
        instance=1795327669,
        sequence=41,
        validity_seconds=2.0,
        total_bytes=4096,
    )
    lines = re.findall(r"^ {4}(\S.* = .*)$", section("The report of a replica"), re.MULTILINE)
    assert len(lines) > 8
    assert set(lines) <= set(messages.encode_report(report).to_lines())


def test_every_attribute_of_a_question_for_the_state_is_documented():
    """What the service reads of the asking ad is in the table."""
    source = source_of(service).split("def _asked_by_ours")[1].split("async def ")[0]
    documented = set(first_column("Who asks for the state", "attribute"))
    assert documented == strings_read(source) | {"HadProtocol"}


def test_everything_that_had_says_is_documented():
    """Each word of had's, and each attribute that goes with it."""
    source = source_of(messages).split("def decode_attended_untrusted")[1].split("\ndef ")[0]
    rows = table("had and its replica", "`What`")
    assert [row[0][0] for row in rows] == re.findall(r'case "(\w+)"', source)
    assert {word for row in rows for word in row[1]} | {"What"} == strings_read(source)


def test_every_attribute_of_an_answer_is_documented():
    """What answers had is in the table, and nothing else."""
    answer = messages.encode_answer(Answer(1, Currency.CURRENT, FULLEST.version))
    assert set(first_column("had and its replica", "attribute")) == set(answer)


def test_every_act_on_a_conflict_is_documented():
    """Each act is in the table, with every attribute that is read for it."""
    source = source_of(conflict_commands)
    rows = table("Kept conflicts", "`Act`")
    acts = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"case (\"[^:]*):", source))))
    assert {row[0][0] for row in rows} == acts
    read = strings_read(source) - {"Act", "Identifier"}
    assert {word for row in rows for word in row[1]} == read


def test_every_key_of_a_plan_is_documented():
    """The document of a plan has the keys of the table."""
    assert first_column("Kept conflicts", "key") == list(revising._plan(revising.Act.MERGE, None))
    rows = next(row for row in table("Kept conflicts", "key") if row[0] == ["rows"])
    keys = revising._row(Row("ann", (None,) * 4, (None,) * 4, (None,) * 4))
    assert set(rows[1]) - {"null"} == set(keys)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (IDENTIFIERS_LIMIT, "more than {} identifiers of a kind"),
        (LINEAGE_LIMIT, "more than {} ancestors"),
    ],
)
def test_limits_are_the_codes(limit, words):
    """The numbers of the manual are the constants."""
    assert words.format(limit) in " ".join(section("Limits of replication").split())
