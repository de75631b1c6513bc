"""Locks, so that two commands never write to a folder or file at the same time."""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from tfviz._files import write_safely
from tfviz._storage import AnyPath, RemotePath

try:
    import fcntl
except ImportError:  # a system without them
    fcntl = None  # type: ignore[assignment]

LOCK = ".tfviz.lock"
# What file systems answer that have no locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def lock_folder(folder: AnyPath) -> Iterator[None]:
    """Hold the lock of a folder, unless another process holds it.

    The operating system frees the lock of a process that ends, however it ends. Where
    it has no locks, as in `gs://`, the file itself is the lock: one that a process left
    that was killed is recognized on the same machine only, and two processes that start
    within the same second may both get it.

    Args:
        folder: The folder, which exists.

    Raises:
        RuntimeError: If another process holds it.
    """
    with _hold(folder / LOCK):
        yield


@contextmanager
def lock_file(file: Path) -> Iterator[None]:
    """Hold the lock of a file that the command writes, like that of a folder.

    Raises:
        RuntimeError: If another process holds it.
    """
    with _hold(file.with_name(file.name + LOCK)):
        yield


@contextmanager
def _hold(path: AnyPath) -> Iterator[None]:
    handle = None
    if isinstance(path, RemotePath) or fcntl is None:
        _lock_by_file(path)
    else:
        handle = _lock_by_system(path)
    try:
        yield
    finally:
        with suppress(OSError):  # such as one of a disk that vanished
            path.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _lock_by_system(path: Any) -> int | None:
    """Lock a file and return its descriptor; None where locks are not supported."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            _refuse(path, _read_owner(path))
        except OSError as error:
            os.close(handle)
            if error.errno not in _UNSUPPORTED:
                raise
            _lock_by_file(path)
            return None
        # Whoever held it may have deleted the file after it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                with suppress(OSError):  # the disk may be full
                    os.ftruncate(handle, 0)
                    os.write(handle, _describe_owner())
                return handle
        os.close(handle)


def _lock_by_file(path: AnyPath) -> None:
    """Write the lock unless a process that may be alive has written it."""
    owner = _read_owner(path)
    if owner and not _is_dead(owner):
        _refuse(
            path, owner, f" If that process no longer runs, delete {str(path)!r} first."
        )
    write_safely(path, lambda file: file.write(_describe_owner()))


def _describe_owner() -> bytes:
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return json.dumps(owner).encode()


def _read_owner(path: AnyPath) -> dict[str, Any]:
    """Return who wrote a lock; nothing if that cannot be read."""
    try:
        owner = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_dead(owner: dict[str, Any]) -> bool:
    """Return whether the process that wrote a lock certainly runs no longer."""
    if os.name != "posix" or owner.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(owner["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError):
        return True
    except OSError:  # of another user
        return False
    return False


def _refuse(path: AnyPath, owner: dict[str, Any], remedy: str = "") -> NoReturn:
    who = "another process"
    if owner:
        who = "process {pid} on {host}, since {started}".format_map(
            {"pid": "?", "host": "?", "started": "?"} | owner
        )
    file = path.name.removesuffix(LOCK)
    locked, kind = (path.parent / file, "file") if file else (path.parent, "folder")
    raise RuntimeError(
        f"{str(locked)!r} is in use by another tfviz ({who}). Wait until it is "
        f"finished, or choose another {kind}.{remedy}"
    )
