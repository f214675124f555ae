"""The short form of faults.py, and that it tells failures from what is well."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fault_commands import COMMANDS
from fault_processes import Ended
from faults import verdict_of

GOLDEN: dict[str, Any] = {"out": "", "files": {"out/a.json": "1"}}
FIX = next(command for command in COMMANDS if command.words[:2] == ("pose-data", "fix"))


@pytest.mark.parametrize(
    ("code", "err", "files", "verdict"),
    [
        (0, "", {"out/a.json": "1"}, "fine"),
        (1, "pose-data: gt.json is empty", {}, "error"),
        (2, "pose-data: gt.json is empty", {"out/a.json": "1"}, "error"),
        (0, "", {}, "wrong"),
        (0, "", {"out/a.json": "2"}, "wrong"),
        (1, "pose-data: gt.json is empty", {"out/a.json": "2"}, "wrong"),
        (1, "pose-data: it is empty", {}, "unclear"),
        (3, "pose-data: gt.json is empty", {}, "unclear"),
        (1, "Traceback (most recent call last):\n gt.json", {}, "traceback"),
        (-7, "", {}, "traceback"),
        (None, "", {}, "hang"),
    ],
)
def test_verdicts(code: int | None, err: str, files: dict[str, str], verdict: str) -> None:
    ended = Ended(code, "", err, 1.0)
    assert verdict_of(FIX, ended, GOLDEN, files, ["gt.json"])[0] == verdict


@pytest.mark.skipif(sys.platform != "linux", reason="mounts, capabilities and /proc are Linux's")
def test_some_cases() -> None:
    script = Path(__file__).with_name("faults.py")
    command = [sys.executable, script, "--short", "--cases", "30", "--seed", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith("30 cases with seed 1")
