"""HTCondor's wire, CEDAR, as bytes in and bytes out.

Everything in this room is sans-IO: bytes, the time and random numbers come in as arguments, bytes and values come
out, and nothing here opens a socket, reads a clock or throws dice. So every conversation can be replayed from a
recording, byte for byte, and a whole pool can talk to itself inside one simulation.

From the bottom up: `errors` (what a peer's bytes can raise), `commands` (the numbers), `scalars` and `classad` (what a
message is made of), `packets` and `udp` (how messages are cut), `stream` (one side of one TCP connection with its
encryption), `sinful` (addresses as they travel), and above them negotiation, authentication and sessions.
"""
