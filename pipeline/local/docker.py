"""Settings of the steps' containers on this machine: user, mounts, network, and minimal privileges."""

import contextlib
import os
from pathlib import Path
from typing import Any

from components.common import registry
from components.steps import STEPS, image_name

UNPRIVILEGED = 10001
"""User and group of a step where the caller is root; the images' own."""

_CREDENTIALS = ("AWS_", "MLFLOW_TRACKING_")
_CHECKPOINTS = "RECAP_CHECKPOINTS"
_API = "1.41"


def check_images() -> None:
    """Check that a Docker engine answers and has the steps' images.

    Raises:
        ConnectionError: no engine answers.
        FileNotFoundError: it lacks an image.
    """
    import docker
    from docker.errors import DockerException, ImageNotFound

    lacking = []
    # With an explicit API version the client sends no request before it can be closed.
    with contextlib.closing(docker.from_env(version=_API)) as engine:
        try:
            engine.ping()
            for image in sorted({image_name(step.image) for step in STEPS}):
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


def container_settings(arguments: dict[str, Any], root: Path, workspace: Path) -> dict[str, Any]:
    """Settings of `kfp.local.DockerRunner` for a run, apart from the image and the output folder.

    A step runs as the caller, or, if that is root, as `UNPRIVILEGED`; its file system is read-only but for
    /tmp and its outputs; it has no capabilities. The log and the config are mounted read-only where they are, the
    folders of an SQLite registry and of training's checkpoints writable. Network access, and the
    environment's credentials for object stores and MLflow, are given only if the log or the registry is remote.

    Args:
        arguments: the pipeline's parameters, with absolute paths.
        root: folder of the run's outputs, which kfp mounts.
        workspace: the folder of runs, and of the registry by default.

    Raises:
        ValueError: steps could not reach or write the registry.
    """
    from docker.types import Mount

    user, group = os.geteuid(), os.getegid()
    if user == 0:
        user = group = UNPRIVILEGED
    root.mkdir(parents=True, exist_ok=True)
    _change_owner(root, user, group)
    mounts = [Mount(arguments["config"], arguments["config"], "bind", read_only=True)]
    remote = "://" in arguments["data_root"]
    if not remote:
        mounts.append(Mount(arguments["data_root"], arguments["data_root"], "bind", read_only=True))
    if database := registry.sqlite_path(arguments["tracking_uri"]):
        kept = _registry_folder(database, workspace.resolve(), user, group)
        mounts.insert(0, Mount(str(kept), str(kept), "bind"))
    else:
        remote = True
    environment = {
        name: value for name, value in os.environ.items() if remote and name.startswith(_CREDENTIALS)
    }
    if checkpoints := os.environ.get(_CHECKPOINTS):
        environment[_CHECKPOINTS] = checkpoints
        mounts.append(Mount(checkpoints, checkpoints, "bind"))
        _make_writable(Path(checkpoints), workspace.resolve(), user, group)
    return {
        "user": f"{user}:{group}",
        "mounts": mounts,
        "network_mode": "host" if remote else "none",
        "environment": environment,
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,size=4g,mode=1777"},
        "shm_size": "1g",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
    }


def _registry_folder(database: Path, workspace: Path, user: int, group: int) -> Path:
    """The folder of an SQLite registry, which must be writable for the steps' user; fixed in the workspace."""
    if not database.is_absolute():
        raise ValueError(
            f"tracking_uri: {registry.sqlite_uri(database)} is a relative path, which a container cannot follow; "
            f"write {registry.sqlite_uri(database.absolute())}"
        )
    folder = database.parent
    if not folder.exists():
        folder.mkdir(parents=True)
        _change_owner(folder, user, group)
    if folder == workspace:
        artifacts = folder / "artifacts"
        for path in (folder, *folder.glob(f"{database.name}*"), artifacts, *artifacts.rglob("*")):
            _change_owner(path, user, group)
    if folder.stat().st_uid != user:
        raise ValueError(
            f"tracking_uri: {folder} is not user {user}'s, as whom the steps run; give the folder to that user "
            f"(chown -R {user}:{group}), or name another registry"
        )
    return folder


def _make_writable(checkpoints: Path, workspace: Path, user: int, group: int) -> None:
    """Make the checkpoint folder, and the workspace's existing checkpoints, writable for the steps' user."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    if checkpoints.parent == workspace:
        for path in (checkpoints, *checkpoints.rglob("*")):
            _change_owner(path, user, group)


def _change_owner(path: Path, user: int, group: int) -> None:
    """Change the owner of a file or folder to the steps' user, if the caller is root."""
    if os.geteuid() == 0 and path.exists():
        os.chown(path, user, group, follow_symlinks=False)
