"""coverage_table.py SUMMARY: prints which share of lines and branches was reached in each folder.

The output is a Markdown table.

SUMMARY is what `llvm-cov export -summary-only` writes. tools/coverage.sh runs this.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    *("base", "core", "engines/in_process", "engines/onnxruntime", "engines/out_of_process"),
    *("engines/remote", "serving", "shm/client", "shm/common", "shm/server", "shm/supervisor"),
    *("bindings/c", "bindings/types", "bindings/cli", "bindings/node"),
)


def main() -> None:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for file in json.loads(Path(sys.argv[1]).read_text())["data"][0]["files"]:
        path = Path(file["filename"])
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        folder = next((each for each in FOLDERS if name.startswith(f"{each}/")), None)
        if folder is None:
            continue
        for total in (folder, "all"):
            for i, kind in enumerate(("lines", "branches")):
                sums[total][2 * i] += file["summary"][kind]["covered"]
                sums[total][2 * i + 1] += file["summary"][kind]["count"]
    print("| folder | lines | branches |\n|---|---|---|")
    for folder in (*FOLDERS, "all"):
        lines, all_lines, branches, all_branches = sums[folder]
        print(
            f"| {folder} | {100 * lines / max(all_lines, 1):.1f} % of {all_lines} |"
            f" {100 * branches / max(all_branches, 1):.1f} % of {all_branches} |"
        )


if __name__ == "__main__":
    main()
