"""Files that appear whole or not at all, whenever the program is stopped."""

import os
import tempfile
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path, raw):
    """Write bytes to a file of an existing folder."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
