"""How the steps' containers run on this machine: as whom, with which folders, and with no more than they need."""

import contextlib
import os
from pathlib import Path
from typing import Any

from components.artifacts import images

UNPRIVILEGED = 10001
"""User and group of a step where the caller is root; the images' own."""

_SQLITE = "sqlite:///"
_API = "1.41"


def check_images() -> None:
    """See that a Docker engine answers and has the steps' images.

    Raises:
        ConnectionError: no engine answers.
        FileNotFoundError: it lacks an image.
    """
    import docker
    from docker.errors import DockerException, ImageNotFound

    lacking = []
    # A client that is told the API's version asks the engine nothing before it can be closed.
    with contextlib.closing(docker.from_env(version=_API)) as engine:
        try:
            engine.ping()
            for image in (images.DATA, images.TRAINER, images.REGISTRY):
                try:
                    engine.images.get(image)
                except ImageNotFound:
                    lacking.append(image)
        except (DockerException, OSError) as error:
            raise ConnectionError(
                f"no Docker engine answers ({error}); start one, or point DOCKER_HOST at one, or run without "
                "--containers"
            ) from None
    if lacking:
        raise FileNotFoundError(
            f"the Docker engine has no image {', '.join(lacking)}; build them by make images"
        )


def container_settings(arguments: dict[str, Any], root: Path) -> dict[str, Any]:
    """What `kfp.local.DockerRunner` is given for a run, beside the image and the folder of outputs.

    A step runs as the caller, or, where that is root, as `UNPRIVILEGED`; its file system is read-only but for
    /tmp and its outputs; it has no capabilities. The log and the config's folder are mounted read-only where they
    are, the folder of an SQLite registry writable. Unless the log or the registry is remote, there is no network.

    Args:
        arguments: the pipeline's parameters, with absolute paths.
        root: folder of the run's outputs, which kfp mounts.
    """
    from docker.types import Mount

    readable = {Path(arguments["config"]).parent}
    writable: set[Path] = set()
    remote = "://" in arguments["data_root"]
    if not remote:
        readable.add(Path(arguments["data_root"]))
    uri = arguments["tracking_uri"]
    if uri.startswith(_SQLITE):
        registry = Path("/" + uri.removeprefix(_SQLITE).lstrip("/")).parent
        registry.mkdir(parents=True, exist_ok=True)
        writable.add(registry)
    else:
        remote = True
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        user = group = UNPRIVILEGED
        for folder in (*writable, root):
            _hand_over(folder, user, group)
    return {
        "user": f"{user}:{group}",
        "mounts": [
            *(Mount(str(path), str(path), "bind", read_only=True) for path in sorted(readable - writable)),
            *(Mount(str(path), str(path), "bind") for path in sorted(writable)),
        ],
        "network_mode": "host" if remote else "none",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,size=4g,mode=1777"},
        "shm_size": "1g",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
    }


def _hand_over(folder: Path, user: int, group: int) -> None:
    """Make a folder and what lies in it another user's, so that a step without privileges can write there."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, group, follow_symlinks=False)
