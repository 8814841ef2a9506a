"""The commands of docs/network.md, word for word, on two hosts that are network namespaces.

A pair of virtual interfaces joins them, so the server has addresses beyond its own host. The hosts
of the page are names in the client's /etc/hosts. Needs root.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sidecall
from snippets import ROOT, Snippet, snippets_of

PAGE = ROOT / "docs/network.md"
SERVER = {"models.internal": "10.213.7.1", "a.internal": "10.213.7.2", "b.internal": "10.213.7.3"}
SERVER |= {"triton": "10.213.7.4"}
CLIENT = "10.213.7.9"
# Where the blocks run. Each reason of a fragment on the page must be here.
ON_CLIENT = {
    "it needs a server on another host",
    "it needs servers on other hosts",
    "on the client",
}
ON_SERVER = {"it needs a file of the reader", "it needs the server", "on the server"}
BACKGROUND = {"it serves until it is stopped", "on the server, until it is stopped"}
TRAIN = """
import joblib, numpy as np, pandas as pd, sidecall
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
random = np.random.default_rng(0)
amounts, countries = random.uniform(1, 99, 200), random.choice(["DE", "FR"], 200)
X = pd.DataFrame({"amount": amounts, "country": countries})
steps = make_column_transformer((OneHotEncoder(), ["country"]), remainder="passthrough")
model = make_pipeline(steps, LogisticRegression()).fit(X, X["amount"] > 50)
sidecall.export(model, "fraud.onnx", X, progress=False)
joblib.dump(model, "fraud.joblib")
X.to_json("rows.jsonl", orient="records", lines=True)
"""
# The module that the page serves as a Python object.
APP = """
import joblib
model = joblib.load("fraud.joblib")
"""
RECORD = {"amount": 12.5, "country": "DE"}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False).returncode,
        reason="network namespaces need root",
    ),
]


class Host:
    """A network namespace with a folder of its own, as a host has a home."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str]) -> None:
        self.name, self.folder, self.environment = name, folder, environment
        self.hosts = folder / "hosts"
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir()
        subprocess.run(["ip", "netns", "add", name], check=True)

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", "-netns", self.name, *words], check=True)

    def command(self, *words: str) -> list[str]:
        # `ip netns exec` makes a mount namespace, so this /etc/hosts is seen by the command alone.
        mount = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        inside = ["sh", "-ec", mount, "sh", str(self.hosts), *words]
        return ["ip", "netns", "exec", self.name, *inside]

    def run(self, language: str, code: str) -> str:
        program = ["bash", "-ec", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(
            self.command(*program),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, code: str) -> None:
        """Starts a server, and waits until it says that it is ready."""
        log = self.folder / f"log-{len(self.processes)}"
        with log.open("wb") as file:
            self.processes.append(
                subprocess.Popen(
                    # `exec`, so that the process is the server itself.
                    self.command("bash", "-ec", f"exec {code}"),
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                )
            )
        deadline = time.monotonic() + 30
        while "serve.ready" not in log.read_text():
            assert self.processes[-1].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    def stop(self, first: int = 0) -> None:
        """Stops the servers from that one on, in the order of their starts."""
        for process in self.processes[first:]:
            process.terminate()
            assert process.wait(30) == 0
        del self.processes[first:]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(30)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


@pytest.fixture
def hosts(
    tmp_path: Path, environment: dict[str, str], network_library: Path
) -> Iterator[tuple[Host, Host]]:
    """The server and the client, with the files that the page takes for granted."""
    environment = environment | {"SIDECALL_NET": str(network_library)}
    number = str(os.getpid())
    server = Host(f"sidecall-s{number}", tmp_path / "server", environment)
    client = Host(f"sidecall-c{number}", tmp_path / "client", environment)
    try:
        names = "".join(f"{ip} {name}\n" for name, ip in SERVER.items())
        for host in (server, client):
            host.hosts.write_text(f"127.0.0.1 localhost\n{names}")
            host.ip("link", "set", "lo", "up")
        # Names of interfaces have at most 15 characters.
        ends = [f"s{number}", f"c{number}"]
        server.ip(*("link", "add", ends[0], "type", "veth", "peer", "name", ends[1]))
        server.ip("link", "set", ends[1], "netns", client.name)
        for ip in SERVER.values():
            server.ip("addr", "add", f"{ip}/24", "dev", ends[0])
        client.ip("addr", "add", f"{CLIENT}/24", "dev", ends[1])
        server.ip("link", "set", ends[0], "up")
        client.ip("link", "set", ends[1], "up")
        (server.folder / "app.py").write_text(APP)
        subprocess.run([sys.executable, "-c", TRAIN], cwd=server.folder, check=True, timeout=120)
        shutil.copy(server.folder / "fraud.onnx", client.folder)
        (client.folder / "rows.jsonl").write_text(json.dumps(RECORD) + "\n")
        yield server, client
    finally:
        server.close()
        client.close()


def blocks() -> list[Snippet]:
    return [each for each in snippets_of(PAGE) if each.language in {"sh", "python"}]


def predict_inline() -> list[str]:
    """The commands in the text of the page that call a server on another host."""
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    return [code for code in text.split("`")[1::2] if code.startswith("sidecall predict http")]


def test_each_block_of_the_page_says_where_it_runs() -> None:
    known = ON_CLIENT | ON_SERVER | BACKGROUND
    assert {block.detail for block in blocks()} <= known
    assert predict_inline() == ["sidecall predict http://models.internal:8000/fraud < rows.jsonl"]


def test_every_command_of_the_page_does_what_it_says(hosts: tuple[Host, Host]) -> None:
    server, client = hosts
    with sidecall.open(server.folder / "fraud.onnx") as local:
        expected = local.predict(RECORD)
    plain = [block for block in blocks() if "on the" not in block.detail]
    secured = [block for block in blocks() if "on the" in block.detail]

    # The servers of the pages's first part, which are open to everyone.
    serve = "sidecall serve fraud.onnx --json-log --insecure --allow-host '*' --name fraud"
    for name in ("models.internal", "a.internal", "b.internal"):
        server.start(f"{serve} --http {SERVER[name]}:8000 --grpc {SERVER[name]}:8001")
    answers = 0
    for block in plain:
        code = block.code.strip()
        if "tritonserver" in code:  # which is not installed here: sidecall serves the same file
            lines = code.splitlines()
            server.run("sh", "\n".join(line for line in lines if "tritonserver" not in line))
            shutil.copytree(server.folder / "repository", client.folder / "repository")
            file = "repository/fraud/1/model.onnx"
            command = serve.replace("fraud.onnx", file)
            server.start(f"{command} --grpc {SERVER['triton']}:8001")
        elif block.detail in BACKGROUND:
            if "app:model" in code:  # at the addresses of the server before
                server.stop(len(server.processes) - 1)
            server.start(f"{code} --json-log")
            if "app:model" in code:
                ask = f"curl -s --json '{json.dumps(RECORD)}' http://127.0.0.1:8000"
                got = json.loads(server.run("sh", f"{ask}/v2/models/fraud/predict"))
                assert got["label"] == expected["label"]
        elif block.detail in ON_SERVER:
            assert json.loads(server.run("sh", code)) == expected
            answers += 1
        else:
            ask = f"import sidecall, json\n{code}\nprint(json.dumps(model.predict({RECORD!r})))"
            assert json.loads(client.run("python", ask)) == expected
            answers += 1
    for code in predict_inline():
        assert json.loads(client.run("sh", code)) == expected
    assert answers == 4
    server.stop()

    # With TLS and tokens.
    for block in secured:
        code = block.code.strip()
        if block.detail in BACKGROUND:
            server.start(f"{code} --json-log")
            shutil.copy(server.folder / "ca.pem", client.folder)
            shutil.copy(server.folder / "tokens", client.folder / "token")
        elif block.detail in ON_SERVER:
            server.run("sh", code)
        elif block.language == "python":
            printed = client.run("python", f"import sidecall\n{code}")
            assert printed.strip() == str(expected)
        else:
            printed = client.run("sh", code)
            if "predict" in code:
                last_two = [json.loads(line) for line in printed.splitlines()[-2:]]
                assert last_two == [expected, expected]
            assert "golden rows: " in printed and "tls of models.internal" in printed

    # What the page says about clients without the token, or with another authority.
    uri = "grpcs://models.internal:8001/fraud?ca=ca.pem"
    (client.folder / "token").write_text("another\n")
    assert "Denied" in client.run("python", raises(f"{uri}&token=token"))
    assert "Unreachable" in client.run("python", raises("https://models.internal:8000/fraud"))
    server.stop()


def raises(uri: str) -> str:
    return f"""
import sidecall
try:
    sidecall.open({uri!r})
except sidecall.Error as error:
    print(type(error).__name__)
"""


def test_a_server_for_other_hosts_needs_a_token_or_says_insecure(hosts: tuple[Host, Host]) -> None:
    server, _ = hosts
    code = "sidecall serve fraud.onnx --http 10.213.7.1:8000 2>&1 && exit 1; true"
    assert "insecure" in server.run("sh", code)
