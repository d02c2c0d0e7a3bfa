"""Build what would be published and try it in an empty environment; nothing is uploaded.

    python docs/tools/package.py

Makes ``dist/`` with the source distribution and the wheel that is built from it, has them checked by twine, installs
the wheel into a new virtual environment with what it needs, and runs the command there, away from this folder. It ends
with the sizes. Needs a package index.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
_TRIED = (["--version"], ["summary"], ["train", "--quiet"], ["evaluate", "latest", "--images", "500"])


def run(*words: object, cwd: Path = ROOT) -> None:
    """Run a command; end with its code where it fails."""
    print("$", *(str(word).replace(f"{ROOT}/", "") for word in words), flush=True)
    if code := subprocess.run(list(map(str, words)), cwd=cwd).returncode:
        sys.exit(code)


def new_environment(folder: Path, *packages: object) -> Path:
    """Make a virtual environment with packages and return the folder of its programs."""
    run(sys.executable, "-m", "venv", folder)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *packages)
    return programs


def main() -> None:
    """Build, check, install, try, and tell the sizes."""
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="digitlab-package-") as folder:
        tools = new_environment(Path(folder, "tools"), "build", "twine")
        run(tools / "python", "-m", "build")
        files = sorted(DIST.iterdir())
        run(tools / "python", "-m", "twine", "check", "--strict", *files)
        for file in files:
            kind = "wheel" if file.suffix == ".whl" else "source"
            programs = new_environment(Path(folder, kind), file)
            for words in _TRIED:
                run(programs / "digitlab", *words, cwd=Path(folder, kind))
    for file in files:
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
