"""Runs containers for the tests of this folder, with buildah, podman and crun."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
MODELS = ROOT / "tests/vectors/models"
TOOLS = ("buildah", "podman", "crun", "unshare", "nsenter")
# What Kubernetes gives a container with the security context of deploy/kubernetes.
CONFINED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=all"),
    *("--security-opt=no-new-privileges", "--network=none"),
)
ONCE = ("run", "--rm", "--interactive")
# The first process of the engine's namespaces. It reaps the processes of podman, and when its
# standard input ends, every process in the namespaces ends. /dev/shm, where podman keeps locks, is
# its own, and images are in memory. crun takes no mixture of both versions of cgroups.
FIRST_PROCESS = """
mount -t tmpfs none /dev/shm
mkdir "$0/images"
mount -t tmpfs none "$0/images"
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] ||
  { umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup; }
trap '' CHLD
echo ready
exec cat
"""

# Images and containers are in a folder of the engine. No container has a cgroup, or a network that
# leads out of it.
SETTINGS = """
[containers]
cgroups = "disabled"
netns = "none"
[engine]
runtime = "crun"
tmp_dir = "{folder}/podman"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""


def reason_to_skip() -> str | None:
    """The reason why no container can run here; None if one can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}: make test-long installs them"
    if os.geteuid() != 0:
        return "needs root: podman makes users other than its own only as root"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True
    )
    return None if tried.returncode == 0 else f"unshare: {tried.stderr.strip()}"


def assemble(folder: Path, *options: str | Path, umask: int = -1) -> Path:
    """The root file system of an image, from the build of this tree."""
    script = ROOT / "tools/package/image.py"
    words = [sys.executable, script, "--build", BUILD, "--out", folder, *options]
    subprocess.run(words, check=True, capture_output=True, text=True, umask=umask)
    return folder


def onnxruntime() -> Path:
    """The library of the package onnxruntime, found without importing it."""
    spec = find_spec("onnxruntime")
    assert spec is not None and spec.origin is not None, "onnxruntime is not installed here"
    return next(Path(spec.origin).parent.glob("capi/libonnxruntime.so.*"))


class Engine:
    """An engine for containers, with images and containers of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.namespaces = subprocess.Popen(
            ["unshare", *names, "sh", "-ec", FIRST_PROCESS, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.namespaces.stdout.readline() == b"ready\n", "the namespaces were not made"
        children = f"/proc/{self.namespaces.pid}/task/{self.namespaces.pid}/children"
        self.pid = Path(children).read_text().strip()
        self.environment = os.environ | {
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_CONF": self.write("containers.conf", SETTINGS),
            "CONTAINERS_STORAGE_CONF": self.write("storage.conf", STORAGE),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }

    def write(self, name: str, settings: str) -> str:
        path = self.folder / name
        path.write_text(settings.format(folder=self.folder))
        return str(path)

    def close(self) -> None:
        """Ends all containers. Their images were in memory."""
        self.namespaces.stdin.close()
        self.namespaces.wait(30)

    def command(self, *words: object) -> list[str]:
        """The command that runs a program of this machine among the processes of the engine."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", *map(str, words)]

    def inside(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        given = {"capture_output": True, "text": True, "check": False, "timeout": 120} | options
        return subprocess.run(self.command(*words), env=self.environment, **given)

    def podman(self, *words: object, **options: Any) -> str:
        """What podman prints. Fails if podman does."""
        done = self.try_podman(*words, **options)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()

    def try_podman(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.inside("podman", *words, **options)

    def build(self, folder: Path, name: str) -> None:
        """Makes an image of a folder with a Containerfile, or of a root file system."""
        own = folder / "Containerfile"
        file = own if own.exists() else ROOT / "deploy/container/Containerfile"
        done = self.inside("buildah", "build", "--quiet", "--tag", name, "--file", file, folder)
        assert done.returncode == 0, done.stderr

    def run(
        self, image: str, *words: object, options: Iterable[str] = (), **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a confined container until it ends.

        On a busy machine, podman may lose the output of a container that ends at once. So a
        container without output runs again.
        """
        for _ in range(3):
            done = self.try_podman(*ONCE, *CONFINED, *options, image, *words, **more)
            if done.stdout or done.stderr:
                break
        return done

    def start(self, name: str, image: str, *words: object, options: Iterable[str] = ()) -> None:
        """Starts a confined container that goes on in the background."""
        named = ["run", "--detach", f"--name={name}", *CONFINED, *options]
        self.podman(*named, image, *words)

    def state(self, name: str) -> dict[str, Any]:
        return json.loads(self.podman("inspect", name))[0]["State"]

    def events(self, name: str) -> list[str]:
        """The names of the events in the log of a server."""
        log = self.try_podman("logs", name)
        lines = [line for line in log.stderr.splitlines() if line.startswith("{")]
        return [json.loads(line)["event"] for line in lines]


class Images:
    """Images with a model of tests/vectors, made as docs/deployment/containers.md says."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.names: set[str] = set()

    def name_of(self, model: str, base: str) -> str:
        """The name of the image of a model, which is built when it is first needed."""
        name = f"{base}-{Path(model).stem}".replace("_", "-")
        if name not in self.names:
            folder = self.engine.folder / name
            folder.mkdir()
            shutil.copy(MODELS / model, folder / "model.onnx")
            file = f"FROM localhost/{base}\nCOPY model.onnx /models/\n"
            (folder / "Containerfile").write_text(file)
            self.engine.build(folder, name)
            self.names.add(name)
        return name
