"""One training process of several: ``python -m components.train.local.worker SNAPSHOT TRAIN_SET OUT [CURVES]``."""

import logging
import os
import sys
from pathlib import Path

from components.train.local.torchrun import SECRETS_VARIABLE, report_failure


def main(arguments: list[str]) -> None:
    """Train as the process with the rank in torchrun's environment; an exception ends the process."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    with report_failure():
        # Torch takes seconds to import, in which the process that started this one may be killed.
        from components.train.train import train_in_process

        _export_secrets()
        train_in_process(*arguments, member=True)


def _export_secrets() -> None:
    """Set an environment variable for each file of the folder in ``RECAP_SECRETS``."""
    folder = os.environ.get(SECRETS_VARIABLE)
    for path in Path(folder).glob("[!.]*") if folder else ():
        os.environ.setdefault(path.name, path.read_text().strip())


if __name__ == "__main__":
    main(sys.argv[1:])
