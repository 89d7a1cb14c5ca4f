"""One of the processes that train together: ``python -m components.train.worker SNAPSHOT TRAIN_SET OUT [CURVES]``."""

import logging
import sys

from components.train.processes import member_of_a_group
from components.train.train import train_in_process


def main(arguments: list[str]) -> None:
    """Train as the process that torchrun's environment says; what it raises ends the process."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    with member_of_a_group():
        train_in_process(*arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
