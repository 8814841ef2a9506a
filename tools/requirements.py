"""requirements.py EXTRA...: prints the requirements of the package and these extras.

make runs this in a step of its own, so that the requirements are downloaded while the native code
compiles. requirements.py --build-only prints the requirements for building the package.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements_of(extras: dict[str, list[str]], names: list[str]) -> Iterator[str]:
    for name in names:
        for requirement in extras[name]:
            own = re.fullmatch(r"sidecall\[(.+)\]", requirement)
            if own:
                yield from requirements_of(extras, own[1].split(","))
            else:
                yield requirement


def main() -> None:
    document = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = document["project"]
    if sys.argv[1:] == ["--build-only"]:
        wanted = document["build-system"]["requires"]
    else:
        wanted = [
            *project["dependencies"],
            *requirements_of(project["optional-dependencies"], sys.argv[1:]),
        ]
    print("\n".join(dict.fromkeys(wanted)))


if __name__ == "__main__":
    main()
