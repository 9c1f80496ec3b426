"""`hadctl check`: whether the pool is consistent, asked of every member, and whether this machine's configuration is.

`--monitoring` prints one line as monitoring plugins do and exits with 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN. Without it
the exit status is 0 nothing was found, 1 something was, 2 no usable configuration.
"""

import argparse
import json
import os

from daemoncore.config import ConfigurationError
from had.ctl import report, tables
from had.ctl.configured import Configured, json_argument, read_configured, report_unusable, source_arguments
from had.ctl.consistency import Finding, Severity, check_pool, worst
from had.ctl.manual_checks import check_configuration
from had.ctl.pool import Pool
from had.ctl.replica_consistency import check_replication


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "check", parents=[source_arguments()], help="check the pool's consistency, asking every member"
    )
    json_argument(parser)
    parser.add_argument(
        "--monitoring", action="store_true", help="one line, and exit status 0 to 3, for Nagios and its like"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb and return its exit status."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        if arguments.monitoring:
            print(f"HAD UNKNOWN - {error.problems[0]}")
            return Severity.UNKNOWN
        return report_unusable(error)
    pool = configured.ask_all_once()
    findings = _findings(configured, pool)
    severity = worst(findings)
    if arguments.monitoring:
        print(tables.printable(monitoring_line(pool, findings)))
        return severity
    if arguments.json:
        listed = [
            {"severity": one.severity.name.lower(), "subject": one.subject, "text": one.text}
            for one in findings
        ]
        document = {"schema": report.SCHEMA, "severity": severity.name.lower(), "findings": listed}
        print(json.dumps(document, indent=2))
    else:
        rows = [(one.severity.name, one.subject, one.text) for one in findings]
        print(tables.render(("SEVERITY", "SUBJECT", "FINDING"), rows))
    return 0 if severity is Severity.OK else 1


def _findings(configured: Configured, pool: Pool) -> list[Finding]:
    return [
        *check_pool(pool, configured.connection_timeout_seconds),
        *check_replication(pool),
        *check_configuration(configured.configuration, os.environ),
    ]


def monitoring_line(pool: Pool, findings: list[Finding]) -> str:
    """Return the line: the state, what matters most, and the figures behind the bar."""
    severity = worst(findings)
    chosen = [one.text for one in findings if one.severity is severity]
    if severity is Severity.OK:
        chosen = [one.text for one in findings if one.subject == "leader"]
    # The bar separates text from figures, so there must be none in the text.
    text = "; ".join(chosen).replace("|", "/")
    figures = f"members={len(pool.everyone)} answering={len(pool.statuses)} leaders={len(pool.leaders)}"
    if pool.replicas is not None:
        in_sync = sum(pool.replicas.is_in_sync(entry) is True for entry in pool.replicas.entries)
        figures += f" replicas={len(pool.replicas.entries)} in_sync={in_sync}"
    return f"HAD {severity.name} - {text} | {figures}"
