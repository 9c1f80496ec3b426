"""Writes key and token files: mode 0600 from their first instant, whole or not at all, never over another by accident."""

import os
from pathlib import Path

from daemoncore.durable import DurableError, replace_file

#: A folder of secrets that has to be made.
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class SecretFileError(Exception):
    """The file was not written; the sentence says why and what would help."""


def write_secret(path: Path, content: bytes, *, is_forced: bool) -> None:
    """Write a secret file, and make its folder if there is none.

    Args:
        path: where to.
        content: all of it.
        is_forced: whether a file that is there already may be replaced.

    Raises:
        SecretFileError: there is one already, or it cannot be written.
    """
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if is_forced:
            replace_file(path, content, mode=_FILE_MODE)
            return
        # O_EXCL: of two that create at once, one is told so.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError as error:
        raise SecretFileError(f"{path} exists already; --force replaces it") from error
    except OSError as error:
        raise SecretFileError(f"{path} cannot be written: {error.strerror or error}") from error
    except DurableError as error:
        raise SecretFileError(str(error)) from error
