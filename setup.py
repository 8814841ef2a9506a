"""Builds the package through CMake (pyproject.toml says how) and ships CMake's `sidecall` binary as the wheel's command."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools._distutils.command.build_scripts import build_scripts


class BuildCommand(build_scripts):
    """setuptools reads scripts as text; this one is a program that CMake has linked."""

    def run(self) -> None:
        self.run_command("build_cmake")
        program = Path(self.get_finalized_command("build_cmake").build_temp, "_skbuild", "bin", "sidecall")
        Path(self.build_dir).mkdir(parents=True, exist_ok=True)
        shutil.copy2(program, self.build_dir)

    def get_source_files(self) -> list[str]:
        return []


setup(scripts=["sidecall"], cmdclass={"build_scripts": BuildCommand})
