"""The copy process: one version, or a few in a row, from one host to another, then it ends.

The replication daemon starts it at both ends of a copy, so that neither a slow disk nor a peer that sends nonsense can
hold up the daemon, and so that whatever a copy costs is given back when it is over. It starts fast: no trio, no metrics,
and no cryptography unless the connection is encrypted.
"""
