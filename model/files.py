"""Files that appear whole or not at all, whenever the program is stopped, and what may refuse them.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NO_SPACE", "alone", "amount", "is_full", "said", "write_whole"]

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE = "no space left on the disk: make room there, then do the same again"
BLOCK = 4096  # bytes: a disk with less takes no file


@contextmanager
def alone(folder, refusal):
    """Hold a folder until this ends; ``refusal`` is raised where another one holds it."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise refusal from None
    finally:
        os.close(lock)


def write_whole(path, raw, mode=0o644):
    """Write bytes to a file of an existing folder. An ``OSError`` names the file, or what is there
    and is none: a device is not replaced.
    """
    path = Path(path)
    temporary = None
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EEXIST, "this is no file that could be replaced: name another one")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno:
            # the path that was asked for, not the temporary one
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def said(error):
    """What an ``OSError`` says: the file, and for a full disk the remedy."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno in FULL:
        return where + NO_SPACE
    return where + error.strerror if error.strerror else str(error)


def amount(size):
    """A number of bytes as people say it: 713 bytes, 29.3 MiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"


def is_full(folder):
    """Whether a tool that wrote there has met the end of the disk: not every tool says it."""
    return shutil.disk_usage(folder).free < BLOCK
