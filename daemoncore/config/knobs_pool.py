"""Rows that the daemons share with the rest of a pool: network, security, places, files.

Defaults are those of HTCondor 25.14 (param_info.in).
"""

from daemoncore.config.knob import Kind, Knob, Reload

_ALL = ("had", "replication", "transferer")
_MASTER = ("condor_master",)


NETWORK: tuple[Knob, ...] = (
    Knob(
        "NETWORK_INTERFACE",
        Kind.STRING,
        "*",
        "Address, interface name or pattern that the daemons bind and speak from; * is all.",
        reload=Reload.RESTART,
        daemons=_ALL,
    ),
    Knob(
        "HAD_HTTP_ADDRESS",
        Kind.STRING,
        "127.0.0.1",
        "Address that the read-only HTTP servers listen on.",
        reload=Reload.RESTART,
        is_ours=True,
        daemons=("had", "replication"),
    ),
    Knob(
        "HAD_HTTP_PORT",
        Kind.INTEGER,
        None,
        "Port of the election daemon's read-only HTTP; off when not set.",
        minimum=0,
        maximum=65535,
        reload=Reload.RESTART,
        is_ours=True,
    ),
    Knob(
        "REPLICATION_HTTP_PORT",
        Kind.INTEGER,
        None,
        "Port of the replication daemon's read-only HTTP; off when not set.",
        minimum=0,
        maximum=65535,
        reload=Reload.RESTART,
        is_ours=True,
        daemons=("replication",),
    ),
    Knob(
        "CONDOR_HOST",
        Kind.STRING,
        None,
        "Central managers of the pool, as current samples write it.",
        daemons=_ALL,
    ),
    Knob(
        "COLLECTOR_HOST",
        Kind.LIST,
        "$(CONDOR_HOST)",
        "Collectors that the daemons send their ads to, separated by commas or blanks; without a port it is 9618.",
        daemons=_ALL,
    ),
    Knob("NEGOTIATOR_HOST", Kind.STRING, None, "Obsolete; tolerated.", reload=Reload.NONE, daemons=("none",)),
    Knob(
        "USE_SHARED_PORT",
        Kind.BOOLEAN,
        "true",
        "Whether daemons share one port.",
        reload=Reload.NONE,
        daemons=_MASTER,
    ),
    Knob(
        "SHARED_PORT_PORT",
        Kind.INTEGER,
        "9618",
        "The shared port.",
        minimum=0,
        maximum=65535,
        daemons=_ALL,
    ),
    Knob(
        "DAEMON_SOCKET_DIR",
        Kind.PATH,
        "auto",
        "Folder of the sockets behind the shared port; `auto` is `$(LOCK)/daemon_sock`. Used by a daemon that"
        " condor_master did not start; otherwise the master brings the socket. Its daemons are looked for there when"
        " the master does not say where they are.",
        reload=Reload.RESTART,
        daemons=_ALL,
    ),
    Knob(
        "HAD_USE_SHARED_PORT",
        Kind.BOOLEAN,
        "false",
        "Whether the election daemons are reached through the shared port: those whose entry of `HAD_LIST` has the"
        " number of `SHARED_PORT_PORT`.",
        reload=Reload.RESTART,
    ),
    Knob(
        "HAD_SOCKET_NAME",
        Kind.STRING,
        "had",
        "Name of the election daemons behind the shared port, the same on every host.",
        reload=Reload.RESTART,
    ),
    Knob(
        "NO_DNS", Kind.BOOLEAN, "false", "Whether names are made from addresses, without DNS.", daemons=_ALL
    ),
    Knob(
        "NETWORK_HOSTNAME",
        Kind.STRING,
        None,
        "What this host is called, `$(FULL_HOSTNAME)`, whatever the kernel and DNS say.",
        daemons=_ALL,
    ),
    Knob("DEFAULT_DOMAIN_NAME", Kind.STRING, None, "Domain of host names that have none.", daemons=_ALL),
)

