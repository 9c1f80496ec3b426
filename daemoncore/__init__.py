"""What every daemon of this project is made of; it imports none of the daemons.

The rooms: `cedar` (HTCondor's wire, sans-IO), `config` (HTCondor's configuration language and the knob
table), and single modules for addresses, authorisation, durable files, logs, metrics and HTTP.
"""
