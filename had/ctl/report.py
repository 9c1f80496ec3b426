"""The pool as JSON: what `hadctl status --json` prints, once or with `--watch` one object a line.

Its keys are a promise to scripts: keys are added, never renamed or left out.
"""

from typing import Any

from had.ctl.pool import Pool

#: Grows when a key of any verb's `--json` changes its meaning.
SCHEMA = 1


def as_json(pool: Pool, found: list[str]) -> dict[str, Any]:
    """Return what `--json` prints: the verdict, and each member's own status document or its error."""
    return {
        "schema": SCHEMA,
        "in_order": not found,
        "problems": found,
        "leader": pool.leader,
        "members": {entry: _member(pool, entry) for entry in pool.everyone},
    }


def _member(pool: Pool, entry: str) -> Any:
    answer = pool.answers[entry]
    if answer.document is not None:
        return answer.document
    assert answer.failure is not None, "without a document there is a failure"
    return {"error": answer.failure.word, "detail": answer.detail}