SECURITY: tuple[Knob, ...] = (
    Knob(
        "TRUST_DOMAIN",
        Kind.STRING,
        "$(UID_DOMAIN)",
        "Issuer of this pool's tokens; the same on every member.",
        daemons=_ALL,
    ),
    Knob("UID_DOMAIN", Kind.STRING, "$(FULL_HOSTNAME)", "Domain of this host's user names.", daemons=_ALL),
    Knob("SEC_TOKEN_DIRECTORY", Kind.PATH, None, "Folder of a user's tokens.", daemons=_ALL),
    Knob(
        "SEC_TOKEN_SYSTEM_DIRECTORY",
        Kind.PATH,
        "$(ETC)/tokens.d",
        "Folder of the daemons' tokens.",
        daemons=_ALL,
    ),
    Knob("SEC_PASSWORD_DIRECTORY", Kind.PATH, "$(ETC)/passwords.d", "Folder of signing keys.", daemons=_ALL),
    Knob(
        "SEC_TOKEN_POOL_SIGNING_KEY_FILE",
        Kind.PATH,
        "$(SEC_PASSWORD_DIRECTORY)/POOL",
        "The key that signs the pool's tokens.",
        daemons=_ALL,
    ),
    Knob(
        "SEC_PASSWORD_FILE",
        Kind.PATH,
        "$(SEC_PASSWORD_DIRECTORY)/POOL",
        "The pool password's file.",
        daemons=_ALL,
    ),
    Knob(
        "SEC_USE_FAMILY_SESSION",
        Kind.BOOLEAN,
        "true",
        "Whether the daemons that one condor_master started speak to each other on the session that it handed them.",
        daemons=_ALL,
    ),
    Knob("SEC_TOKEN_ISSUER_KEY", Kind.STRING, "POOL", "Name of the key that signs new tokens.", daemons=_ALL),
    Knob(
        "SEC_DEFAULT_AUTHENTICATION_METHODS",
        Kind.LIST,
        "FS,IDTOKENS,KERBEROS,SCITOKENS,SSL",
        "Methods of authentication offered, best first. Ours are FS, IDTOKENS, PASSWORD, CLAIMTOBE and ANONYMOUS;"
        " others are left out.",
        daemons=_ALL,
    ),
    Knob(
        "SEC_<LEVEL>_<SETTING>",
        Kind.STRING,
        None,
        "Authentication, encryption, integrity, negotiation (REQUIRED, PREFERRED, OPTIONAL, NEVER), their methods, and"
        " session durations, by level: DEFAULT, CLIENT, READ, WRITE, DAEMON, ADMINISTRATOR, NEGOTIATOR and so on.",
        daemons=_ALL,
    ),
    Knob(
        "ALLOW_<LEVEL>",
        Kind.STRING,
        None,
        "Who may: user@domain/host patterns, netmasks, names.",
        daemons=_ALL,
    ),
    Knob("DENY_<LEVEL>", Kind.STRING, None, "Who may not; wins over ALLOW.", daemons=_ALL),
    Knob("HOSTALLOW_<LEVEL>", Kind.STRING, None, "Old name of ALLOW, still read.", daemons=_ALL),
    Knob("HOSTDENY_<LEVEL>", Kind.STRING, None, "Old name of DENY, still read.", daemons=_ALL),
    Knob(
        "LEGACY_ALLOW_SEMANTICS",
        Kind.BOOLEAN,
        "false",
        "Whether ALLOW_WRITE implies ALLOW_DAEMON and the like, as before HTCondor 9.",
        daemons=_ALL,
    ),
)

MASTER: tuple[Knob, ...] = (
    Knob(
        "NOT_RESPONDING_TIMEOUT",
        Kind.SECONDS,
        "3600",
        "A daemon that condor_master started and that gave no sign of life for so long may be killed by it. Signs are"
        " given three times in it.",
        minimum=1,
        daemons=_ALL,
    ),
    Knob(
        "HAD_NOT_RESPONDING_TIMEOUT",
        Kind.SECONDS,
        "$(NOT_RESPONDING_TIMEOUT)",
        "The same for the election daemon alone.",
        minimum=1,
    ),
    Knob(
        "REPLICATION_NOT_RESPONDING_TIMEOUT",
        Kind.SECONDS,
        "$(NOT_RESPONDING_TIMEOUT)",
        "The same for the replication daemon alone.",
        minimum=1,
        daemons=("replication",),
    ),
    Knob(
        "MASTER_BACKOFF_CONSTANT",
        Kind.SECONDS,
        "9",
        "Restart delay: the part that is always there.",
        minimum=1,
    ),
    Knob(
        "MASTER_BACKOFF_FACTOR",
        Kind.REAL,
        "2.0",
        "Restart delay: the base that grows with each restart.",
        minimum=0,
    ),
    Knob("MASTER_BACKOFF_CEILING", Kind.SECONDS, "3600", "Restart delay: the longest.", minimum=1),
    Knob(
        "MASTER_RECOVER_FACTOR",
        Kind.SECONDS,
        "300",
        "Up-time after which restarts are counted from 0 again.",
        minimum=1,
    ),
    Knob(
        "MASTER_<SUBSYSTEM>_BACKOFF_CONSTANT",
        Kind.SECONDS,
        None,
        "The same for one daemon. Of HAD: how long a node whose controllee dies quickly stands aside, at least; 360, longer"
        " than a negotiation cycle, is recommended.",
        minimum=1,
    ),
    Knob("MASTER_<SUBSYSTEM>_BACKOFF_FACTOR", Kind.REAL, None, "The same for one daemon.", minimum=0),
    Knob("MASTER_<SUBSYSTEM>_BACKOFF_CEILING", Kind.SECONDS, None, "The same for one daemon.", minimum=1),
    Knob("MASTER_<SUBSYSTEM>_RECOVER_FACTOR", Kind.SECONDS, None, "The same for one daemon.", minimum=1),
    Knob(
        "MASTER_<SUBSYSTEM>_CONTROLLER",
        Kind.STRING,
        None,
        "The daemon that starts and stops this one, like `MASTER_NEGOTIATOR_CONTROLLER = HAD`.",
        reload=Reload.NONE,
        daemons=_MASTER,
    ),
    Knob(
        "NEGOTIATOR",
        Kind.PATH,
        "$(SBIN)/condor_negotiator",
        "Program of the negotiator, a pool's usual controllee; see `<CONTROLLEE>`.",
    ),
    Knob(
        "HAD",
        Kind.PATH,
        "$(SBIN)/condor_had",
        "Program of the election daemon.",
        reload=Reload.NONE,
        daemons=_MASTER,
    ),
    Knob(
        "HAD_ARGS",
        Kind.STRING,
        "-sock $(HAD_SOCKET_NAME)",
        "Arguments of the election daemon, like `-p $(HAD_PORT)`.",
        reload=Reload.NONE,
        daemons=_MASTER,
    ),
    Knob(
        "DAEMON_LIST",
        Kind.LIST,
        "MASTER",
        "Daemons that condor_master starts.",
        reload=Reload.NONE,
        daemons=_MASTER,
    ),
    Knob(
        "DC_DAEMON_LIST",
        Kind.LIST,
        None,
        "Daemons that have a command port.",
        reload=Reload.NONE,
        daemons=_MASTER,
    ),
)

