"""Rows of the daemons' logs; each of our daemons has the same five, after its own name.

Defaults are those of HTCondor 25.14 (param_info.in).
"""

from daemoncore.config.knob import Kind, Knob

_ALL = ("had", "replication", "transferer")


def _log(daemon: str, name: str) -> tuple[Knob, ...]:
    """The four log knobs of one daemon."""
    readers = (daemon.lower(),)
    return (
        Knob(f"{daemon}_LOG", Kind.PATH, f"$(LOG)/{name}", "The daemon's log file.", daemons=readers),
        Knob(
            f"MAX_{daemon}_LOG",
            Kind.LOG_LIMIT,
            "$(MAX_DEFAULT_LOG)",
            "Size (B, Kb, Mb, Gb, Tb) or age (s, min, h, d, w) at which the log is rotated; 0 is never.",
            minimum=0,
            daemons=readers,
        ),
        Knob(
            f"MAX_NUM_{daemon}_LOG",
            Kind.INTEGER,
            "1",
            "How many rotated logs are kept.",
            minimum=0,
            daemons=readers,
        ),
        Knob(
            f"TRUNC_{daemon}_LOG_ON_OPEN",
            Kind.BOOLEAN,
            "false",
            "Whether the log starts empty each time the daemon starts.",
            daemons=readers,
        ),
        Knob(
            f"{daemon}_DEBUG",
            Kind.STRING,
            None,
            "What is logged beyond D_ALWAYS, D_ERROR and D_STATUS, like `D_FULLDEBUG D_COMMAND`.",
            daemons=readers,
        ),
    )


LOGS: tuple[Knob, ...] = (
    *_log("HAD", "HADLog"),
    *_log("REPLICATION", "ReplicationLog"),
    *_log("TRANSFERER", "TransfererLog"),
    Knob(
        "MAX_DEFAULT_LOG",
        Kind.LOG_LIMIT,
        "10 Mb",
        "Size of a log that has no limit of its own.",
        daemons=_ALL,
    ),
    Knob(
        "DEFAULT_DEBUG",
        Kind.STRING,
        None,
        "Debug flags of daemons that have none of their own.",
        daemons=_ALL,
    ),
    Knob("ALL_DEBUG", Kind.STRING, None, "Debug flags of every daemon, merged first.", daemons=_ALL),
    Knob(
        "LOGS_USE_TIMESTAMP",
        Kind.BOOLEAN,
        "false",
        "Whether log lines start with Unix time, not date.",
        daemons=_ALL,
    ),
    Knob(
        "DEBUG_TIME_FORMAT",
        Kind.STRING,
        "%m/%d/%y %H:%M:%S",
        "strftime format of a log line's date.",
        daemons=_ALL,
    ),
    Knob(
        "TOUCH_LOG_INTERVAL", Kind.SECONDS, "60", "How often an idle log is touched.", minimum=0, daemons=_ALL
    ),
    Knob(
        "LOCK_DEBUG_LOG_TO_APPEND",
        Kind.BOOLEAN,
        "false",
        "Whether a log that several processes write is locked for each line.",
        daemons=_ALL,
    ),
    Knob("LOG_TO_SYSLOG", Kind.BOOLEAN, "false", "Whether logs go to syslog.", daemons=_ALL),
)
