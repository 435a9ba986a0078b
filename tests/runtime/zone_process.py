"""A zone for the supervisor's tests: writes its process id, and ends, lingers or leaves a child as it is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

how, directory = sys.argv[1], Path(sys.argv[2])
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "with-child":
    child = subprocess.Popen([sys.executable, __file__, "plain", str(directory / "child")])  # noqa: S603  this very file
if how == "slow-to-stop":

    def slowly(_number: int, _frame: object) -> None:
        time.sleep(0.3)
        (directory / "stopped").write_text(str(time.monotonic_ns()))
        sys.exit(0)

    signal.signal(signal.SIGTERM, slowly)
if how == "tells-when-stopped":

    def tell(_number: int, _frame: object) -> None:
        (directory / "stopped").write_text(str(time.monotonic_ns()))
        sys.exit(0)

    signal.signal(signal.SIGTERM, tell)
directory.mkdir(parents=True, exist_ok=True)
(directory / f"{os.getpid()}.pid").touch()
if how == "dies":
    sys.exit(3)
while True:
    signal.pause()
