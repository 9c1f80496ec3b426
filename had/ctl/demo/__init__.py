"""`hadctl demo`, what `make demo` runs: a pool of three managers on this machine, and what happens when one dies.

Everything is real: three `had` daemons on 127.0.0.1, .2 and .3 with the sample configuration of `sample-configs/demo`,
a negotiator that keeps accounts, and the kernel's own word for when a process came and went. Nothing that is printed as
a measurement is anything else.

`place` knows folders and ports, `managers` starts and kills, `watching` sees negotiators come and go, `story` is
what happens, `measurement` holds it against the promises, and `command` is the verb.
"""
