"""Writes models/ and cases/. Run it after a change in source/ and commit the result.

Needs `onnx`, and for the exported pipelines sidecall's export extra.

python tests/vectors/generate.py            everything
python tests/vectors/generate.py --plain    all but the exported pipelines, which differ
                                            with each release of the libraries that made them
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from source import contracts
from source.groups import PLAIN


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--plain", action="store_true", help="leave the exported pipelines as they are"
    )
    options = parser.parse_args()
    contracts.write_all()
    groups = list(PLAIN)
    if not options.plain:
        from source import exported

        groups.append(exported.exported)
    total = bad = 0
    for make in groups:
        cases = make()
        total += cases.write()
        bad += sum("expect_status" in case for case in cases.list)
    print(f"{total} cases, {bad} of them negative")


if __name__ == "__main__":
    main()
