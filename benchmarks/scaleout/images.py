"""`make bench-images`: measures the container images, and how their servers start.

The images are those of `make image`. A server runs as in a container: its root is that of the image,
and its user is that of the image. The time from exec until the server reports that it is ready
contains the load of the libraries and of the model, and the run of its golden rows. It does not
contain the time of the engine that makes the container. The bars and the table `images` go to
scaleout.json.

python benchmarks/scaleout/images.py --build build
"""

import gzip
import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median

import pandas as pd
import penguins
import sidecall

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import (
    Bar,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    parse,
    print_table,
)

ROOT = Path(__file__).resolve().parents[2]
USER = 65532
STARTS = 60
MODEL = "models/model.onnx"
SERVE = ("/usr/bin/sidecall", "serve", f"/{MODEL}", "--at=shm:/run/app/a.sock", "--log-level=error")
BIRD = '{"island": "Biscoe", "bill_length_mm": 48.2, "bill_depth_mm": 14.3}\n'
# Set in the process that has mounts of its own.
INSIDE = "SIDECALL_BENCH_IMAGES"


def write_model(path: Path) -> str:
    """Exports the model, and returns its label for BIRD."""
    pipeline, rows = penguins.fit()
    sidecall.export(pipeline, path, rows)
    row = pd.DataFrame([json.loads(BIRD)]).reindex(columns=rows.columns)
    return str(pipeline.predict(row.astype(rows.dtypes.to_dict()))[0])


def cpu_time_ms(process: int) -> float:
    """The CPU time that the threads of a process have used: other programs hardly change it."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


class Image:
    """The root file system of an image, with a model in it."""

    def __init__(self, name: str, folder: Path, build: Path, options: list[str | Path]) -> None:
        self.name, self.root, self.build = name, folder / "root", build
        script = ROOT / "tools/package/image.py"
        words = [sys.executable, script, "--build", build, "--out", folder, *options]
        subprocess.run(words, check=True)
        files = [path for path in self.root.rglob("*") if path.is_file()]
        self.size_mb = sum(path.stat().st_size for path in files) / 1e6
        self.compressed_mb = len(gzip.compress(self.archive())) / 1e6

    def archive(self) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.add(self.root, "/")
        return content.getvalue()

    def prepare(self, model: Path) -> None:
        """Adds what an engine adds: a model, /proc and the folder for the socket."""
        for name in ("models", "proc", "run/app"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        os.chown(self.root / "run/app", USER, USER)
        (self.root / MODEL).write_bytes(model.read_bytes())
        subprocess.run(["mount", "-t", "proc", "none", self.root / "proc"], check=True)


class Server:
    """A server that is started again and again in an image."""

    def __init__(self, image: Image, engine: str) -> None:
        self.image, self.engine = image, engine
        self.start_ms: list[float] = []
        self.cpu_ms: list[float] = []
        self.resident_mb: list[float] = []
        self.private_mb: list[float] = []

    def measure(self, label: str) -> None:
        """Starts the server, asks it once, and ends it."""
        address = f"\0sidecall-images-{os.getpid()}"
        times, write_end = os.pipe()

        def enter() -> None:
            os.chroot(self.image.root)
            os.chdir("/models")
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)
            os.write(write_end, struct.pack("d", time.perf_counter()))

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            manager.settimeout(60)
            process = subprocess.Popen(
                [*SERVE, f"--engine={self.engine}"],
                env={"NOTIFY_SOCKET": "@" + address[1:]},
                preexec_fn=enter,
            )
            manager.recv(4096)
            ready = time.perf_counter()
        begun = struct.unpack("d", os.read(times, 8))[0]
        os.close(times)
        os.close(write_end)
        try:
            self.start_ms.append((ready - begun) * 1e3)
            self.cpu_ms.append(cpu_time_ms(process.pid))
            self.check(label)
            self.read_memory(process.pid)
        finally:
            process.terminate()
            process.wait()

    def check(self, label: str) -> None:
        at = f"shm:{self.image.root}/run/app/a.sock"
        words = [self.image.build / "bin/sidecall", "predict", at, "--only", "label"]
        done = subprocess.run(words, input=BIRD, capture_output=True, text=True, check=False)
        if done.stdout != f'{{"label":"{label}"}}\n':
            raise WrongAnswerError(f"{self.image.name}: expected {label}, got {done}")

    def read_memory(self, process: int) -> None:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        self.resident_mb.append(kib["Rss"] * 1024 / 1e6)
        # Memory of its own, which grows with the number of containers: the other pages belong to
        # files of the image, which all containers of a host share.
        private = kib["Private_Dirty"] + kib["Shared_Dirty"]
        self.private_mb.append(private * 1024 / 1e6)

    def row(self) -> dict:
        return {
            "image": self.image.name,
            "engine": self.engine,
            "size_mb": self.image.size_mb,
            "compressed_mb": self.image.compressed_mb,
            "start_ms": median(self.start_ms),
            "start_min_ms": min(self.start_ms),
            "cpu_ms": median(self.cpu_ms),
            "resident_mb": median(self.resident_mb),
            "private_mb": median(self.private_mb),
        }


def main() -> int:
    arguments = parse(__doc__.splitlines()[0], "scaleout")
    if INSIDE not in os.environ:
        # The file systems that are mounted for a server end with this process.
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory(prefix="sidecall-images-") as name:
        folder, build = Path(name), arguments.build.resolve()
        folder.chmod(0o755)
        label = write_model(folder / "model.onnx")
        library = find_in_package("onnxruntime", "capi/libonnxruntime.so.*")
        native = Image("native", folder / "native", build, [])
        full = Image("full", folder / "full", build, ["--net", "--onnxruntime", library])
        servers = [Server(native, "native"), Server(full, "native"), Server(full, "onnxruntime")]
        for image in (native, full):
            image.prepare(folder / "model.onnx")
        try:
            for _ in range(3 if arguments.quick else STARTS):
                for server in servers:
                    server.measure(label)
        finally:
            for image in (native, full):
                subprocess.run(["umount", image.root / "proc"], check=False)
    report = Report(
        "scaleout",
        describe_versions(["onnxruntime", "scikit-learn"]),
        bars=[
            Bar("image_native_mb", native.size_mb, 15),
            Bar("image_mb", full.size_mb, 60),
        ],
        tables={"images": [server.row() for server in servers]},
    )
    print_table(
        list(report.tables["images"][0]),
        [
            [value if isinstance(value, str) else f"{value:.1f}" for value in row.values()]
            for row in report.tables["images"]
        ],
    )
    report.print_bars()
    if not arguments.quick or arguments.output:
        report.write(arguments.output, keep_others=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
