"""The pool as JSON: what `hadctl status --json` and `replication status --json` print, once or with `--watch` an object a line.

Its keys are a promise to scripts: keys are added, never renamed or left out.
"""

from typing import Any

from had.ctl import replica_verdict
from had.ctl.pool import Answer, Pool, Said
from had.ctl.replicas import Replicas

#: Grows when a key of any verb's `--json` changes its meaning.
SCHEMA = 1


def as_json(pool: Pool, found: list[str]) -> dict[str, Any]:
    """Return what `--json` prints: the verdict, and each member's own status document or its error."""
    return {
        "schema": SCHEMA,
        "in_order": not found,
        "problems": found,
        "leader": pool.leader,
        "members": {entry: _said(pool.answers[entry]) for entry in pool.everyone},
        "replication": None if pool.replicas is None else replicas_as_json(pool.replicas),
    }


def replicas_as_json(replicas: Replicas) -> dict[str, Any]:
    """Return what `hadctl replication status --json` prints, of the same form."""
    found = replica_verdict.problems(replicas)
    return {
        "schema": SCHEMA,
        "in_order": not found,
        "problems": found,
        "leader": replicas.leader,
        "members": {entry: _said(replicas.answers[entry]) for entry in replicas.entries},
    }


def _said(answer: Answer[Said]) -> Any:
    if answer.document is not None:
        return answer.document
    assert answer.failure is not None, "without a document there is a failure"
    return {"error": answer.failure.word, "detail": answer.detail}
