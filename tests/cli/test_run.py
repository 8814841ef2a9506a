"""sidecall run: tensors through .npy files."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
from pathlib import Path

import models
import numpy as np
import pytest
from onnx import TensorProto, helper

DTYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "str": TensorProto.STRING,
}


def identity(path: Path, dtype: int, outputs: int = 1) -> None:
    """y0 = x, y1 = x, ..."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [f"y{i}"]) for i in range(outputs)],
        "identity",
        [helper.make_tensor_value_info("x", dtype, ["N", "M"])],
        [helper.make_tensor_value_info(f"y{i}", dtype, ["N", "M"]) for i in range(outputs)],
    )
    models.save(path, graph, None)


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


@pytest.fixture
def floats(tmp_path):
    identity(tmp_path / "floats.onnx", TensorProto.FLOAT)
    return "floats.onnx"


@pytest.mark.parametrize("name", DTYPES)
def test_every_element_type_is_read_and_written(sidecall, tmp_path, name):
    identity(tmp_path / "m.onnx", DTYPES[name])
    values = ["", "a", "\u00e9\u20ac", "\U0001f600 x"] if name == "str" else [0, 1, 1, 0]
    array = np.array(values).reshape(2, 2).astype(name)
    (tmp_path / "x.npy").write_bytes(npy(array))
    done = sidecall("run", "m.onnx", "--tensor", "x=@x.npy", "--out", "y0=@y.npy")
    assert (done.code, done.out, done.err) == (0, "", "")
    got = np.load(tmp_path / "y.npy")
    assert got.dtype == array.dtype and got.tolist() == array.tolist()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_npy_version_is_read_from_a_pipe(sidecall, floats, version):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    done = sidecall(
        "run",
        floats,
        "--tensor",
        "x=@-",
        stdin=npy(array, version),
        stdout=(sidecall.cwd / "y").open("wb"),
    )
    assert (done.code, done.err) == (0, "")
    assert np.load(sidecall.cwd / "y").tolist() == array.tolist()


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (1000, 50)])
def test_arrays_of_every_shape_are_read(sidecall, floats, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random(shape).astype(np.float32))
    done = sidecall("run", floats, "--tensor", "x=@x.npy", "--out", "y0=@y.npy")
    if shape[0] == 0:
        assert done.code in (0, 2)
        return
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()


def test_all_outputs_are_written_into_a_folder(sidecall, tmp_path):
    identity(tmp_path / "m.onnx", TensorProto.INT64, outputs=2)
    (tmp_path / "answers").mkdir()
    np.save(tmp_path / "x.npy", np.array([[1, 2]]))
    done = sidecall("run", "m.onnx", "--tensor", "x=@x.npy", "--out", "answers")
    assert (done.code, done.err) == (0, "")
    assert [np.load(tmp_path / f"answers/y{i}.npy").tolist() for i in (0, 1)] == [[[1, 2]]] * 2


def header(text: str, *, version: int = 1, claimed: int | None = None) -> bytes:
    """A .npy header with arbitrary text."""
    length = len(text) if claimed is None else claimed
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + length.to_bytes(2 if version == 1 else 4, "little")
        + text.encode()
    )


def claim(descr: str, shape: str) -> bytes:
    return header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")


