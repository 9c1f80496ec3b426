"""An event of the election beside those of `had.events`: a leader's word that was lost on its way."""

from __future__ import annotations

import attrs

from had.election_settings import Member


@attrs.frozen
class Overheard:
    """At a member's address a real condor_had gave HAD_ALIVE_CMD on a session that this daemon does not know.

    It had the session with the daemon that ran here before. Nothing of what it said could be read, and nothing proves who
    said it; but only a leader says it, and its next word comes half an interval later.
    """

    peer: Member
