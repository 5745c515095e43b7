"""What is there under its final name is whole, also after the machine lost its power: contents to the disk first, then the name.

Blocks: call it by asyncio.to_thread where a loop turns.
"""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def to_disk(tree: str) -> None:
    """Bring a whole tree to the disk: one syncfs(2) costs less than a half million fsyncs."""
    directory = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(directory) != 0:
            raise OSError(ctypes.get_errno(), f"cannot bring {tree} to the disk")
    finally:
        os.close(directory)


def rename_new(source: str, target: str) -> None:
    """Rename and bring the new name to the disk; raise FileExistsError when the target is there."""
    try:
        os.rename(source, target)
    except OSError as error:
        if os.path.isdir(target):
            raise FileExistsError(target) from error
        raise
    directory = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
