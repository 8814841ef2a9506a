"""What the commands that run in Python share: their exit codes, and a parser that uses them."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

# Exit codes, the same for every command of sidecall. 1 also means that the answer is "no".
OK, USAGE, BAD_INPUT, BAD_MODEL, ENVIRONMENT = 0, 1, 2, 3, 4


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")
