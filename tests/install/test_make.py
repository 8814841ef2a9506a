"""What make does: its steps show how far they are, and the demo makes only what it uses."""

import os
import pty
import subprocess
from pathlib import Path

from .conftest import ROOT, run

QUIETLY = ROOT / "tools" / "quietly.sh"


def read_terminal(descriptor: int) -> str:
    output = b""
    while True:
        try:
            part = os.read(descriptor, 4096)
        except OSError:  # Linux reports the end of a pseudo terminal in this way
            part = b""
        if not part:
            return output.decode()
        output += part


def test_a_step_shows_its_last_line_of_output_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    # The step ends as soon as its line has been shown, however slow the machine is.
    step = f"echo compiling; until test -e {tmp_path}/shown; do sleep 0.1; done; echo done"
    command = [QUIETLY, tmp_path, "step", "building", "sh", "-c", step]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        output = ""
        while "compiling" not in output:
            output += os.read(ours, 4096).decode()
        (tmp_path / "shown").touch()
        output += read_terminal(ours)
        assert process.wait() == 0
    os.close(ours)
    assert output.startswith("-- building")
    assert " s  compiling" in output
    assert (tmp_path / "step.log").read_text(encoding="utf-8") == "compiling\ndone\n"


def test_a_step_that_succeeds_prints_one_line_without_a_terminal(tmp_path: Path) -> None:
    assert run(QUIETLY, tmp_path, "step", "building", "echo", "compiled") == "-- building\n"


def test_a_step_that_fails_shows_its_output_and_keeps_its_exit_code(tmp_path: Path) -> None:
    command = "echo one; echo error: two >&2; exit 3"
    output = run(QUIETLY, tmp_path, "step", "building", "sh", "-c", command, expect=3)
    assert "2:error: two" in output
    assert f"-- failed: building; the last lines of {tmp_path}/step.log:\none\n" in output


def dry_run(*targets: str) -> str:
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return run("make", "-C", ROOT, "--dry-run", "--always-make", *targets, env=environment)


def test_the_demo_builds_and_installs_only_what_it_uses() -> None:
    commands = dry_run("demo-setup")
    assert (
        "--target sidecall sidecall-cli sidecall-node sidecall-python demo-c demo-cpp" in commands
    )
    assert commands.count("cmake --build") == 1
    for other in ("requirements.py test", "requirements.py bench", "npm-peers", "peers.py"):
        assert other not in commands
        assert other in dry_run("setup")


def test_each_kind_of_package_builds_only_its_own_targets() -> None:
    python, node = dry_run("package-python"), dry_run("package-node")
    assert "sidecall-python sidecall-cli" in python
    assert "sidecall-node" not in python
    assert "sidecall-node sidecall-cli" in node
    assert "sidecall-python" not in node
    assert "cmake --build build " not in python + node
    for name, others in {
        "go": ("rust", "java"),
        "rust": ("go", "java"),
        "java": ("go", "rust"),
    }.items():
        commands = dry_run(f"package-{name}")
        assert "natives.sh" in commands
        assert f"tools/package/{name}.py" in commands
        for other in (*(f"package/{other}.py" for other in others), "sdist", "npm-pack"):
            assert other not in commands
