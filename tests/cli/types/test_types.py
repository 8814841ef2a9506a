"""sidecall types: the declaration, compared literally, its names and its refusals.

tests/core covers odd names and classes, tests/node compiles the declarations.
"""

from __future__ import annotations

import json

import models
import pytest
from generated_types import save, types_of

JOBS = """\
import type {{ Tensor, TensorLike }} from 'sidecall'

/**
 * Model 'jobs', version 1, id {id}.
 * Written by `sidecall types`, for `open<Jobs>(...)`.
 * Generate this file again when the model changes.
 */
export interface Jobs {{
  /** A record that `predict` takes. */
  features: {{
    age?: number | null
    income: number
    kids: number | bigint
    job: 'clerk' | 'nurse' | 'teacher'
  }}
  /** The record that `predict` returns. */
  answer: {{
    label: 'no' | 'yes'
    probabilities: {{
      no: number
      yes: number
    }}
  }}
  /** Tensors that `run` takes. */
  inputs: {{
    age: TensorLike<Float32Array | Float64Array>
    income: TensorLike<Float32Array | Float64Array>
    kids: TensorLike<BigInt64Array>
    job: TensorLike<string[]>
  }}
  /** Tensors that `run` returns. */
  outputs: {{
    label: Tensor<string[]>
    probabilities: Tensor<Float32Array>
  }}
  /** The inputs of a call. */
  views: {{
    readonly age: Float32Array
    readonly income: Float32Array
    readonly kids: BigInt64Array
    job: TensorLike<string[]> | undefined
  }}
}}
"""


def test_the_declaration_of_a_classifier_is_exactly_this_text(sidecall, jobs):
    done = sidecall("types", jobs)
    assert (done.code, done.err) == (0, "")
    assert done.out == JOBS.format(id=json.loads(sidecall("info", jobs, "--json").out)["id"])
    assert sidecall("types", jobs, "--lang", "typescript", "--name", "Jobs").out == done.out


def test_the_option_name_names_the_interface(sidecall, jobs):
    done = sidecall("types", jobs, "--name", "Applicant")
    assert (done.code, done.err) == (0, "")
    assert "export interface Applicant {" in done.out
    assert "open<Applicant>" in done.out


@pytest.mark.parametrize(
    ("file", "name"),
    [("bare.onnx", "Bare"), ("price model.v2.onnx", "PriceModelV2"), ("7", "Model7")],
)
def test_the_interface_of_a_file_without_a_contract_has_the_file_name(
    sidecall, tmp_path, file, name
):
    models.bare(tmp_path / file)
    done = sidecall("types", file)
    assert (done.code, done.err) == (0, "")
    assert f"export interface {name} {{" in done.out
    assert "  features: never\n" in done.out
    assert "    x: TensorLike<Float32Array | Float64Array>\n" in done.out


def test_a_feature_with_a_name_that_objects_inherit_is_required(sidecall, tmp_path):
    """Otherwise the compiler refuses every record without it."""
    missing = {"type": "float64", "nullable": True, "missing": "nan"}
    features = [{"name": name, **missing} for name in ("toString", "other")]
    text = types_of(sidecall, save(tmp_path / "m.onnx", features), "typescript")
    about = "Write null for a missing value: every object inherits this name."
    assert f"    /** {about} */\n    toString: number | null\n    other?: number | null\n" in text


def test_integer_classes_and_regressors_have_types(sidecall, tmp_path):
    models.classifier(tmp_path / "ints.onnx", classes=(3, 7))
    assert "    label: 3 | 7\n" in sidecall("types", "ints.onnx").out
    models.regressor(tmp_path / "price.onnx", names=("a b", "it's"))
    text = sidecall("types", "price.onnx").out
    assert "    'a b': number\n    'it\\'s': number\n" in text
    assert "    prediction: number\n" in text


def test_a_model_whose_golden_rows_disagree_has_types(sidecall, tmp_path):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][0] = [0.5, 0.5]

    models.classifier(tmp_path / "wrong.onnx", change=spoil)
    done = sidecall("types", "wrong.onnx", env={"SIDECALL_VERIFY": "error"})
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name: expected letters, digits, _ or $, not beginning with a digit, got ''"),
        (
            "a b",
            "name: expected letters, digits, _ or $, not beginning with a digit, got 'a b'",
        ),
        (
            "F{}",
            "name: expected letters, digits, _ or $, not beginning with a digit, got 'F{}'",
        ),
        ("class", "name: expected a name that is not reserved, got 'class'"),
        ("Tensor", "name: expected a name that is not reserved, got 'Tensor'"),
    ],
)
def test_an_invalid_name_is_refused(sidecall, jobs, name, message):
    done = sidecall("types", jobs, "--name", name)
    assert (done.code, done.out, done.err) == (1, "", f"sidecall: jobs.onnx: {message}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["types"], "types: expected MODEL, got nothing (see sidecall types --help)"),
        (
            ["types", "m", "--lang", "perl"],
            "types: --lang: expected typescript, python, pydantic, go, rust, java, "
            "java:jackson, java:builder or java:builder,jackson, got 'perl' "
            "(see sidecall types --help)",
        ),
        (
            ["types", "m", "--name"],
            "types: --name: expected a value, got nothing (see sidecall types --help)",
        ),
        (["types", "m", "n"], "types: unexpected argument: n (see sidecall types --help)"),
    ],
)
def test_wrong_arguments_are_refused(sidecall, words, message):
    done = sidecall(*words)
    assert (done.code, done.out, done.err) == (1, "", f"sidecall: {message}\n")


def test_a_missing_file_fails_with_code_3(sidecall):
    done = sidecall("types", "none.onnx")
    assert (done.code, done.out) == (3, "")
    assert "none.onnx" in done.err
