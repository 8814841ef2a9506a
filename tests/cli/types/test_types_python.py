"""sidecall types --lang python and --lang pydantic: the text, its names and its refusals.

test_types_values.py executes what is written; tests/core covers odd lists of values.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import models
import pytest
from generated_types import LANGUAGES, ODD_NAMES, load, opened_vectors, save, types_of

JOBS_DICTS = '''\
"""Model 'jobs', version 1.

Id: {id}
Written by `sidecall types --lang python`.
Generate this file again when the model changes.
"""

from typing import Literal, NotRequired, TypedDict


class JobsFeatures(TypedDict):
    """A record that `predict` takes."""

    age: NotRequired[float | None]
    income: float
    kids: int
    job: Literal["clerk", "nurse", "teacher"]


class JobsProbabilities(TypedDict):
    """One value for each class."""

    no: float
    yes: float


class JobsAnswer(TypedDict):
    """The record that `predict` returns."""

    label: Literal["no", "yes"]
    probabilities: JobsProbabilities
'''
JOBS_MODELS = '''\
"""Model 'jobs', version 1.

Id: {id}
Written by `sidecall types --lang pydantic`.
Generate this file again when the model changes.

    record = JobsFeatures(...).model_dump(by_alias=True)
    answer = JobsAnswer.model_validate(model.predict(record))
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class JobsFeatures(BaseModel):
    """A record that `predict` takes. A missing value is None."""

    model_config = ConfigDict(extra="forbid", strict=True)

    age: float | None = None
    # Does not take NaN.
    income: float
    kids: Int64
    job: Literal["clerk", "nurse", "teacher"]


class JobsProbabilities(BaseModel):
    """One value for each class."""

    model_config = ConfigDict(extra="forbid", strict=True)

    no: float
    yes: float


class JobsAnswer(BaseModel):
    """The record that `predict` returns."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: Literal["no", "yes"]
    probabilities: JobsProbabilities
'''


def test_the_types_of_a_classifier_are_exactly_this_text(sidecall, jobs):
    identity = json.loads(sidecall("info", jobs, "--json").out)["id"]
    for language, text in [("python", JOBS_DICTS), ("pydantic", JOBS_MODELS)]:
        done = sidecall("types", jobs, "--lang", language)
        assert (done.code, done.err) == (0, "")
        assert done.out == text.format(id=identity)
        assert sidecall("types", jobs, "--lang", language, "--name", "Jobs").out == done.out


def test_values_that_a_type_cannot_refuse_have_a_comment(sidecall, tmp_path):
    missing = {"nullable": True, "missing": {"value": -1}}
    missing_zero = {"nullable": True, "missing": {"value": 0}}
    path = save(
        tmp_path / "comments.onnx",
        [
            {"name": "a", "type": "float64", "domain": [[0, 1], [2, 3]]},
            {"name": "a0", "type": "float64", "domain": [["-inf", "inf"]]},
            {"name": "b", "type": "float32", "allowed": [1, 2.5, 0.1]},
            {"name": "c", "type": "int64"} | missing,
            {"name": "d", "type": "int64", "domain": [[-1, 5]]} | missing,
            {"name": "d0", "type": "int64", "domain": [[0, 5]]} | missing,
            {"name": "d2", "type": "int64", "domain": [[-1, 0], [2, 3]]} | missing_zero,
            {"name": "e", "type": "float64", "allowed": list(range(9))},
            {"name": "f", "type": "int64", "allowed": [2**53, 2**54]},
            {"name": "g", "type": "string", "allowed": []},
            {"name": "h", "type": "string", "empty": False},
            {"name": "i", "type": "int64", "allowed": []} | missing,
        ],
    )
    dicts = sidecall("types", path, "--lang", "python").out
    assert (
        dicts[dicts.index("    # ") : dicts.index("\n\n\nclass MAnswer")]
        == """\
    # Takes a number from 0 to 1 or from 2 to 3.
    a: float
    # Takes a number from -inf to inf.
    a0: float
    # Takes 1, 2.5 or 0.1.
    b: float
    # Does not take -1, which stands for a missing value.
    c: NotRequired[int | None]
    # Takes a number from -1 to 5. Does not take -1, which stands for a missing value.
    d: NotRequired[int | None]
    # Takes a number from 0 to 5.
    d0: NotRequired[int | None]
    # Takes a number from -1 to 0 or from 2 to 3. Does not take 0, which stands for a missing value.
    d2: NotRequired[int | None]
    # Takes only 9 numbers.
    e: float
    # Takes 9007199254740992 or 18014398509481984.
    f: int
    g: Never
    # Takes a string that is not empty.
    h: str
    i: NotRequired[None]"""
    )
    checked = sidecall("types", path, "--lang", "pydantic").out
    assert (
        checked[checked.index("    # ") : checked.index("\n\n\nclass MAnswer")]
        == """\
    # Takes a number from 0 to 1 or from 2 to 3.
    a: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)]
    # Does not take NaN.
    a0: float
    # Takes 1, 2.5 or 0.1.
    b: float
    # Does not take -1, which stands for a missing value.
    c: Int64 | None = None
    # Does not take -1, which stands for a missing value.
    d: Annotated[int, Field(ge=-1, le=5)] | None = None
    d0: Annotated[int, Field(ge=0, le=5)] | None = None
    # Takes a number from -1 to 0 or from 2 to 3. Does not take 0, which stands for a missing value.
    d2: Annotated[int, Field(ge=-1, le=3)] | None = None
    # Takes only 9 numbers.
    e: float
    # Takes 9007199254740992 or 18014398509481984.
    f: Int64
    # Takes no value.
    g: str
    h: Annotated[str, Field(min_length=1)]
    i: None = None"""
    )
    load(dicts)
    load(checked)


USES = {
    "right.py": """\
