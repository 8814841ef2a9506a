"""Builds the package through CMake, as pyproject.toml says.

The `sidecall` program that CMake links becomes the command of the wheel.
"""

import shutil
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup


class BuildScripts(Command):
    """Replaces setuptools' build_scripts, which reads scripts as text; our script is a binary."""

    user_options: ClassVar[list] = []

    def initialize_options(self):
        self.build_dir = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_scripts", "build_dir"))

    def run(self):
        self.run_command("build_cmake")
        cmake_dir = Path(self.get_finalized_command("build_cmake").build_temp, "_skbuild")
        Path(self.build_dir).mkdir(parents=True, exist_ok=True)
        shutil.copy2(cmake_dir / "bin" / "sidecall", self.build_dir)

    def get_source_files(self):
        return []


setup(
    scripts=["sidecall"],
    cmdclass={"build_scripts": BuildScripts},
    options={"build": {"build_base": "build/python"}},  # build/ itself belongs to CMake
)
