"""One training process of several: ``python -m components.train.local.worker SNAPSHOT TRAIN_SET OUT [CURVES]``."""

import logging
import os
import sys
from pathlib import Path

from components.train.local.torchrun import SECRETS_VARIABLE, member_of_a_group


def main(arguments: list[str]) -> None:
    """Train as the process that torchrun's environment says; what it raises ends the process."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    with member_of_a_group():
        # Torch takes seconds to be imported, in which the process that started this one may be killed.
        from components.train.train import train_in_process

        _take_secrets()
        train_in_process(*arguments, member=True)


def _take_secrets() -> None:
    """Make each file of the folder that ``RECAP_SECRETS`` names an environment variable of its name."""
    folder = os.environ.get(SECRETS_VARIABLE)
    for path in Path(folder).glob("[!.]*") if folder else ():
        os.environ.setdefault(path.name, path.read_text().strip())


if __name__ == "__main__":
    main(sys.argv[1:])