record: JobsFeatures = {"income": 1, "kids": 2, "job": "nurse", "age": None}
record["age"] = 1.5
answer = cast(JobsAnswer, model.predict(record))
label: Literal["no", "yes"] = answer["label"]
number: float = answer["probabilities"]["yes"]
several = cast(list[JobsAnswer], model.predict([record, record]))
""",
    "unknown_key.py": 'record: JobsFeatures = {"income": 1, "kids": 2, "job": "nurse", "agee": 1}\n',
    "wrong_type.py": 'record: JobsFeatures = {"income": "1", "kids": 2, "job": "nurse"}\n',
    "no_such_class.py": """\
answer = cast(JobsAnswer, model.predict({}))
if answer["label"] == "perhaps":
    pass
""",
    "absent.py": 'record: JobsFeatures = {"income": 1, "job": "nurse"}\n',
    "no_such_job.py": 'record: JobsFeatures = {"income": 1, "kids": 2, "job": "pilot"}\n',
}


def mypy(folder: Path, *files: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *files],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_a_type_checker_accepts_right_uses_of_the_dicts_and_refuses_wrong_ones(
    sidecall, jobs, tmp_path
):
    head = "from typing import Any, Literal, cast\nfrom jobs import JobsAnswer, JobsFeatures\n"
    # Stands for sidecall.Model, so that the type checker need not read the package.
    head += "class Model:\n    def predict(self, records: Any) -> Any: ...\nmodel = Model()\n"
    folder = tmp_path / "uses"
    folder.mkdir()
    (folder / "jobs.py").write_text(sidecall("types", jobs, "--lang", "python").out)
    for name, body in USES.items():
        (folder / name).write_text(head + body)
    lines = mypy(folder, "jobs.py", *USES).splitlines()
    found = {line.split(":")[0]: line for line in lines if "error:" in line}
    assert set(found) == set(USES) - {"right.py"}, lines
    assert 'Extra key "agee"' in found["unknown_key.py"]
    assert 'item "income" has type "float"' in found["wrong_type.py"]
    assert "Non-overlapping equality check" in found["no_such_class.py"]
    assert 'Missing key "kids"' in found["absent.py"]
    assert "Literal['clerk', 'nurse', 'teacher']" in found["no_such_job.py"]


@pytest.mark.long
def test_a_type_checker_accepts_the_types_of_all_vectors(sidecall, tmp_path):
    files = []
    for i, (path, _) in enumerate(opened_vectors()):
        for language in LANGUAGES:
            files.append(f"{language}_{i}.py")
            (tmp_path / files[-1]).write_text(types_of(sidecall, path, language))
    odd = save(
        tmp_path / "odd.onnx",
        [{"name": name, "type": "float32"} for name in ODD_NAMES],
        classes=ODD_NAMES,
    )
    for language in LANGUAGES:
        files.append(f"{language}_odd.py")
        (tmp_path / files[-1]).write_text(sidecall("types", odd, "--lang", language).out)
    assert mypy(tmp_path, *files) == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_without_a_contract_has_no_records(sidecall, tmp_path, language):
    models.bare(tmp_path / "bare.onnx")
    done = sidecall("types", "bare.onnx", "--lang", language)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "sidecall: bare.onnx: records need a contract and the file carries none: "
        "export the model with sidecall.export\n"
    )


@pytest.mark.parametrize("name", ["", "a b", "1F", "F$", "größe", "__F", "F\n", 'F"'])
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_invalid_name_is_refused(sidecall, jobs, name, language):
    done = sidecall("types", jobs, "--lang", language, "--name", name, "--engine", "native")
    message = "name: expected letters, digits or _, not beginning with a digit or __"
    assert (done.code, done.out) == (1, "")
    printed = name.replace("\n", "\\n")
    assert done.err == f"sidecall: jobs.onnx: {message}, got '{printed}'\n"


def test_a_keyword_may_begin_the_names_of_classes(sidecall, jobs):
    for language in LANGUAGES:
        done = sidecall("types", jobs, "--lang", language, "--name", "class")
        assert "class classFeatures(" in done.out
        load(done.out)
