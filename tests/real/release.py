"""Where this machine's HTCondor is, found from `condor_master` alone, and why there may be nothing to test with.

Two layouts are known: a build or a tarball, with `sbin`, `bin` and `libexec` side by side; and packages, which have the
programs in /usr and what only daemons start in /usr/libexec/condor or /usr/lib/condor/libexec.
"""

import os
import pwd
import shutil
from pathlib import Path

import attrs

NEEDED = ("condor_collector", "condor_had", "condor_negotiator", "condor_replication")
TOOLS = ("condor_status", "condor_userprio", "condor_ping", "condor_config_val")
FALLBACK_USER = "nobody"
"""Who owns the real daemons' files where no user condor is. They want one that is not root."""


@attrs.frozen
class Release:
    """An installed HTCondor."""

    #: RELEASE_DIR.
    root: Path
    sbin: Path
    bin: Path
    libexec: Path

    def program(self, name):
        """Return the path of a daemon or a tool."""
        for folder in (self.sbin, self.bin, self.libexec):
            if (folder / name).exists():
                return folder / name
        raise FileNotFoundError(f"{name} is in none of {self.sbin}, {self.bin}, {self.libexec}")

    def settings(self):
        """Return the lines of a configuration that say where it is."""
        return {
            "RELEASE_DIR": self.root,
            "SBIN": self.sbin,
            "BIN": self.bin,
            "LIBEXEC": self.libexec,
        }


def find_release(search_path=None):
    """Return the HTCondor whose `condor_master` is found first on a search path, and what speaks against a test with it.

    Args:
        search_path: folders, as in PATH, which is the default.

    Returns:
        The release, or None; and None, or the reason why nothing can be tested.
    """
    found = shutil.which("condor_master", path=search_path)
    if found is None:
        return None, "condor_master is not on PATH"
    # The folder as PATH names it, and what it is a link to.
    folders = (Path(found).parent, Path(found).resolve().parent)
    for sbin in folders:
        root = sbin.parent
        for libexec in (root / "libexec", root / "libexec" / "condor", root / "lib" / "condor" / "libexec"):
            if (libexec / "condor_transferer").exists():
                release = Release(root, sbin, _tools(root, search_path), libexec)
                return release, _why_not(release)
    return None, f"condor_transferer is not where {found} would have it"


def _tools(root, search_path):
    """Return the folder of the tools: beside the daemons' one, or wherever PATH has them."""
    if (root / "bin" / "condor_status").exists():
        return root / "bin"
    found = shutil.which("condor_status", path=search_path)
    return Path(found).parent if found else root / "bin"


def _why_not(release):
    for name in (*NEEDED, *TOOLS):
        try:
            release.program(name)
        except FileNotFoundError as error:
            return str(error)
    if os.geteuid() != 0:
        return "condor_master and network namespaces need root"
    return None


def owner():
    """Return whose the real daemons' files are: the user and group numbers of CONDOR_IDS."""
    for name in ("condor", FALLBACK_USER):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise LookupError(f"there is no user condor, and none called {FALLBACK_USER}")
