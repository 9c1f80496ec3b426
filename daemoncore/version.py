"""The version of this program, in the one place that the package's metadata reads too."""

VERSION = "0.1.0"
REVISION = ""
"""The revision of the source, set by who builds a package from a checkout."""
