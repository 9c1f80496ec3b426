"""Rows of the replication and transfer daemons.

The election daemon reads some of them to check that both lists agree.
"""

from daemoncore.config.knob import Kind, Knob, Reload

_REPLICATION = ("replication",)

REPLICATION: tuple[Knob, ...] = (
    Knob(
        "REPLICATION_LIST",
        Kind.LIST,
        None,
        "The replication daemons, written like HAD_LIST: the same hosts in the same order, each with its own port.",
        is_shared=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "REPLICATION_INTERVAL",
        Kind.SECONDS,
        "300",
        "Longest time between two looks at the state file. Changes are normally noticed at once.",
        minimum=0,
        daemons=_REPLICATION,
    ),
    Knob(
        "MAX_TRANSFER_LIFETIME",
        Kind.SECONDS,
        "300",
        "How long one transfer may take. MAX_TRANSFERER_LIFETIME, as older manuals spell it, is accepted with a warning.",
        minimum=0,
        daemons=("had", "replication", "transferer"),
    ),
    Knob(
        "NEWLY_JOINED_WAITING_VERSION_INTERVAL",
        Kind.SECONDS,
        "2 * ($(HAD_CONNECTION_TIMEOUT) + 1)",
        "How long a daemon that just started collects the versions of its peers.",
        minimum=0,
        daemons=_REPLICATION,
    ),
    Knob(
        "REPLICATION_UPDATE_INTERVAL",
        Kind.SECONDS,
        "300",
        "How often the replication daemon's ad is sent to the collectors.",
        minimum=1,
        daemons=_REPLICATION,
    ),
    Knob(
        "STATE_FILE",
        Kind.LIST,
        "$(NEGOTIATOR_STATE_FILE:$(SPOOL)/Accountantnew.log)",
        "What is replicated: one file, several, or one folder (spelled with a slash at its end), with absolute paths."
        " Default:"
        " NEGOTIATOR_STATE_FILE, as it was called before 7.2, else the accountant's log in SPOOL.",
        daemons=("had", "replication"),
    ),
    Knob(
        "NEGOTIATOR_STATE_FILE",
        Kind.PATH,
        None,
        "The name of STATE_FILE before HTCondor 7.2.",
        daemons=("had", "replication"),
    ),
    Knob(
        "REPLICATION_KEEP_CONFLICTS",
        Kind.INTEGER,
        "8",
        "How many copies of diverged state are kept.",
        minimum=1,
        is_ours=True,
        daemons=_REPLICATION,
    ),
    Knob(
        "REPLICATION_MERGE",
        Kind.CHOICE,
        None,
        "accountant: merge diverged Accountant logs at the next stop of the controllee.",
        choices=("accountant",),
        is_ours=True,
        daemons=_REPLICATION,
    ),
    Knob(
        "PRIORITY_HALFLIFE",
        Kind.SECONDS,
        "86400.0",
        "The negotiator's: after so long without use a user's priority has halved. A merge of Accountant logs decays by it.",
        minimum=1,
        daemons=("negotiator", "replication"),
    ),
    Knob(
        "REPLICATION",
        Kind.PATH,
        "$(SBIN)/condor_replication",
        "Program of the replication daemon; condor_master starts it.",
        reload=Reload.NONE,
        daemons=("condor_master",),
    ),
    Knob(
        "REPLICATION_ARGS",
        Kind.STRING,
        "-sock $(REPLICATION_SOCKET_NAME)",
        "Arguments of the replication daemon.",
        reload=Reload.NONE,
        daemons=("condor_master",),
    ),
    Knob(
        "REPLICATION_SOCKET_NAME",
        Kind.STRING,
        "replication",
        "Name of the replication daemons behind the shared port, the same on every host.",
        reload=Reload.RESTART,
        daemons=_REPLICATION,
    ),
    Knob(
        "REPLICATION_USE_SHARED_PORT",
        Kind.BOOLEAN,
        "$(HAD_USE_SHARED_PORT)",
        "Whether the replication daemons are reached through the shared port: those whose entry of `REPLICATION_LIST` has"
        " the number of `SHARED_PORT_PORT`.",
        reload=Reload.RESTART,
        daemons=_REPLICATION,
    ),
    Knob(
        "TRANSFERER",
        Kind.PATH,
        "$(LIBEXEC)/condor_transferer",
        "Program that copies a state file; only the replication daemon starts it.",
        daemons=_REPLICATION,
    ),
)
