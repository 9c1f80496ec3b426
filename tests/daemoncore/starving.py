"""A process that may open nothing more, for tests of what a daemon does then."""

import contextlib
import resource


@contextlib.contextmanager
def no_descriptors():
    """Let every attempt to open a file or a socket fail with EMFILE; what is open stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
