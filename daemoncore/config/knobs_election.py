"""Rows of the election daemon and of what it controls.

Names, defaults and meanings of HTCondor's knobs are those of its manual (section High Availability of the Central
Manager) and of param_info.in, release 25.14; `is_ours` marks the ones that this project adds.
"""

from daemoncore.config.knob import Kind, Knob, Reload

ELECTION: tuple[Knob, ...] = (
    Knob(
        "HAD_LIST",
        Kind.LIST,
        None,
        "The members of the election, the most wanted leader first: host:port, ip:port, <ip:port> or [ipv6]:port,"
        " separated by commas or blanks. Must be the same, in the same order, on every member. Names are resolved once,"
        " when the configuration is loaded.",
        is_shared=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "HAD_USE_PRIMARY",
        Kind.BOOLEAN,
        "false",
        "Whether the first entry of HAD_LIST leads whenever it is up. If false, whoever leads keeps leading.",
        reload=Reload.HARD,
        is_shared=True,
    ),
    Knob(
        "HAD_CONTROLLEE",
        Kind.STRING,
        "negotiator",
        "Name of what runs on the leader only; compared without regard to case. The program itself is the knob of that"
        " name, so `HAD_CONTROLLEE = negotiator` runs `NEGOTIATOR`.",
        reload=Reload.HARD,
        is_shared=True,
    ),
    Knob(
        "HAD_CONNECTION_TIMEOUT",
        Kind.SECONDS,
        "5",
        "T: how long a peer may be silent before it counts as gone. Every promise about failover is a multiple of it."
        " Decimals are allowed. Below 0.5 leadership may move without a fault while a machine is busy; the daemon warns.",
        minimum=0.05,
        maximum=3600,
        is_shared=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "HAD_SELF",
        Kind.STRING,
        None,
        "This node's own entry of HAD_LIST or HAD_WITNESS_LIST. Without it the entry is found by NETWORK_INTERFACE, or"
        " by the port and an address that can be bound here.",
        reload=Reload.HARD,
        is_ours=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "HAD_WITNESS_LIST",
        Kind.LIST,
        None,
        "Members that hear, vote and never lead; written like HAD_LIST.",
        is_shared=True,
        is_ours=True,
    ),
    Knob(
        "HAD_REQUIRE_MAJORITY",
        Kind.BOOLEAN,
        "false",
        "Lead only with leases from a majority of HAD_LIST and HAD_WITNESS_LIST. Then there are never two"
        " controllees, whatever the network does, and none where a majority is out of reach. At most 50 members; a real"
        " condor_had cannot be one of them. It must be the same on every member.",
        reload=Reload.RESTART,
        is_shared=True,
        is_ours=True,
    ),
    Knob(
        "HAD_CLOCK_DRIFT",
        Kind.REAL,
        "0.01",
        "How far, as a fraction, the clocks of two hosts may run apart; leases are shortened by it.",
        minimum=0,
        maximum=0.5,
        is_shared=True,
        is_ours=True,
    ),
    Knob(
        "HAD_DAEMON_RESTART_WINDOW",
        Kind.SECONDS,
        "0",
        "How long a leader whose host answers but whose daemon is gone may take to come back before the others elect."
        " 0 is safe, since the controllee dies with its daemon.",
        minimum=0,
        is_shared=True,
        is_ours=True,
    ),
    Knob(
        "HAD_ON_CHANGE",
        Kind.COMMAND,
        None,
        "Command that is run on every transition of the election.",
        is_ours=True,
    ),
    Knob(
        "HAD_UPDATE_INTERVAL",
        Kind.SECONDS,
        "300",
        "How often the daemon's ad is sent to the collectors.",
        minimum=1,
    ),
    Knob(
        "HAD_USE_REPLICATION",
        Kind.BOOLEAN,
        "false",
        "Whether the election daemon works with the replication daemon beside it.",
    ),
    Knob(
        "HAD_STAND_ALONE_DEBUG",
        Kind.STRING,
        None,
        "A dead knob of HTCondor: read and ignored there, tolerated here.",
        reload=Reload.NONE,
    ),
    Knob(
        "HAD_FIPS_MODE",
        Kind.INTEGER,
        "1",
        "Digest of transferred files: 1 is SHA-256. This project always uses SHA-256.",
        minimum=0,
        maximum=1,
        daemons=("transferer",),
    ),
)

