"""``python -m components.serve``: the server's process in an image of the registry."""

import argparse
import os

from components.common.runtime.step import step


def main() -> None:
    """Serve as the arguments say; the registry is that of ``MLFLOW_TRACKING_URI``."""
    parser = argparse.ArgumentParser(prog="python -m components.serve", description=__doc__)
    parser.add_argument("--model", required=True, help="models:/NAME@ALIAS or models:/NAME/VERSION")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--prediction-log")
    arguments = parser.parse_args()
    with step("serve"):
        from components.serve.server import ServeSettings, serve

        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        serve(ServeSettings(arguments.model, uri, "0.0.0.0", arguments.port, arguments.prediction_log))


if __name__ == "__main__":
    main()
