"""Where the programs of the other tools are: in PATH, or unpacked beside the interpreter by `make rivals`.

What was only unpacked finds its libraries by LD_LIBRARY_PATH; nothing of it is installed and nothing of it runs before
somebody here starts it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

UNPACKED = Path(sys.prefix) / "rivals"
_FOLDERS = tuple(str(UNPACKED / folder) for folder in ("usr/sbin", "usr/bin", "sbin", "bin"))
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", *_FOLDERS])


def find(name):
    """Return the path of a program, None if this machine has none."""
    return shutil.which(name, path=_PATH)


def why_missing(*names):
    """Return which of the programs are missing, as a reason; None if all are there."""
    missing = [name for name in names if find(name) is None]
    return (
        f"not installed: {', '.join(missing)} (`make rivals` fetches them from Debian)" if missing else None
    )


def environment():
    """Return the environment in which the programs find their libraries."""
    folders = sorted({str(path.parent) for path in UNPACKED.glob("**/lib/**/*.so.*")})
    given = [word for word in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if word]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join([*given, *folders])}


def version(name):
    """Return the version that a program says it has, such as 2.2.7."""
    done = subprocess.run(
        [find(name), "--version"], env=environment(), capture_output=True, text=True, check=False, timeout=10
    )
    return version_in(done.stdout + done.stderr)


def version_in(text):
    """Return the first version number of a text; `unknown` if there is none."""
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found[0] if found else "unknown"
