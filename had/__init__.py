"""The election daemon: the potential central managers of a pool elect one, and it runs the one negotiator."""