TOO_LARGE = "expected an array that fits in memory, got a larger one"
BAD = {
    "empty": (b"", "expected a .npy file, as numpy.save writes it"),
    "text": (b"1,2,3\n4,5,6\n", "expected a .npy file, as numpy.save writes it"),
    "cut_header": (
        npy(np.zeros((2, 3), np.float32))[:40],
        "expected a complete header, got a truncated one",
    ),
    "cut_data": (npy(np.zeros((2, 3), np.float32))[:-1], "expected 24 bytes of elements, got 23"),
    "more_data": (
        npy(np.zeros((2, 3), np.float32)) + b"x",
        "expected 24 bytes of elements, got 25",
    ),
    "fortran": (
        npy(np.zeros((2, 3), np.float32, order="F")),
        "expected elements in C order, got Fortran order",
    ),
    "format_9": (
        b"\x93NUMPY\x09\x00" + npy(np.zeros(1))[8:],
        "expected a .npy file of format 1, 2 or 3, got format 9",
    ),
    "no_shape": (
        npy(np.zeros((2, 3), np.float32)).replace(b"'shape'", b"'shapo'"),
        "expected 'shape' in the header, got none",
    ),
    "huge": (
        npy(np.zeros((2, 3), np.float32)).replace(b"(2, 3)", b"(9223372036854775807, 9)")[:-18],
        "expected an array that fits in memory, got a larger one",
    ),
    "rows_2_to_62": (claim("<f4", f"({2**62},)"), TOO_LARGE),
    "rows_2_to_64": (
        claim("<f4", f"({2**64},)"),
        "expected a shape of whole numbers, such as (2, 3)",
    ),
    "product_of_dims": (claim("<f4", f"({2**32}, {2**32})"), TOO_LARGE),
    "product_and_width": (claim("<f8", f"({2**61}, 1)"), TOO_LARGE),
    "product_before_a_zero": (claim("<f4", f"({2**62}, {2**62}, 0)"), TOO_LARGE),
    "a_tebibyte": (
        claim("<f4", f"({2**38},)"),
        f"x.npy: expected {2**40} bytes of elements, got 0",
    ),
    "strings_of_2_to_62": (claim(f"<U{2**62}", "(1,)"), TOO_LARGE),
    "strings_of_2_to_64": (claim(f"<U{2**64}", "(1,)"), TOO_LARGE),
    "strings_of_a_tebibyte": (
        claim(f"<U{2**38}", "(1,)"),
        f"x.npy: expected {2**40} bytes of elements, got 0",
    ),
    "strings_of_no_width": (
        claim("<U0", "(8589934592,)"),
        "expected strings of one or more characters (<U1), got <U0",
    ),
    "strings_without_width": (
        claim("<U", "(2,)"),
        "expected strings of one or more characters (<U1), got <U",
    ),
    "strings_of_a_word": (
        claim("<Umany", "(2,)"),
        "expected strings of one or more characters (<U1), got <Umany",
    ),
    "strings_of_negative_width": (
        claim("<U-1", "(2,)"),
        "expected strings of one or more characters (<U1), got <U-1",
    ),
    "rank_65": (claim("<f4", f"({'1, ' * 65})"), "expected at most 64 dimensions, got more"),
    "header_of_4_gib": (
        header("{", version=2, claimed=2**32 - 1),
        "expected a header of at most 65536 bytes, got a longer one",
    ),
    "header_of_64_kib": (
        header("{", version=2, claimed=2**16),
        "expected a complete header, got a truncated one",
    ),
    "cut_length": (
        b"\x93NUMPY\x02\x00\x10\x00\x00",
        "expected a complete header, got a truncated one",
    ),
    "negative": (
        npy(np.zeros((2, 3), np.float32)).replace(b"(2, 3)", b"(-2, 3)")[:-1],
        "expected a shape of whole numbers, such as (2, 3)",
    ),
    "int64": (npy(np.zeros((2, 3), np.int64)), "input 'x': expected float32, got int64"),
    "beyond_float32": (
        npy(np.array([[0, 1e39, 0]])),
        "input 'x': expected float32, got a number beyond its range (row 0)",
    ),
    "rank": (npy(np.zeros(3, np.float32)), "input 'x': expected float32[N,M], got float32[3]"),
    "big_endian": (npy(np.zeros((2, 3), ">f4")), "input 'x': expected float32, got >f4"),
    "complex": (npy(np.zeros((2, 3), np.complex64)), "input 'x': expected float32, got <c8"),
    "datetime": (npy(np.zeros((2, 3), "M8[s]")), "input 'x': expected float32, got <M8[s]"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_file_is_refused(sidecall, floats, tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "x.npy").write_bytes(content)
    done = sidecall("run", floats, "--tensor", "x=@x.npy", "--out", "y0=@y.npy")
    assert (done.code, done.out) == (2, "")
    assert message in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_pipe_is_refused(sidecall, floats, name):
    content, message = BAD[name]
    done = sidecall("run", floats, "--tensor", "x=@-", stdin=content)
    assert (done.code, done.out) == (2, "")
    # The number of extra bytes is in the message for a file; for a pipe it is not known.
    assert (
        message.replace("got 25", "got more").replace("x.npy", "<stdin>") in done.err
        and done.err.count("\n") == 1
    )


LITTLE_MEMORY = 1 << 30  # the claimed sizes are larger, the actual data is smaller


@pytest.mark.parametrize(
    "name", [name for name in BAD if re.search("rows|product|strings|tebibyte|header", name)]
)
@pytest.mark.parametrize("as_file", [True, False])
def test_a_declared_size_is_not_allocated_before_the_data_arrive(
    sidecall, floats, tmp_path, name, as_file
):
    (tmp_path / "x.npy").write_bytes(BAD[name][0])
    words = ["run", floats, "--tensor", f"x=@{'x.npy' if as_file else '-'}"]
    line = f"ulimit -v {LITTLE_MEMORY >> 10}; exec " + shlex.join([sidecall.path, *words])
    with (tmp_path / "x.npy").open("rb") as file:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            env=sidecall.env,
            stdin=file,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, b""), done.stderr


def test_an_endless_pipe_is_read_only_up_to_the_declared_size(sidecall, floats):
    endless = subprocess.Popen(
        ["cat", "-", "/dev/zero"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    endless.stdin.write(npy(np.zeros((2, 3), np.float32)))
    endless.stdin.close()
    process = sidecall.start("run", floats, "--tensor", "x=@-", stdin=endless.stdout)
    endless.stdout.close()
    assert process.wait(30) == 2
    assert b"<stdin>: expected 24 bytes of elements, got more" in process.stderr.read()
    endless.kill()
    endless.wait()


def test_a_large_array_is_read_from_a_slow_pipe(sidecall, floats):
    array = np.random.default_rng(0).random((1000, 700)).astype(np.float32)
    content = npy(array)
    with sidecall.start("run", floats, "--tensor", "x=@-") as process:
        for begin in range(0, len(content), 100_000):
            process.stdin.write(content[begin : begin + 100_000])
            process.stdin.flush()
        process.stdin.close()
        assert process.stdout.read() == content


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--tensor", "x"], 1, "run: --tensor: expected NAME=@FILE.npy, got 'x'"),
        (["--tensor", "z=@x.npy"], 2, "input 'z': expected one of 'x', got an unknown name"),
        (["--tensor", "x=@none.npy"], 2, "none.npy: no such file or directory"),
        (["--tensor", "x=@."], 2, ".: is a directory"),
        ([], 2, "input 'x': expected float32[N,M], got nothing"),
        (
            ["--tensor", "x=@x.npy", "--out", "z=@y.npy"],
            2,
            "output 'z': expected one of 'y0', got an unknown name",
        ),
        (["--tensor", "x=@x.npy", "--out", "none"], 4, "none/y0.npy: no such file or directory"),
        (
            ["--tensor", "x=@x.npy", "--tensor", "x=@x.npy"],
            1,
            "run: --tensor: expected each input once, got 'x' twice",
        ),
        (
            ["--tensor", "x=@-", "--tensor", "y=@-"],
            1,
            "run: --tensor: expected one input from stdin, got more",
        ),
    ],
)
def test_wrong_arguments_are_refused(sidecall, floats, tmp_path, words, code, message):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    done = sidecall("run", floats, *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err and done.err.count("\n") == 1


def test_a_model_with_several_outputs_needs_out(sidecall, tmp_path):
    identity(tmp_path / "m.onnx", TensorProto.FLOAT, outputs=2)
    done = sidecall("run", "m.onnx", "--tensor", "x=@x.npy")
    assert (done.code, done.err) == (
        1,
        "sidecall: run: expected --out for a model with 2 outputs, got none\n",
    )


def test_a_full_disk_fails_with_code_4(sidecall, floats, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    with Path("/dev/full").open("wb") as full:
        done = sidecall("run", floats, "--tensor", "x=@x.npy", stdout=full)
    assert (done.code, done.err) == (
        4,
        "sidecall: cannot write the output: no space left on device\n",
    )


def test_writing_to_a_device_or_a_link_does_not_replace_it(sidecall, floats, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    (tmp_path / "full").symlink_to("/dev/full")
    done = sidecall("run", floats, "--tensor", "x=@x.npy", "--out", "y0=@full")
    assert (done.code, done.err) == (4, "sidecall: full: no space left on device\n")
    assert (tmp_path / "full").is_symlink() and Path("/dev/full").is_char_device()

    (tmp_path / "old.npy").write_bytes(b"old")
    (tmp_path / "link.npy").symlink_to("old.npy")
    assert sidecall("run", floats, "--tensor", "x=@x.npy", "--out", "y0=@link.npy").code == 0
    assert (tmp_path / "link.npy").is_symlink() and np.load(tmp_path / "old.npy").shape == (2, 3)

    os.mkfifo(tmp_path / "pipe")
    process = sidecall.start("run", floats, "--tensor", "x=@x.npy", "--out", "y0=@pipe")
    with (tmp_path / "pipe").open("rb") as pipe:
        assert pipe.read() == (tmp_path / "old.npy").read_bytes()
    assert process.wait(20) == 0
    assert (tmp_path / "pipe").is_fifo()
