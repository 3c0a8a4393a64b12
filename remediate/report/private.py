"""Plans, approvals, exports and anchors show where a site can be attacked: nobody but their owner ever reads them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from remediate.errors import UsageError


def write(path: Path, text: str | bytes, what: str, advice: str = "name another file with --out") -> None:
    """A new file of mode 0600, or stricter where one was there that was; what was there is replaced as a whole.

    Nobody ever meets half of it, who had the old file open reads nothing of the new one, and a link that somebody put
    there is replaced, not followed. UsageError: ``what`` cannot be written (next: ``advice``), and nothing is changed.
    """
    try:
        _replace(path, text.encode() if isinstance(text, str) else text)
    except OSError as error:
        raise UsageError(f"{what} cannot be written: {error.strerror}", where=str(path), next=advice) from error


def _replace(path: Path, content: bytes) -> None:
    if path.exists() and not path.is_file():
        raise OSError(0, "it is a folder" if path.is_dir() else "it is no ordinary file")
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)  # new, 0600, and no link
    draft = Path(name)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 -- a descriptor
            file.write(content)
            file.flush()
            os.fchmod(handle, _mode(path))
            os.fsync(handle)
        draft.replace(path)
    except BaseException:  # Ctrl-C too
        draft.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    try:
        there = path.lstat().st_mode
    except OSError:
        return 0o600
    return there & 0o600 if stat.S_ISREG(there) and there & 0o400 else 0o600
