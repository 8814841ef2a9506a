"""`sidecall export` and `sidecall check`: the native command runs this module with Python."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidecall._command_line import BAD_INPUT, BAD_MODEL, ENVIRONMENT, OK, USAGE, Parser

from .errors import DataError, ExportError, FileError, ModelError, NoDataError, StepError
from .files import InputError, existing, load_data, load_model


def main(arguments: Sequence[str] | None = None) -> int:
    # If the reader of the output exits (head, less), the command ends without an error message.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    options = _parser().parse_args(arguments)
    # The native command starts Python without the current folder in its search path. A trusted
    # pickle usually needs the modules in that folder for its classes.
    if options.trust_pickle:
        sys.path.insert(0, str(Path.cwd()))
    try:
        if options.run is _export and options.layout and options.pipeline.endswith(".onnx"):
            return _export_layout(options)
        model = load_model(options.pipeline, options.trust_pickle)
        data = (
            None
            if options.data is None
            else load_data(options.data, model, options.trust_pickle, options.drop)
        )
        return int(options.run(options, model, data))
    except NoDataError as error:
        return _fail(options, BAD_INPUT, f"{error}: pass rows as in training with --data FILE")
    except (InputError, DataError) as error:
        return _fail(options, BAD_INPUT, error)
    except ModelError as error:
        return _fail(options, BAD_MODEL, error)
    except StepError as error:
        return _fail(options, USAGE, error)
    except FileError as error:
        return _fail(options, ENVIRONMENT, error)
    except ModuleNotFoundError as error:
        text = str(error)
        if "pip install" not in text:
            text = (
                f"{error.name or 'a package'} is not installed: pip install 'sidecall[export]' and "
                "the libraries that the model was trained with"
            )
        return _fail(options, ENVIRONMENT, text)


def _fail(options: argparse.Namespace, code: int, error: object) -> int:
    print(f"{options.prog}: {error}", file=sys.stderr)
    cause = getattr(error, "__cause__", None)
    if cause is not None and not isinstance(error, StepError):
        print(f"  caused by {type(cause).__name__}: {cause}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="sidecall", description="Export of fitted Python models.")
    commands = parser.add_subparsers(required=True, metavar="export|check", parser_class=Parser)
    export = commands.add_parser(
        "export",
        prog="sidecall export",
        help="write a fitted model as an ONNX file with its contract",
    )
    check = commands.add_parser(
        "check",
        prog="sidecall check",
        help="report which steps of a fitted model convert and which do not",
    )
    for command, also in ((export, ", or with --layout an exported .onnx file"), (check, "")):
        command.add_argument("pipeline", help="a fitted model: .joblib, .pkl or .pickle" + also)
        command.add_argument(
            "--trust-pickle",
            action="store_true",
            help="load the pickle file; this can run any code of its author",
        )
        command.add_argument(
            "--data",
            metavar="FILE",
            help=(
                "representative rows: .csv, .jsonl, .parquet, .npy, .txt (one text per line), "
                ".joblib"
            ),
        )
        command.add_argument(
            "--drop",
            metavar="COLUMN",
            action="append",
            default=[],
            help="a column of the data that is not a feature, such as the target; may be repeated",
        )
        command.add_argument(
            "--feature-names",
            metavar="A,B,...",
            type=lambda text: text.split(","),
            help="names for the columns of an array",
        )
    export.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the ONNX file to write; with --layout the folder to write, FOLDER/NAME",
    )
    export.add_argument(
        "--layout",
        choices=("triton",),
        help=(
            "'triton': write a model in a model repository of NVIDIA's Triton, config.pbtxt and "
            "1/model.onnx, instead of one file"
        ),
    )
    export.add_argument(
        "--name",
        help=(
            "the model's name in its contract; by default the file name without its suffix, or the "
            "folder's name"
        ),
    )
    export.add_argument("--version", default="", help="the model's version")
    export.add_argument(
        "--metadata",
        metavar="JSON",
        type=_json_object,
        help="a JSON object to store in the contract",
    )
    export.add_argument(
        "--golden",
        choices=("synthetic", "real", "none"),
        default="synthetic",
        help="source of the golden rows, which are verified on open",
    )
    export.add_argument(
        "--no-ranges",
        action="store_true",
        help="do not store the minimum, maximum and categories of the data",
    )
    export.add_argument(
        "--dtype",
        metavar="[FEATURE=]TYPE",
        action="append",
        default=[],
        help=(
            "float32 or float64 instead of the type in the data, for all features or for one; may "
            "be repeated"
        ),
    )
    export.add_argument(
        "--epoch",
        metavar="[FEATURE=]UNIT",
        action="append",
        default=[],
        help=(
            "s, ms, us or ns: what a plain number counts since 1970 in UTC, for all features that "
            "are dates with a time zone, or for one; may be repeated. Without it such numbers are "
            "refused"
        ),
    )
    export.add_argument(
        "--precision",
        choices=("original", "float32"),
        default="original",
        help="'original': each step computes in the same type as in the original; "
        "'float32': a smaller and faster model, and the report shows the loss of accuracy",
    )
    export.add_argument("--quiet", action="store_true", help="print no report and no progress bar")
    export.set_defaults(run=_export, prog="sidecall export")
    check.set_defaults(run=_check, prog="sidecall check")
    return parser


def _export(options: argparse.Namespace, model: Any, data: Any) -> int:
    from .run import export

    report = export(
        model,
        options.output,
        data,
        name=options.name,
        version=options.version,
        metadata=options.metadata,
        golden=options.golden,
        ranges=not options.no_ranges,
        dtype=dtype_of(options.dtype),
        epoch=by_feature("epoch", "unit", options.epoch),
        precision=options.precision,
        feature_names=options.feature_names,
        layout=options.layout,
        progress=False if options.quiet else None,
    )
    if not options.quiet:
        print(report)
    return OK


def _export_layout(options: argparse.Namespace) -> int:
    from .layouts import export_layout

    existing(options.pipeline)
    # Only these options say something about a file that exists; the others describe a model.
    words = ["export", options.pipeline, "-o", options.output, "--layout", options.layout]
    for name, default in vars(_parser().parse_args(words)).items():
        if name != "quiet" and getattr(options, name) != default:
            option = "--" + name.replace("_", "-")
            return _fail(options, USAGE, f"{option}: {options.pipeline} is exported already")
    path = export_layout(options.pipeline, options.output, options.layout)
    if not options.quiet:
        print(f"{options.pipeline} -> {path}")
    return OK


def _check(options: argparse.Namespace, model: Any, data: Any) -> int:
    from .run import check

    report = check(model, data, feature_names=options.feature_names)
    print(report)
    return OK if report.ok else USAGE


def dtype_of(items: list[str]) -> str | dict[str, str] | None:
    return by_feature("dtype", "type", items)


def by_feature(option: str, what: str, items: list[str]) -> str | dict[str, str] | None:
    """The values of an option that is given once for all features, or for each by its name."""
    named = dict(item.rpartition("=")[::2] for item in items if "=" in item)
    plain = [item for item in items if "=" not in item]
    if plain and (named or len(plain) > 1):
        raise DataError(
            f"{option}: expected one {what} for all features, or FEATURE={what.upper()} for each "
            f"feature, got several {what}s for all features, or both forms"
        )
    return plain[0] if plain else named or None


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError(
            "expected a JSON object, got text that is not JSON or is nested too deeply"
        ) from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {type(value).__name__}")
    return value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except ExportError as error:
        sys.exit(f"sidecall: {error}")
