"""tools/check_files.py refuses folders with too many files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / "tools/check_files.py"


def checked(root: Path, folder: str, names: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs the check in a repository that has these files, and the check itself."""
    (root / "tools").mkdir()
    shutil.copy(CHECK, root / "tools")
    (root / folder).mkdir(parents=True)
    for name in names:
        (root / folder / name).write_text("# Says what it does.\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    command = [sys.executable, root / "tools/check_files.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("suffix", ["py", "md"])
def test_a_folder_with_26_files_is_refused(tmp_path: Path, suffix: str) -> None:
    done = checked(tmp_path, "core/call", [f"f{k}.{suffix}" for k in range(26)])
    assert done.returncode == 1
    assert done.stderr.startswith("core/call: 26 source files and pages, expected at most 25")


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("core/call", [f"f{k}.py" for k in range(25)]),
        ("core/call", [*(f"f{k}.py" for k in range(25)), *(f"d{k}.json" for k in range(9))]),
        ("docs/decisions", [f"{k}.md" for k in range(60)]),
    ],
    ids=["25 files", "data is not counted", "an exempt folder"],
)
def test_other_folders_are_accepted(tmp_path: Path, folder: str, names: list[str]) -> None:
    done = checked(tmp_path, folder, names)
    assert (done.returncode, done.stderr) == (0, "")
