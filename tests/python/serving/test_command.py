"""`python -m sidecall.serving serve` serves Python objects; an exec: URI starts a program."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from sidecall import errors


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Any:
    def start(*words: object) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "sidecall.serving", "serve", *map(str, words)]
        return subprocess.Popen(
            line,
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def refusal(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, err


def test_an_object_of_a_module_is_served(command, at):
    process = command("serving_parts:double", "--at", at, "--json-log")
    client = sidecall.open(at, wait=60)
    assert client.predict({"amount": 21}) == {"prediction": 42.0}
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "serve.ended"


def test_the_exit_code_is_right_if_standard_error_cannot_be_written(environment, tmp_path):
    """A service manager reads the code. /dev/full is a disk that is always full."""
    with Path("/dev/full").open("w") as full:
        for target, option, code in (
            ("os:getcwd", "--json-log", 3),
            ("serving_parts:double", "--json-log", 4),
            ("serving_parts:double", "--no-such-option", 1),
        ):
            words = ["-m", "sidecall.serving", "serve", target, option, "--at", "shm:/no/folder/x"]
            done = subprocess.run(
                [sys.executable, *words], env=environment, cwd=tmp_path, stderr=full, timeout=60
            )
            assert done.returncode == code


def test_a_module_of_the_current_folder_is_found(command, at, tmp_path):
    (tmp_path / "local_app.py").write_text("def half(x: float) -> float:\n    return x / 2\n")
    process = command("local_app:half", "--at", at, "--workers", 1)
    assert sidecall.open(at, wait=60).predict({"x": 5}) == {"prediction": 2.5}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_trusted_pickle_is_served_with_its_data(command, at, tmp_path):
    import joblib
    from sklearn.linear_model import LogisticRegression

    rows = np.arange(40.0).reshape(20, 2)
    model = LogisticRegression().fit(rows, [0] * 10 + [1] * 10)
    joblib.dump(model, tmp_path / "model.joblib")
    np.save(tmp_path / "rows.npy", rows)
    assert refusal(command("model.joblib", "--at", at, "--data", "rows.npy"))[0] == 1
    process = command(
        "model.joblib",
        "--at",
        at,
        "--data",
        "rows.npy",
        "--trust-pickle",
        "--name",
        "seven",
        "--version",
        "7",
    )
    client = sidecall.open(at, wait=60)
    assert (client.name, client.version) == ("seven", "7")
    assert client.predict({"x0": 3.0, "x1": 4.0})["label"] == model.predict([[3.0, 4.0]])[0]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 1, "the following arguments are required"),
        (
            ["serving_parts:nothing", "--at", "AT"],
            1,
            "has no object",
        ),
        (["no_module_here:x", "--at", "AT"], 1, "module 'no_module_here' does not exist"),
        (["nothing.pkl", "--at", "AT", "--trust-pickle"], 3, "no such file"),
        (["serving_parts:double"], 1, "SIDECALL_FD"),
        (
            ["serving_parts:double", "--at", "double"],
            1,
            "at: expected shm:NAME or shm:///path, got 'double'",
        ),
        (
            ["serving_parts:double", "--at", "AT", "--workers", "0"],
            1,
            "--workers: expected a whole number from 1 to 1024",
        ),
        (
            ["serving_parts:double", "--at", "AT", "--threads", "0"],
            1,
            "--threads: expected a whole number from 1 to 1024, got '0'",
        ),
        (
            ["serving_parts:double", "--at", "AT", "--timeout", "nan"],
            1,
            "--timeout: expected a positive number of seconds, got 'nan'",
        ),
        (
            ["serving_parts:double", "--at", "AT", "--max-call", "1e99"],
            1,
            "--max-call: expected a number from 0.001 to 1.04858e+06, got '1e99'",
        ),
        (
            ["serving_parts:double", "--at", "AT", "--copy", "never"],
            1,
            "--copy: expected auto or always, got 'never'",
        ),
        (
            ["serving_parts:double", "--at", "AT", "--nonsense"],
            1,
            "unrecognized arguments: --nonsense",
        ),
        (["serving_parts:double", "--at", "AT", "--contract", "none.json"], 3, "no such file"),
    ],
)
def test_wrong_usage_gives_an_exit_code_and_a_message(command, at, words, code, message):
    got, err = refusal(command(*[at if word == "AT" else word for word in words]))
    assert got == code, err
    assert message in err
    assert err.startswith("sidecall: ")
    assert "Traceback" not in err


def test_an_exception_of_the_module_ends_with_4_so_that_a_restart_may_help(command, at, tmp_path):
    (tmp_path / "late.py").write_text("raise OSError('the database does not answer')\n")
    code, err = refusal(command("late:model", "--at", at))
    assert code == 4, err
    assert 'late.py", line 1, in <module>' in err
    assert err.endswith("\nOSError: the database does not answer\n")


def test_a_function_is_described_by_json_lines(command, at, tmp_path):
    (tmp_path / "greeter.py").write_text(
        "def greet(record):\n    return 'hello ' + (record['name'] or 'you')\n"
    )
    (tmp_path / "rows.jsonl").write_text('{"name": "007"}\n{"name": null}\n')
    process = command("greeter:greet", "--at", at, "--data", "rows.jsonl")
    assert sidecall.open(at, wait=60).predict([{"name": "1"}, {}]) == [
        {"prediction": "hello 1"},
        {"prediction": "hello you"},
    ]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_missing_data_file_is_refused(command, at, tmp_path):
    import joblib
    from sklearn.linear_model import Ridge

    joblib.dump(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path / "model.pkl")
    code, err = refusal(command("model.pkl", "--at", at, "--trust-pickle", "--data", "none.csv"))
    assert code == 1
    assert "none.csv: no such file" in err


def test_an_estimator_that_needs_rows_names_the_option_for_them(command, at, tmp_path):
    import joblib
    import pandas as pd
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.DataFrame({"city": ["Bonn", "Kiel", "Bonn"]})
    model = make_pipeline(OneHotEncoder(handle_unknown="error"), LinearRegression())
    joblib.dump(model.fit(rows, [1.0, 2.0, 3.0]), tmp_path / "model.pkl")
    code, err = refusal(command("model.pkl", "--at", at, "--trust-pickle"))
    assert code == 2, err
    assert err.endswith("synthetic numbers: pass rows as in training with --data FILE\n")


def test_parquet_without_pyarrow_gives_one_line(command, at, tmp_path, environment):
    import joblib
    from sklearn.linear_model import Ridge

    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "pyarrow.py").write_text("raise ModuleNotFoundError(name='pyarrow')\n")
    environment["PYTHONPATH"] = f"{hidden}:{environment['PYTHONPATH']}"
    joblib.dump(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path / "model.pkl")
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    words = ["model.pkl", "--at", at, "--trust-pickle", "--data", "rows.parquet"]
    code, err = refusal(command(*words))
    assert (code, err) == (
        4,
        "sidecall: rows.parquet: reading Parquet needs pyarrow: pip install pyarrow\n",
    )


def test_exec_starts_a_program_that_serves(environment, tmp_path, monkeypatch):
    """No server runs yet: opening the model starts the server, and closing the model ends it."""
    (tmp_path / "served.py").write_text(
        "import sidecall\ndef double(amount: float) -> float:\n    return 2 * amount\n"
        "if __name__ == '__main__':\n    sidecall.serve(double)\n"
    )
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    with sidecall.open(
        f"exec:{sys.executable} {tmp_path}/served.py", allow_exec=True, wait=60
    ) as model:
        assert model.predict({"amount": 21}) == {"prediction": 42.0}
    with pytest.raises(errors.InvalidArgument):
        sidecall.open(f"exec:{sys.executable} {tmp_path}/served.py")
