"""The command numbers of the wire, HTCondor's and ours.

A command is the first integer of a conversation. HTCondor's numbers are in its src/condor_includes/condor_commands.h
(25.14) and keep their names here, so that a log line of ours can be laid beside one of theirs. Ours lie in 7100 to
7199, a range in which HTCondor has no number; they are sent only to a peer that has shown our marker attribute.
"""

import enum
from typing import Final

#: Commands of our own are at least this; HTCondor uses 700 to 806, 1000 to 1501 and 60000 upwards around it.
FIRST_OWN_COMMAND = 7100
#: Commands of our own are at most this.
LAST_OWN_COMMAND = 7199


class Command(enum.IntEnum):
    """A command by HTCondor's name; the group comments say who answers it."""

    # condor_collector
    QUERY_ANY_ADS = 48
    QUERY_MULTIPLE_ADS = 53
    UPDATE_HAD_AD = 55
    QUERY_HAD_ADS = 56
    INVALIDATE_HAD_ADS = 57
    UPDATE_AD_GENERIC = 58
    INVALIDATE_ADS_GENERIC = 59
    QUERY_GENERIC_ADS = 74

    # condor_shared_port and whoever stands behind it
    SHARED_PORT_CONNECT = 75
    SHARED_PORT_PASS_SOCK = 76

    # condor_master; the payload is the name of one daemon
    DAEMON_OFF = 467
    DAEMON_OFF_FAST = 468
    DAEMON_ON = 469
    DAEMON_OFF_PEACEFUL = 483
    CHILD_ON = 490
    CHILD_OFF = 491
    CHILD_OFF_FAST = 492

    # condor_had; the payload is a HAD ad
    HAD_ALIVE_CMD = 700
    HAD_SEND_ID_CMD = 701

    # condor_replication, from the condor_had beside it
    HAD_BEFORE_PASSIVE_STATE = 703
    HAD_AFTER_ELECTION_STATE = 704
    HAD_AFTER_LEADER_STATE = 705
    HAD_IN_LEADER_STATE = 706

    # condor_replication, from its peers
    REPLICATION_TRANSFER_FILE = 800
    REPLICATION_LEADER_VERSION = 801
    REPLICATION_NEWLY_JOINED_VERSION = 802
    REPLICATION_GIVING_UP_VERSION = 803
    REPLICATION_SOLICIT_VERSION = 804
    REPLICATION_SOLICIT_VERSION_REPLY = 805
    REPLICATION_TRANSFER_FILE_NEW = 806

    # ours: 7100 to 7199
    HAD_HEARTBEAT = 7100  # a HAD ad on a stream that stays open between two of our daemons
    HAD_SWITCHOVER = 7101  # hadctl asks the leader to hand over
    HAD_PAUSE = 7102  # hadctl stops elections in the whole pool
    HAD_RESUME = 7103  # hadctl ends a pause or a hold
    HAD_STATUS = 7104  # hadctl asks a member what it thinks, level READ
    HAD_RESTART = 7105  # hadctl asks the leader to restart its controllee in place
    REPLICATION_FETCH = 7110  # a transferer asks for the newest version, and stays for the next ones
    REPLICATION_REPORT = 7111  # what a replica holds, on a stream that stays open between two of our daemons
    REPLICATION_ATTEND = 7112  # had's stream to the replication daemon of its own host, with answers
    REPLICATION_STATUS = 7113  # hadctl asks a replica what it holds, level READ
    REPLICATION_CONFLICT = 7114  # hadctl looks at kept conflicts, exports, merges, restores or drops one

    # every daemon of HTCondor
    DC_RAISESIGNAL = 60000
    DC_CONFIG_PERSIST = 60002
    DC_CONFIG_RUNTIME = 60003
    DC_RECONFIG = 60004
    DC_OFF_GRACEFUL = 60005
    DC_OFF_FAST = 60006
    DC_CONFIG_VAL = 60007
    DC_CHILDALIVE = 60008
    DC_AUTHENTICATE = 60010
    DC_NOP = 60011
    DC_RECONFIG_FULL = 60012
    DC_OFF_PEACEFUL = 60015
    DC_SET_PEACEFUL_SHUTDOWN = 60016
    DC_NOP_READ = 60020
    DC_NOP_WRITE = 60021
    DC_NOP_NEGOTIATOR = 60022
    DC_NOP_ADMINISTRATOR = 60023
    DC_NOP_OWNER = 60024
    DC_NOP_CONFIG = 60025
    DC_NOP_DAEMON = 60026
    DC_NOP_ADVERTISE_STARTD = 60027
    DC_NOP_ADVERTISE_SCHEDD = 60028
    DC_NOP_ADVERTISE_MASTER = 60029
    DC_SEC_QUERY = 60040
    DC_SET_FORCE_SHUTDOWN = 60041
    DC_OFF_FORCE = 60042
    DC_SET_READY = 60043
    DC_QUERY_READY = 60044
    DC_QUERY_INSTANCE = 60045


ABOUT_OTHERS: Final = frozenset({Command.DC_AUTHENTICATE, Command.DC_SEC_QUERY})
"""Commands that only ask whether another one would be allowed, or only set a session up for it."""


def command_name(number: int) -> str:
    """Return the name of a command for people to read, such as `HAD_ALIVE_CMD`, or `command 4711`."""
    try:
        return Command(number).name
    except ValueError:
        return f"command {number}"
