"""Configuration: one knob table, two file languages, one typed result.

A daemon calls `load` once at start and once per SIGHUP. What comes back is a frozen `Configuration` that
answers for every knob: its typed value, its text before and after macro expansion, and where it was set.
Everything that is wrong is reported at once, as `ConfigurationError`, never one problem per start.

The room is laid out in reading order: `knob` and `knobs*` say what exists; `lines`, `statements`, `macros`,
`functions`, `expressions`, `conditions`, `metaknobs` and `reader` are HTCondor's configuration language;
`toml_file` is the strict alternative; `layers` decides which files are read and in what order; `values` turns
text into types; `configuration` is the result.
"""

from daemoncore.config.configuration import Configuration, load, read
from daemoncore.config.problems import ConfigurationError, Problem, Source

__all__ = ["Configuration", "ConfigurationError", "Problem", "Source", "load", "read"]