CONTROLLEE: tuple[Knob, ...] = (
    Knob(
        "HAD_CONTROL",
        Kind.CHOICE,
        "auto",
        "Who starts and stops the controllee: spawn = this daemon runs the program; command = HAD_START_COMMAND and its"
        " siblings; master = condor_master, at this daemon's word. auto is master when condor_master started this daemon"
        " or is to (DAEMON_LIST has HAD and the controllee), else spawn. With master, DAEMON_LIST has the controllee and MASTER_<CONTROLLEE>_CONTROLLER is HAD; with spawn and"
        " command, DAEMON_LIST does not have it. If condor_master did not start this daemon, MASTER_ADDRESS_FILE says where"
        " condor_master is, and its ALLOW_ADMINISTRATOR must let this daemon in.",
        choices=("auto", "spawn", "command", "master"),
        reload=Reload.RESTART,
        is_ours=True,
    ),
    Knob(
        "MASTER_ADDRESS_FILE",
        Kind.PATH,
        "$(LOG)/.master_address",
        "With HAD_CONTROL = master, and unless condor_master started this daemon: the file in which condor_master writes its"
        " address.",
        reload=Reload.RESTART,
    ),
    Knob(
        "<CONTROLLEE>",
        Kind.PATH,
        None,
        "Program of the controllee that HAD_CONTROLLEE names, like `NEGOTIATOR = /usr/sbin/condor_negotiator`.",
        is_ours=True,
    ),
    Knob(
        "<CONTROLLEE>_ARGS",
        Kind.STRING,
        None,
        "Arguments of that program, split at blanks; quotes keep blanks together.",
        is_ours=True,
    ),
    Knob(
        "<CONTROLLEE>_ENVIRONMENT",
        Kind.STRING,
        None,
        "Extra environment of that program: `NAME=value` separated by blanks, perhaps within double quotes, or"
        " separated by semicolons.",
        is_ours=True,
    ),
    Knob(
        "<CONTROLLEE>_LOG",
        Kind.PATH,
        None,
        "File to which the output and errors of that program are appended; without it they go to the daemon's standard"
        " error.",
        is_ours=True,
    ),
    Knob(
        "<CONTROLLEE>_DISASTER",
        Kind.COMMAND,
        None,
        "What HAD_MISSING_STATE = disaster starts instead of the controllee.",
        is_ours=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "HAD_START_COMMAND",
        Kind.COMMAND,
        None,
        "With HAD_CONTROL = command: starts the controllee; exit status 0 means that it runs.",
        is_ours=True,
    ),
    Knob(
        "HAD_STOP_COMMAND",
        Kind.COMMAND,
        None,
        "With HAD_CONTROL = command: stops the controllee; exit status 0 means that it is gone.",
        is_ours=True,
    ),
    Knob(
        "HAD_CHECK_COMMAND",
        Kind.COMMAND,
        None,
        "With HAD_CONTROL = command: exit status 0 means that the controllee runs.",
        is_ours=True,
    ),
    Knob(
        "HAD_CONTROLLEE_STOP_TIMEOUT",
        Kind.SECONDS,
        "10",
        "From SIGTERM to SIGKILL of the controllee's process group, for stops that were asked for; with HAD_CONTROL = master"
        " from CHILD_OFF_FAST to SIGKILL.",
        minimum=0,
        is_ours=True,
    ),
    Knob(
        "HAD_DIR",
        Kind.PATH,
        None,
        "Folder of this project's own durable files, one subfolder per daemon and entry. Default: $(LOCAL_DIR)/had, else"
        " /var/lib/had; for an ordinary user $XDG_STATE_HOME/had. Never in SPOOL, which condor_preen cleans.",
        reload=Reload.RESTART,
        is_ours=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "HAD_MISSING_STATE",
        Kind.CHOICE,
        "start",
        "What a winner without any usable state does: start anyway, wait for somebody's, or start"
        " `<CONTROLLEE>_DISASTER` instead.",
        choices=("start", "wait", "disaster"),
        is_ours=True,
    ),
)
