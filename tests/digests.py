"""Files by name and hash: comparing whole ones, a failing test would print them."""

import hashlib

__all__ = ["digest", "digests"]


def digest(content):
    """SHA-256 of bytes or text."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digests(folder):
    """Relative path -> SHA-256 of all files in a folder."""
    return {str(path.relative_to(folder)): digest(path.read_bytes())
            for path in sorted(folder.rglob("*")) if path.is_file()}
