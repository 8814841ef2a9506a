"""Layouts: the folder that another server expects around an exported file.

There is one so far, "triton": the folder of one model in a model repository of NVIDIA's Triton,
which holds config.pbtxt and 1/model.onnx (docs/network.md).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args

from . import artifact, triton
from .errors import DataError, FileError, ModelError

Layout = Literal["triton"]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_CONFIG, _MODEL = "config.pbtxt", "1/model.onnx"


def export_layout(
    file: str | os.PathLike[str], path: str | os.PathLike[str], layout: Layout
) -> Path:
    """Writes the folder in which another server expects an exported file.

    `sidecall.export(..., layout="triton")` writes a model like this from the start. Returns the
    path of the file in the folder. It has the same bytes as `file`, so clients can name it in
    `?contract=` of their addresses.

    file    a file that `sidecall.export` wrote. Its golden rows run here first
    path    the folder to write. Its last part is the model's name on the server: letters, digits,
            `_`, `-` and `.`. A folder is replaced if it is unchanged since an earlier export wrote
            it; other files are never overwritten
    layout  "triton": a model in a model repository of NVIDIA's Triton, for its backend onnxruntime

    Raises ExportError: DataError (unknown layout), ModelError (the file is not an exported one, or
    its golden rows disagree here), FileError (the folder cannot be written, or the server has no
    name for the type or the shape of a tensor).

    >>> path = sidecall.export_layout("penguins.onnx", "models/penguins", "triton")
    >>> path.as_posix()
    'models/penguins/1/model.onnx'
    """
    folder = LayoutFolder(path, layout)
    import onnx

    content = _exported(Path(file))
    return folder.write(content, onnx.load_model_from_string(content).graph)


class LayoutFolder:
    """The folder of one model, which has the model's name on the server.

    Raises DataError (unknown layout) and FileError (its name, or what it contains), so that an
    export fails before it computes anything.
    """

    def __init__(self, path: str | os.PathLike[str], layout: str) -> None:
        if layout not in get_args(Layout):
            known = " or ".join(f"'{each}'" for each in get_args(Layout))
            raise DataError(f"layout: expected {known}, got '{layout}'")
        self.path = Path(path)
        if not _NAME.fullmatch(self.path.name):
            raise FileError(
                "path: expected FOLDER/NAME, where NAME is the model's name in Triton and has only "
                f"letters, digits, '_', '-' and '.', got '{os.fspath(path)}'"
            )
        self._holds_earlier_export()

    def write(self, content: bytes, graph: Any) -> Path:
        """Writes the file, whose graph is given too, and the server's configuration.

        A new folder is renamed into place when it is complete. In an existing folder, each of the
        two files is replaced by a rename. Returns the path of the file.
        """
        config = self._config(content, graph)
        if self._holds_earlier_export():
            artifact.write(self.path / _MODEL, content)
            artifact.write(self.path / _CONFIG, config)
            return self.path / _MODEL
        temporary = None
        try:
            if not self.path.parent.exists():
                self.path.parent.mkdir(parents=True)
            # A server that reads the repository meanwhile must not find an incomplete model.
            temporary = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}."))
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o777 & ~mask)
            (temporary / _MODEL).parent.mkdir()
            artifact.write(temporary / _MODEL, content)
            artifact.write(temporary / _CONFIG, config)
            temporary.replace(self.path)
        except OSError as error:
            raise _failed("write", self.path, error) from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return self.path / _MODEL

    def _holds_earlier_export(self) -> bool:
        """Says whether there are files to replace. Raises FileError if there are any others."""
        try:
            if not self.path.exists():
                return False
            if not self.path.is_dir():
                raise FileError(f"path: expected a folder, got the file '{self.path}'")
            names = {each.relative_to(self.path).as_posix() for each in self.path.rglob("*")}
            unchanged = names == {_CONFIG, "1", _MODEL} and self._is_unchanged()
        except OSError as error:
            raise _failed("read", self.path, error) from error
        if names and not unchanged:
            raise FileError(
                f"path: expected a new or empty folder, or one that an export with this layout "
                f"wrote and that is unchanged since, got '{self.path}' with other content. Write "
                "to another folder, or remove this one first"
            )
        return unchanged

    def _is_unchanged(self) -> bool:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        content = (self.path / _MODEL).read_bytes()
        try:
            config = self._config(content, onnx.load_model_from_string(content).graph)
        except (DecodeError, FileError):
            return False
        return config == (self.path / _CONFIG).read_bytes()

    def _config(self, content: bytes, graph: Any) -> bytes:
        return triton.config(self.path.name, graph, artifact.model_id(content)).encode("ascii")


def _exported(file: Path) -> bytes:
    """The bytes of a file that is whole, has a contract and answers its golden rows here."""
    import sidecall

    try:
        content = file.read_bytes()
        with sidecall.open(file, verify="error") as model:
            contract, model_id = model.contract, model.id
    except OSError as error:
        raise _failed("read", file, error) from error
    except sidecall.errors.Error as error:
        raise ModelError(f"{file}: {error}") from error
    if contract is None:
        raise ModelError(
            f"{file}: expected a file that sidecall.export wrote, got one without a contract"
        )
    # The id of a model with weights in other files covers these files too.
    if artifact.model_id(content) != model_id:
        raise ModelError(f"{file}: expected all weights inside the file, got some in other files")
    return content


def _failed(what: str, path: Path, error: OSError) -> FileError:
    return FileError(f"cannot {what} {path}: {error.strerror}")
