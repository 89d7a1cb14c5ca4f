"""SHA-256 digests of a folder's files: regular files that lie inside it, and no others."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

DIGESTS_NAME = "digests.json"
"""The file with the digest of every other file of a version, by its path."""

CACHE = "__pycache__"
"""A folder of Python's bytecode, which it would trust instead of the code beside it."""

_CHUNK = 2**20


def file_digest(folder: Path, name: str) -> str:
    """SHA-256 of a file by its path relative to the folder, of as many bytes as it had when it was opened.

    A path that leads out of the folder, a link included, and anything but a regular file are not opened: a device
    or a pipe may have no end.

    Raises:
        FileNotFoundError: the folder has no such file.
        ValueError: the path leads out of the folder, or is not that of a regular file.
    """
    with _open(folder, name) as stream:
        left = os.fstat(stream.fileno()).st_size
        digest = hashlib.sha256()
        while left > 0 and (content := stream.read(min(left, _CHUNK))):
            digest.update(content)
            left -= len(content)
    return digest.hexdigest()


def _open(folder: Path, name: str) -> BinaryIO:
    path, root = folder / name, folder.resolve()
    try:
        inside = path.resolve(strict=True)
        regular = stat.S_ISREG(inside.stat().st_mode)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not found") from None
    except (OSError, ValueError, RuntimeError):  # a loop of links, a name too long, a null byte
        raise ValueError(f"{folder}: {name[:200]!r} is not the path of a file") from None
    if not inside.is_relative_to(root):
        raise ValueError(f"{folder}: {name!r} leads out of the folder")
    if not regular:
        raise ValueError(f"{path}: not a regular file")
    return inside.open("rb")


def folder_digests(folder: Path) -> dict[str, str]:
    """`file_digest` of every file under a folder, by its path with forward slashes.

    Raises ValueError for anything that is neither a folder nor a regular file.
    """
    return {name: file_digest(folder, name) for name in sorted(file_names(folder))}


def file_names(folder: Path) -> list[str]:
    """Paths of everything under a folder that is not itself a folder, relative to it; links are not followed."""
    names = []
    for path, folders, files in os.walk(folder):
        links = [name for name in folders if Path(path, name).is_symlink()]
        names += [Path(path, name).relative_to(folder).as_posix() for name in (*files, *links)]
    return names


def differences(folder: Path, listed: Mapping[str, str], ignore: tuple[str, ...] = ()) -> dict[str, str]:
    """Files of a folder that are not as listed: ``altered``, ``lost`` or ``added``, by their path.

    Args:
        listed: digests by path.
        ignore: names of files, and of folders with all that is in them, that may be there or not.
    """
    names = {name for name in file_names(folder) if not set(Path(name).parts) & set(ignore)}
    found = dict.fromkeys(names - listed.keys(), "added")
    for name, digest in listed.items():
        try:
            if file_digest(folder, name) != digest:
                found[name] = "altered"
        except FileNotFoundError:
            found[name] = "lost"
        except ValueError:
            found[name] = "altered"
    return dict(sorted(found.items()))
