"""schemathesis finds nothing: what the description allows is answered as it says, and what it forbids is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import digitlab as dl
from tests.serving.asking import Process

pytest.importorskip("schemathesis", reason="install requirements-test.txt to run this")

N_EXAMPLES = 12


@pytest.mark.slow
def test_schemathesis_finds_nothing(server: Process, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(N_EXAMPLES), "--continue-on-failure",
        "--suppress-health-check", "all", "--seed", "1", "--no-color",
    ]  # fmt: skip
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.serving.schemathesis_hooks",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(dl.__file__).parents[1])]),
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-1_000:]
    assert "No issues found" in done.stdout
    assert server.ask("GET", "/readyz").status == 200
