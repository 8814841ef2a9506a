"""Runs a pod of deploy/kubernetes as the kubelet does: its sidecars, its probes, its restarts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from containers import ROOT, Engine

KUBERNETES = ROOT / "deploy/kubernetes"
# How long the kubelet waits for a pod to end, in seconds, if the pod does not say it.
GRACE_S = 30
# The kubelet's probes over HTTP and TCP, run in the network namespace of the container.
HTTP_PROBE = """
import ssl, sys, urllib.request
any_certificate = ssl._create_unverified_context()
urllib.request.urlopen(sys.argv[1], timeout=5, context=any_certificate).read()
"""
TCP_PROBE = """
import socket, sys
socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).close()
"""


def resources_of(folder: Path | str) -> list[dict[str, Any]]:
    """The resources that Kustomize makes of a folder of deploy/kubernetes."""
    words = ["kustomize", "build", str(KUBERNETES / folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def deployment_of(folder: Path | str) -> dict[str, Any]:
    return next(one for one in resources_of(folder) if one["kind"] == "Deployment")


class Pod:
    """The first pod of a Deployment. Its containers run the image `image`."""

    def __init__(self, engine: Engine, folder: str, image: str) -> None:
        self.engine, self.image = engine, image
        self.spec = deployment_of(folder)["spec"]["template"]["spec"]
        self.sidecars = self.spec.get("initContainers", [])
        self.names: list[str] = []
        # Where files of Secrets and other volumes of the pod are, by the name of the volume.
        self.folders: dict[str, Path] = {}
        # Further options of podman for every container.
        self.extra: tuple[str, ...] = ()
        for volume in self.spec.get("volumes", []):
            if volume.get("emptyDir", {}).get("medium") == "Memory":
                size = volume["emptyDir"]["sizeLimit"].removesuffix("Mi")
                options = f"o=mode=0777,size={size}m"
                created = ["volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs"]
                engine.podman(*created, f"--opt={options}", volume["name"])

    def container(self, name: str) -> dict[str, Any]:
        return next(c for c in [*self.sidecars, *self.spec["containers"]] if c["name"] == name)

    def options(self, name: str) -> tuple[str, ...]:
        """The options of podman that do what the pod says of this container."""
        user = self.spec["securityContext"] | self.container(name)["securityContext"]
        words = [f"--user={user['runAsUser']}:{user['runAsGroup']}"]
        for mount in self.container(name).get("volumeMounts", []):
            source = self.folders.get(mount["name"], mount["name"])
            read_only = ":ro" if mount.get("readOnly") else ""
            words.append(f"--volume={source}:{mount['mountPath']}{read_only}")
        return (*words, *self.extra)

    def start(self, name: str) -> None:
        """Starts a container, which is started again whenever it ends."""
        self.names.append(name)
        options = (*self.options(name), "--restart=always")
        self.engine.start(name, self.image, *self.container(name)["args"], options=options)

    def probe(self, name: str, kind: str) -> bool:
        """Whether a probe of a container passes."""
        probe = self.container(name)[kind]
        if "exec" in probe:
            words = ["exec", name, *probe["exec"]["command"]]
            return self.engine.try_podman(*words).returncode == 0
        ports = {port["name"]: port["containerPort"] for port in self.container(name)["ports"]}
        if "tcpSocket" in probe:
            port = ports[probe["tcpSocket"]["port"]]
            return self.in_network(name, sys.executable, "-c", TCP_PROBE, port).returncode == 0
        http = probe["httpGet"]
        at = f"{http.get('scheme', 'HTTP').lower()}://127.0.0.1:{ports[http['port']]}{http['path']}"
        return self.in_network(name, sys.executable, "-c", HTTP_PROBE, at).returncode == 0

    def in_network(
        self, name: str, *words: object, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of this machine in the network of a container."""
        network = f"--net=/proc/{self.engine.state(name)['Pid']}/ns/net"
        return self.engine.inside("nsenter", network, *words, **options)

    def wait_for(self, name: str, kind: str) -> None:
        deadline = time.monotonic() + 30
        while not self.probe(name, kind):
            log = self.engine.try_podman("logs", name).stderr
            assert time.monotonic() < deadline, f"{name}: {kind} does not pass\n{log}"
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """Kills the first process of a container, as the kernel does when memory runs out."""
        self.engine.inside("kill", "-KILL", self.engine.state(name)["Pid"])

    def stop(self, name: str) -> int:
        """Ends a container as the kubelet does, and returns its exit code: 137 if it was killed."""
        seconds = self.spec.get("terminationGracePeriodSeconds", GRACE_S)
        pre_stop = self.container(name).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        self.engine.podman("stop", f"--time={seconds - pre_stop.get('seconds', 0)}", name)
        return self.engine.state(name)["ExitCode"]

    def close(self) -> None:
        if self.names:
            self.engine.podman("rm", "--force", "--time=0", *reversed(self.names))
        self.engine.podman("volume", "prune", "--force")
