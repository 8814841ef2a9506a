"""The units of deploy/systemd: what systemd says of them, and how a systemd runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers import BUILD, MODELS, ROOT
from snippets import snippets_of
from systemd_machine import Machine, reason_to_skip

UNITS = ROOT / "deploy/systemd"
FILE, PYTHON = "sidecall-file@penguins", "sidecall-python@app"
BIRD = '{"island": "Biscoe", "bill_length_mm": 48.2}\n'
AMOUNT = '{"amount": 1.5}\n'
APPLICATION = """
def model(amount: float) -> float:
    return amount + 1
"""

ANALYZE = shutil.which("systemd-analyze")
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")


def analyze(*words: object) -> tuple[int, str]:
    done = subprocess.run([ANALYZE, *map(str, words)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units, with a program that exists."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for file in folder.glob("*.service"):
        program = file.read_text().partition("ExecStart=")[2].split()[0]
        file.write_text(file.read_text().replace(program, str(BUILD / "bin/sidecall")))
    return folder


SERVICES = sorted(file.name for file in UNITS.glob("*.service"))
VERIFY = ("verify", "--man=no", "--recursive-errors=no")


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_accepts_the_unit(units, name):
    assert analyze(*VERIFY, units / name) == (0, "")


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_a_setting_that_systemd_does_not_know_is_found(units, name):
    shared = units / "sidecall-.service.d/10-server.conf"
    shared.write_text(shared.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "Unknown key 'ProtectHouse'" in analyze(*VERIFY, units / name)[1]


# systemd-analyze rates a unit from 0 to 10, and takes ten times the limit.
SECURITY = ("security", "--offline=true", "--no-pager", "--threshold=10")


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_the_unit_is_exposed_less_than_one_tenth(units, name):
    code, report = analyze(*SECURITY, units / name)
    assert code == 0, report


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_without_the_settings_that_all_share_the_unit_is_exposed(units, name):
    shutil.rmtree(units / "sidecall-.service.d")
    assert analyze(*SECURITY, units / name)[0] == 1


def installation() -> str:
    """The commands with which docs/deployment/containers.md installs the units."""
    blocks = snippets_of(ROOT / "docs/deployment/containers.md")
    [install] = [block.code for block in blocks if "systemctl enable" in block.code]
    return install


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if (reason := reason_to_skip()) is not None:
        pytest.skip(reason)
    made = Machine()
    try:
        made.write("/srv/page/penguins.onnx", (MODELS / "penguins.onnx").read_bytes())
        made.run("ln", "-s", ROOT / "deploy", "/srv/page/deploy")
        done = made.run("bash", "-ec", f"cd /srv/page\n{installation()}")
        assert (done.returncode, done.stdout[:17]) == (0, '{"label":"Gentoo"'), done.stderr
        wrong = MODELS / "verification/first_row.onnx"
        made.write("/srv/models/wrong.onnx", wrong.read_bytes())
        yield made
    finally:
        made.close()


@pytest.fixture
def running(machine: Machine) -> Iterator[Machine]:
    """The machine, on which the file is served."""
    assert machine.systemctl("start", FILE) == 0, machine.log(FILE)
    yield machine
    machine.systemctl("stop", FILE)


def predict(machine: Machine, group: str, row: str = BIRD, name: str = "penguins") -> str:
    """What the command prints for another user, whose primary group is `group`."""
    user = ["setpriv", "--reuid=64009", f"--regid={group}", "--clear-groups"]
    words = ["/usr/local/bin/sidecall", "predict", f"shm:/run/sidecall/{name}.sock", "--wait=20"]
    done = machine.run(*user, *words, text=row)
    return done.stdout + done.stderr


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_unit_that_has_started_answers_the_users_of_its_group(running):
    assert running.show(FILE, "StatusText") == "serving at shm:/run/sidecall/penguins.sock"
    assert predict(running, "app").startswith('{"label":"Gentoo"')


def test_a_user_of_another_group_is_refused(running):
    assert "this user has no permission to use its socket" in predict(running, "users")


def test_the_server_runs_without_rights(running):
    process = running.show(FILE, "MainPID")
    status = running.run("cat", f"/proc/{process}/status").stdout.splitlines()
    user = running.run("id", "--user", "sidecall").stdout.strip()
    assert user != "0"
    for line in (
        f"Uid:\t{user}\t{user}\t{user}\t{user}",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ):
        assert line in status
    reach = running.run("nsenter", f"--target={process}", "--net", "cat", "/proc/net/dev").stdout
    assert [line.split(":")[0].strip() for line in reach.splitlines()[2:]] == ["lo"]


def test_a_server_that_was_killed_is_started_again(running):
    first = running.show(FILE, "MainPID")
    running.run("kill", "-KILL", first)
    wait_until(lambda: running.show(FILE, "NRestarts") == "1")
    assert predict(running, "app").startswith('{"label":"Gentoo"')
    assert running.show(FILE, "MainPID") != first
    # The next pause would be longer than the first one.
    assert running.show(FILE, "RestartUSecNext") != running.show(FILE, "RestartUSec") == "1s"


def test_a_server_that_hangs_is_started_again(running):
    # A shorter interval, so that the test need not wait for half a minute.
    drop_in = f"/run/systemd/system/{FILE}.service.d"
    running.write(f"{drop_in}/soon.conf", "[Service]\nWatchdogSec=5\n")
    running.systemctl("daemon-reload")
    try:
        running.systemctl("restart", FILE)
        first = running.show(FILE, "MainPID")
        running.run("kill", "-STOP", first)
        wait_until(lambda: running.show(FILE, "MainPID") not in {first, "0"})
        assert predict(running, "app").startswith('{"label":"Gentoo"')
    finally:
        running.run("rm", "-r", drop_in)
        running.systemctl("daemon-reload")


def test_a_unit_that_is_stopped_ends_well_and_leaves_no_socket(running):
    running.systemctl("stop", FILE)
    assert running.show(FILE, "Result") == "success"
    assert running.run("ls", "-A", "/run/sidecall").stdout == ""


def test_servers_of_several_models_share_the_folder_of_the_sockets(running):
    running.write("/srv/models/other.onnx", (MODELS / "penguins.onnx").read_bytes())
    assert running.systemctl("start", "sidecall-file@other") == 0
    assert running.systemctl("stop", "sidecall-file@other") == 0
    assert predict(running, "app").startswith('{"label":"Gentoo"')


@pytest.mark.parametrize("name", ["wrong", "absent"])
def test_a_model_that_is_refused_is_not_tried_again(machine, name):
    unit = f"sidecall-file@{name}"
    assert machine.systemctl("start", unit) == 1
    assert machine.show(unit, "ActiveState") == "failed"
    assert (machine.show(unit, "ExecMainStatus"), machine.show(unit, "NRestarts")) == ("3", "0")


@pytest.fixture(scope="module")
def python(machine: Machine) -> Machine:
    """The machine, on which the Python of the tests may serve."""
    # It may lie in a home folder, which the unit hides.
    machine.run("chmod", "o+x", *Path(sys.base_prefix).parents, *ROOT.parents)
    setting = "[Service]\nProtectHome=no\n"
    machine.write("/run/systemd/system/sidecall-python@.service.d/test.conf", setting)
    machine.systemctl("daemon-reload")
    return machine


def write_application(machine: Machine, name: str, text: str) -> None:
    machine.write(f"/srv/models/{name}/app.py", text)
    machine.run("ln", "-sfn", sys.prefix, f"/srv/models/{name}/.venv")


def test_a_function_is_served_by_workers_and_drains(python):
    write_application(python, "app", APPLICATION)
    assert python.systemctl("start", PYTHON) == 0, python.log(PYTHON)
    assert predict(python, "app", AMOUNT, "app") == '{"prediction":2.5}\n'
    assert "no permission" in predict(python, "users", AMOUNT, "app")
    python.systemctl("stop", PYTHON)
    assert python.show(PYTHON, "Result") == "success"


def test_a_module_that_raises_an_exception_is_tried_again(python):
    unit = "sidecall-python@late"
    write_application(python, "late", "raise OSError('the database does not answer')\n")
    python.systemctl("start", "--no-block", unit)
    wait_until(lambda: python.show(unit, "NRestarts") != "0")
    assert python.show(unit, "ExecMainStatus") in {"0", "4"}  # 0 while it runs
    write_application(python, "late", APPLICATION)
    assert predict(python, "app", AMOUNT, "late") == '{"prediction":2.5}\n'
    python.systemctl("stop", unit)


def test_a_function_that_is_not_there_is_not_tried_again(python):
    unit = "sidecall-python@empty"
    write_application(python, "empty", "")
    assert python.systemctl("start", unit) == 1
    assert python.show(unit, "ActiveState") == "failed"
    assert (python.show(unit, "ExecMainStatus"), python.show(unit, "NRestarts")) == ("1", "0")
