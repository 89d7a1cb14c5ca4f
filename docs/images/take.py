"""The documents' pictures: ``python docs/images/take.py WORKSPACE``, of its newest run. Needs chromium."""

import io
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PORT = 5099
PARTS = {
    "report": ("evaluation", 1320, 1100),
    "run": ("index", 1000, 430),
    "data": ("data", 1300, 900),
    "calibration": ("calibration", 1200, 800),
}


def take(name: str, url: str, width: int, height: int, window: int = 1200) -> None:
    """A picture of a page's upper left, in 64 colours."""
    shot = HERE / f".{name}.png"
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=15000"]
    size = [f"--window-size={window},{height}", f"--screenshot={shot}"]
    subprocess.run(["chromium", *options, *size, url], check=True, capture_output=True)
    picture = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB").crop((0, 0, width, height))
    picture.quantize(64).save(HERE / f"{name}.png", optimize=True)
    shot.unlink()


def main(workspace: Path) -> None:
    """Take the pages of the newest run, and MLflow's page of the newest version."""
    reports = max(page.parent for page in workspace.glob("runs/*/reports/evaluation.html"))
    for name, (page, width, height) in PARTS.items():
        take(name, (reports / f"{page}.html").resolve().as_uri(), width, height, window=width)
    store = f"sqlite:///{(workspace / 'mlflow.db').resolve()}"
    command = [Path(sys.executable).with_name("mlflow"), "server", "--backend-store-uri", store]
    server = subprocess.Popen(
        [*command, "--port", str(PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(60):
            time.sleep(1)
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health")
                break
        version = len(list(workspace.glob("runs/*/reports/evaluation.html")))
        # The right side is MLflow's assistant.
        take("mlflow", f"http://127.0.0.1:{PORT}/#/models/recap/versions/{version}", 955, 1100, window=1300)
    finally:
        server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
