"""`sidecall serve` for Python objects and pickles.

The native command runs `python -m sidecall.serving serve` for them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sidecall import errors
from sidecall.exporting.errors import DataError, ExportError, NoDataError

from .arguments import add_option
from .option_table import OPTIONS

# Exit codes, the same for every command of sidecall.
OK, USAGE, BAD_INPUT, BAD_MODEL, ENVIRONMENT = 0, 1, 2, 3, 4


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # As the native command says it: --threads: expected ...
        text = message.removeprefix("argument ")
        text = f"serve: {text} (see sidecall serve app:model --help)"
        raise SystemExit(_fail(USAGE, text))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # The native command starts Python without the current folder in its search path. A trusted
    # pickle usually needs the modules in that folder for its classes. For module:object, targets.py
    # adds the folder.
    if options.trust_pickle:
        sys.path.insert(0, str(Path.cwd()))
    try:
        from .run import serve

        _raise_descriptor_limit()
        serve(
            options.target,
            options.at,
            http=options.http,
            grpc=options.grpc,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            tls_client_ca=options.tls_client_ca,
            tokens=options.tokens,
            insecure=options.insecure,
            allow_hosts=options.allow_host,
            workers=options.workers,
            threads=options.threads,
            data=_data(options),
            contract=options.contract,
            name=options.name,
            version=options.version or "",
            golden=options.golden,
            ranges=not options.no_ranges,
            feature_names=options.feature_names and options.feature_names.split(","),
            trust_pickle=options.trust_pickle,
            copy=options.copy,
            allow_uids=options.allow_uid,
            group=options.group,
            max_connections=options.max_connections,
            max_connections_per_user=options.max_connections_per_user,
            max_call_bytes=int(options.max_call * (1 << 20)),
            max_memory_bytes=int(options.max_memory * (1 << 20)),
            max_memory_per_user_bytes=(
                None
                if options.max_memory_per_user is None
                else int(options.max_memory_per_user * (1 << 20))
            ),
            timeout=options.timeout,
            max_run=options.max_run,
            unready_after=options.unready_after,
            drain_timeout=options.drain_timeout,
            log="json" if options.json_log else "text",
            log_level=options.log_level,
        )
    except errors.Error as error:
        return _fail(_code_of(error), f"{error}{_advice(error)}")
    except ModuleNotFoundError as error:
        text = str(error)
        if "pip install" not in text:
            text = f"{error.name or 'a package'} is not installed"
        return _fail(ENVIRONMENT, text)
    except Exception:
        # Python itself would end with 1, which means wrong usage. The module of the object has
        # failed, perhaps because a file or a database is not there yet: a restart may help.
        return _fail(ENVIRONMENT, traceback.format_exc().rstrip())
    return OK


def _data(options: argparse.Namespace) -> Any:
    if options.data is None:
        return None
    from sidecall.exporting.files import InputError, load_data

    from .targets import resolve

    target, _ = resolve(options.target, trust_pickle=options.trust_pickle)
    try:
        return load_data(options.data, target, options.trust_pickle, options.drop)
    except InputError as error:
        raise errors.InvalidArgument(str(error)) from error


def _code_of(error: errors.Error) -> int:
    if isinstance(error, ExportError):  # the model could not be described by data
        return BAD_INPUT if isinstance(error, DataError) else BAD_MODEL
    if isinstance(error, errors.Busy):
        return ENVIRONMENT
    return {10: USAGE, 20: BAD_MODEL, 30: BAD_MODEL, 40: BAD_INPUT}.get(error.family, ENVIRONMENT)


def _advice(error: errors.Error) -> str:
    return ": pass rows as in training with --data FILE" if isinstance(error, NoDataError) else ""


def _fail(code: int, error: object) -> int:
    # Standard error may be closed, or on a full disk. print() would keep the text, and Python would
    # fail again when it writes the text at exit, and end with another code.
    with contextlib.suppress(OSError):
        os.write(2, f"sidecall: {error}\n".encode(errors="backslashreplace"))
    return code


def _raise_descriptor_limit() -> None:
    """Allows as many descriptors as the system does: each connection takes one or two."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sidecall", description="Serving of Python objects.")
    commands = parser.add_subparsers(required=True, metavar="serve", parser_class=_Parser)
    serve = commands.add_parser(
        "serve", prog="sidecall serve", help="let other programs call a Python object"
    )
    serve.add_argument(
        "target", metavar="APP", help="module:object, or a fitted model as .joblib, .pkl or .pickle"
    )
    for option in OPTIONS:
        add_option(serve, option)
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
