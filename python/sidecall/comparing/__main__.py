"""`sidecall compare`: the native command runs `python -m sidecall.comparing`."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sidecall import errors
from sidecall._command_line import BAD_INPUT, BAD_MODEL, ENVIRONMENT, OK, USAGE, Parser
from sidecall.exporting.__main__ import dtype_of
from sidecall.exporting.errors import DataError, ModelError
from sidecall.exporting.files import InputError, load_model


def main(arguments: Sequence[str] | None = None) -> int:
    # If the reader of the output exits (head, less), the command ends without an error message.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    options = _parser().parse_args(arguments)
    try:
        return _compare(options)
    except (InputError, DataError) as error:
        return _fail(BAD_INPUT, error)
    except ModelError as error:
        return _fail(BAD_MODEL, error)
    except errors.Error as error:
        return _fail(BAD_MODEL if error.family in (20, 30) else ENVIRONMENT, error)
    except ModuleNotFoundError as error:
        text = str(error)
        if "pip install" not in text:
            text = f"{error.name or 'a package'} is not installed: pip install 'sidecall[export]' and the libraries of the original"
        return _fail(ENVIRONMENT, text)


def _compare(options: argparse.Namespace) -> int:
    if options.trust_pickle:
        # The classes of a pickled pipeline are usually in modules of the current folder. Nothing is
        # imported from that folder unless the user trusts the pickle.
        sys.path.insert(0, str(Path.cwd()))
    original = load_model(options.original, options.trust_pickle)
    from .run import compare

    report = compare(
        original,
        options.model,
        options.rows,
        absolute=options.absolute,
        relative=options.relative,
        dtypes=dtype_of(options.dtype),
        worst=options.worst,
        chunk=options.chunk,
        stability=options.stability,
        trust_pickle=options.trust_pickle,
        progress=False if options.quiet else None,
    )
    if options.json:
        print(json.dumps(report.as_json(), ensure_ascii=False, allow_nan=False))
    elif not options.quiet:
        print(report)
    if not report.compared and not report.moved:
        return _fail(BAD_INPUT, "no row was answered by both models, so nothing was compared")
    most, is_share = options.max_moved
    return USAGE if report.moved > (most / 100 * report.rows if is_share else most) else OK


def _fail(code: int, error: object) -> int:
    print(f"sidecall compare: {error}", file=sys.stderr)
    cause = getattr(error, "__cause__", None)
    # Print only the class of the cause: its text may quote the data.
    if cause is not None:
        print(f"  caused by {type(cause).__name__}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="sidecall", description="Comparison of an exported model with its original."
    )
    commands = parser.add_subparsers(required=True, metavar="compare", parser_class=Parser)
    compare = commands.add_parser(
        "compare",
        prog="sidecall compare",
        help="count the answers of an exported model that differ from the original's, and find the step where the difference begins",
        epilog="Exit codes: 0 at most --max-moved rows moved; 1 more rows moved, or wrong usage; "
        "2 bad input, or both models answer none of the rows; "
        "3 bad model, or an original that the model was not made from; 4 engine or environment.",
    )
    compare.add_argument("model", metavar="MODEL", help="an exported model: a file or a URI")
    compare.add_argument(
        "rows",
        metavar="ROWS",
        help="rows: .csv, .tsv, .jsonl, .parquet, .npy, .txt (one text per line), .joblib",
    )
    compare.add_argument(
        "--original",
        metavar="FILE",
        required=True,
        help="the fitted model: .joblib, .pkl or .pickle",
    )
    compare.add_argument(
        "--trust-pickle",
        action="store_true",
        help="load the pickle file; this can run any code of its author",
    )
    compare.add_argument(
        "--max-moved",
        metavar="N|P%",
        type=_max_moved,
        default=(0.0, False),
        help="how many rows may move before the exit code is 1 (default: 0)",
    )
    compare.add_argument(
        "--absolute",
        metavar="X",
        type=float,
        help="tolerance: X + relative x |expected| (default: 1e-8, or 1e-5 for float32)",
    )
    compare.add_argument(
        "--relative",
        metavar="X",
        type=float,
        help="tolerance: absolute + X x |expected| (default: 1e-8, or 1e-5 for float32)",
    )
    compare.add_argument(
        "--dtype",
        metavar="[FEATURE=]TYPE",
        action="append",
        default=[],
        help="the type that fit saw, if it is not the type in ROWS; may be repeated",
    )
    compare.add_argument(
        "--stability",
        metavar="N|all",
        type=_stability,
        default=500,
        help="how many differing rows to run again in batches of 1 and 7 (default: 500)",
    )
    compare.add_argument(
        "--worst",
        metavar="N",
        type=int,
        default=10,
        help="how many of the worst rows to show for each kind (default: 10)",
    )
    compare.add_argument(
        "--chunk",
        metavar="N",
        type=int,
        default=10_000,
        help="rows held in memory at a time (default: 10000)",
    )
    compare.add_argument("--json", action="store_true", help="print the report as JSON")
    compare.add_argument(
        "--quiet",
        action="store_true",
        help="print no report and no progress bar; only the exit code tells the result",
    )
    return parser


def _max_moved(text: str) -> tuple[float, bool]:
    found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"expected a number of rows or a percentage such as 0.1%, got '{text}'"
        )
    return float(found[1] or found[2]), found[1] is None


def _stability(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a number of rows or 'all', got '{text}'")
    return int(text)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
