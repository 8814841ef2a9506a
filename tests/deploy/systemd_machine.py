"""Boots systemd in namespaces of its own, to run the units of deploy/systemd as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from containers import BUILD, ROOT

SYSTEMD = Path("/lib/systemd/systemd")
# Makes a root file system that is a copy of this machine's: what is written to it goes to memory.
# The command is installed in it. Then systemd runs there as the first process, and starts nothing
# but what a test asks for.
BOOT = """
group=$1 root=$2 build=$3
mount -t tmpfs none /dev/shm
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$group"
echo 0 >"/sys/fs/cgroup/$group/cgroup.procs"
exec unshare --cgroup sh -ec '
  root=$1 build=$2
  mount -t tmpfs none /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
  cd /mnt/root
  for folder in run tmp; do mount -t tmpfs none $folder; done
  mount -t proc none proc
  mount -t sysfs none sys
  mount -t cgroup2 none sys/fs/cgroup
  mount --rbind /dev dev
  mkdir -p ".$root" usr/local/bin run/systemd/system
  mount --bind "$root" ".$root"
  cp "$build/bin/sidecall" usr/local/bin
  printf "[Unit]\\n" >run/systemd/system/empty.target
  mkdir -p old
  pivot_root . old
  umount -l old
  exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=empty.target --log-target=null
' sh "$root" "$build"
"""
NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts")


def reason_to_skip() -> str | None:
    """The reason why systemd cannot run here; None if it can."""
    if not SYSTEMD.exists():
        return "needs systemd: make test-long installs it"
    if os.geteuid() != 0:
        return "needs root: systemd runs services of several users"
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "--cgroup", "--fork", "true"], capture_output=True, text=True
    )
    return None if tried.returncode == 0 else f"unshare: {tried.stderr.strip()}"


class Machine:
    """A machine on which nothing runs yet."""

    def __init__(self) -> None:
        self.group = f"sidecall-test-{os.getpid()}"
        self.pid = ""
        options = [*NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
        words = ["sh", "-ec", BOOT, "sh", self.group, str(ROOT), str(BUILD.resolve())]
        self.process = subprocess.Popen(["unshare", *options, *words])
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 30
        while not self.is_running():
            assert self.process.poll() is None, "systemd has ended"
            assert time.monotonic() < deadline, "systemd does not start"
            self.pid = children.read_text().strip()
            time.sleep(0.05)

    def is_running(self) -> bool:
        words = ("systemctl", "is-system-running")
        return self.pid != "" and self.run(*words).stdout.strip() == "running"

    def run(self, *words: object, text: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a program as root on the machine."""
        enter = ["nsenter", f"--target={self.pid}", *NAMESPACES, "--cgroup", "--root", "--wd"]
        return subprocess.run(
            [*enter, *map(str, words)], input=text, capture_output=True, text=True, timeout=60
        )

    def write(self, path: str, content: bytes | str) -> None:
        """Writes a file, which everyone may read."""
        inside = Path(f"/proc/{self.pid}/root{path}")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_bytes(content.encode() if isinstance(content, str) else content)

    def systemctl(self, *words: str) -> int:
        return self.run("systemctl", *words).returncode

    def log(self, unit: str) -> str:
        return self.run("journalctl", f"--unit={unit}", "--output=cat", "--no-pager").stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").stdout.strip()

    def close(self) -> None:
        # With the first process of the namespaces all others end, before unshare does.
        if self.pid:
            os.kill(int(self.pid), signal.SIGKILL)
        self.process.wait(30)
        remove = 'mount -t cgroup2 none /mnt && find "/mnt/$0" -depth -type d -exec rmdir {} +'
        subprocess.run(["unshare", "--mount", "sh", "-c", remove, self.group], check=False)