PATHS: tuple[Knob, ...] = (
    Knob("RELEASE_DIR", Kind.PATH, "/usr", "Where HTCondor is installed.", daemons=_ALL),
    Knob("LOCAL_DIR", Kind.PATH, "$(TILDE)", "Home of this host's own folders.", daemons=_ALL),
    Knob("BIN", Kind.PATH, "$(RELEASE_DIR)/bin", "HTCondor's tools.", reload=Reload.NONE, daemons=_ALL),
    Knob("SBIN", Kind.PATH, "$(RELEASE_DIR)/sbin", "HTCondor's daemons.", daemons=_ALL),
    Knob("LIB", Kind.PATH, "$(RELEASE_DIR)/lib", "HTCondor's libraries.", reload=Reload.NONE, daemons=_ALL),
    Knob("LIBEXEC", Kind.PATH, "$(RELEASE_DIR)/libexec", "HTCondor's inner programs.", daemons=_ALL),
    Knob("ETC", Kind.PATH, "$(LOCAL_DIR)", "Folder of passwords and tokens.", daemons=_ALL),
    Knob("LOG", Kind.PATH, "$(LOCAL_DIR)/log", "Folder of logs.", daemons=_ALL),
    Knob("LOCK", Kind.PATH, "$(LOG)", "Folder of lock files.", daemons=_ALL),
    Knob("RUN", Kind.PATH, "$(LOCK)", "Folder of run-time files.", daemons=_ALL),
    Knob("SPOOL", Kind.PATH, "$(LOCAL_DIR)/spool", "Folder of the pool's durable state.", daemons=_ALL),
    Knob(
        "CONDOR_IDS",
        Kind.STRING,
        None,
        "uid.gid that files belong to, and that programs run as, when a daemon is started as root.",
        reload=Reload.RESTART,
        daemons=_ALL,
    ),
    Knob("SECOND", Kind.INTEGER, "1", "One second, for expressions.", daemons=_ALL, is_ours=True),
    Knob("MINUTE", Kind.INTEGER, "60", "Seconds of a minute, for expressions.", daemons=_ALL),
    Knob("HOUR", Kind.INTEGER, "3600", "Seconds of an hour, for expressions.", daemons=_ALL),
)

FILES: tuple[Knob, ...] = (
    Knob(
        "LOCAL_CONFIG_DIR",
        Kind.LIST,
        None,
        "Folders whose files are read after the root file, by name.",
        daemons=_ALL,
    ),
    Knob(
        "LOCAL_CONFIG_DIR_EXCLUDE_REGEXP",
        Kind.STRING,
        r"^((\..*)|(.*\.pl)|(.*\.py)|(.*\.sh)|(.*~)|(#.*)|(.*\.rpmsave)|(.*\.rpmnew)"
        r"|(.*\.dpkg-old)|(.*\.dpkg-dist)|(.*\.cfsaved))$",
        "Names of files in those folders that are not read.",
        daemons=_ALL,
    ),
    Knob(
        "LOCAL_CONFIG_FILE",
        Kind.LIST,
        None,
        "Files, or a command with |, read after those folders.",
        daemons=_ALL,
    ),
    Knob(
        "REQUIRE_LOCAL_CONFIG_FILE",
        Kind.BOOLEAN,
        "true",
        "Whether a file of LOCAL_CONFIG_FILE that is missing is an error.",
        daemons=_ALL,
    ),
    Knob(
        "USER_CONFIG_FILE",
        Kind.STRING,
        "user_config",
        "A file in ~/.condor that is read last for an ordinary user.",
        daemons=_ALL,
    ),
)
