"""The images of deploy/container, run as Kubernetes runs them: without root, and read-only."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from containers import BUILD, MODELS, ROOT, Engine, assemble

IMAGES = ["sidecall", "sidecall-native"]
WITH_MODELS = (f"--volume={MODELS}:/models:ro",)
BIRD = '{"island": "Biscoe", "bill_length_mm": 48.2}\n'


def members_of(engine: Engine, image: str) -> list[tarfile.TarInfo]:
    """Everything in the root file system of an image."""
    container = engine.podman("create", image)
    file = engine.folder / "exported.tar"
    engine.podman("export", "--output", file, container)
    engine.podman("rm", container)
    with tarfile.open(file) as archive:
        return archive.getmembers()


@pytest.mark.parametrize("image", IMAGES)
def test_the_command_runs_in_the_image(engine, image):
    version = (ROOT / "VERSION").read_text().strip()
    assert engine.run(image, "--version").stdout == f"sidecall {version}\n"
    assert engine.run(image).stdout.startswith("sidecall")  # without a command: the help


@pytest.mark.parametrize("image", IMAGES)
def test_predict_answers_rows_from_standard_input(engine, image):
    words = ["predict", "penguins.onnx", "--only", "label"]
    done = engine.run(image, *words, input=BIRD, options=WITH_MODELS)
    assert (done.returncode, done.stdout) == (0, '{"label":"Gentoo"}\n')


@pytest.mark.parametrize("image", IMAGES)
def test_the_image_has_no_shell_and_no_other_program(engine, image):
    members = members_of(engine, image)
    programs = {m.name for m in members if m.isfile() and m.mode & 0o100 and ".so" not in m.name}
    assert programs == {"usr/bin/sidecall"}
    done = engine.run(image, "-c", "true", options=("--entrypoint=/bin/sh",))
    assert done.returncode == 127
    assert "/bin/sh" in done.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_only_the_folder_for_sockets_belongs_to_the_user_of_the_image(engine, image):
    members = members_of(engine, image)
    assert {m.name.rstrip("/") for m in members if m.uid != 0} == {"run/app"}
    assert [m.name for m in members if m.mode & 0o6022 and not m.issym()] == []


def test_the_user_of_the_image_has_a_name_and_is_not_root(engine):
    user = engine.podman("image", "inspect", "sidecall", "--format={{.Config.User}}")
    assert user == "65532:65532"
    # The group is found by its name, in /etc/group: the server admits it and waits for calls.
    words = ["serve", "penguins.onnx", "--at=shm:/run/app/a.sock", "--group=sidecall"]
    options = (*WITH_MODELS, "--volume=named:/run/app")
    engine.start("named", "sidecall", *words, options=options)
    try:
        ready = ["exec", "named", "sidecall", "status", "shm:/run/app/a.sock", "--ready"]
        assert engine.podman(*ready, "--wait", "20") == "ready"
        pid = engine.state("named")["Pid"]
        ids = engine.inside(
            "grep", "-E", "^(Uid|CapEff|NoNewPrivs|Seccomp):", f"/proc/{pid}/status"
        )
        assert ids.stdout.split("\n")[:4] == [
            "Uid:\t65532\t65532\t65532\t65532",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ]
    finally:
        engine.podman("rm", "--force", "named")


@pytest.mark.parametrize("read_only", [True, False])
def test_nothing_can_be_written_outside_of_volumes(engine, read_only):
    words = ["serve", "penguins.onnx", "--at=shm:/made.sock"]
    options = (*WITH_MODELS, f"--read-only={str(read_only).lower()}")
    done = engine.run("sidecall-native", *words, options=options)
    assert done.returncode == 4
    assert ("Read-only file system" if read_only else "Permission denied") in done.stderr


def test_a_model_that_is_not_there_is_named(engine):
    done = engine.run("sidecall-native", "predict", "fraud.onnx", options=WITH_MODELS)
    assert (done.returncode, done.stderr) == (3, "sidecall: file 'fraud.onnx': no such file\n")


def test_a_model_that_others_may_not_read_is_named(engine, tmp_path):
    (tmp_path / "fraud.onnx").write_bytes((MODELS / "penguins.onnx").read_bytes())
    (tmp_path / "fraud.onnx").chmod(0o600)
    options = (f"--volume={tmp_path}:/models:ro",)
    done = engine.run("sidecall-native", "predict", "fraud.onnx", options=options)
    error = "sidecall: file 'fraud.onnx': permission denied\n"
    assert (done.returncode, done.stderr) == (3, error)


def test_the_full_image_runs_models_with_onnxruntime(engine):
    words = ["predict", "penguins.onnx", "--engine=onnxruntime", "--only", "label"]
    done = engine.run("sidecall", *words, input=BIRD, options=WITH_MODELS)
    assert (done.returncode, done.stdout) == (0, '{"label":"Gentoo"}\n')


def test_the_native_image_says_that_it_has_no_onnxruntime(engine):
    words = ["predict", "penguins.onnx", "--engine=onnxruntime"]
    done = engine.run("sidecall-native", *words, input=BIRD, options=WITH_MODELS)
    assert done.returncode == 4
    assert "no ONNX Runtime library was found" in done.stderr


def test_the_native_image_says_that_it_has_no_network_route(engine):
    words = ["serve", "penguins.onnx", "--http=127.0.0.1:8000"]
    done = engine.run("sidecall-native", *words, options=WITH_MODELS)
    assert done.returncode != 0
    assert "libsidecall-net.so, which was not found" in done.stderr


def test_the_full_image_trusts_the_authorities_of_the_system(engine):
    done = engine.run("sidecall", "doctor")
    assert "trusts the authorities in /etc/ssl/certs/ca-certificates.crt" in done.stdout


@pytest.mark.parametrize("image", IMAGES)
def test_the_image_has_the_licences_of_what_it_contains(engine, image):
    names = {member.name for member in members_of(engine, image)}
    expected = {"libc6/copyright", "libstdc++6/copyright", "sidecall/LICENSE"}
    if image == "sidecall":
        expected |= {"sidecall/LICENSE.onnxruntime"}
    assert {f"usr/share/doc/{name}" for name in expected} <= names


def test_the_server_answers_over_shared_memory_and_http(engine):
    addresses = ["shm:/run/app/a.sock", "http://127.0.0.1:8000/penguins"]
    words = ["serve", "penguins.onnx", f"--at={addresses[0]}", "--http=127.0.0.1:8000"]
    options = (*WITH_MODELS, "--tmpfs=/run/app:mode=0777")
    engine.start("both", "sidecall", *words, "--json-log", options=options)
    try:
        deadline = time.monotonic() + 20
        while "serve.ready" not in engine.events("both"):
            assert time.monotonic() < deadline, engine.podman("logs", "both")
        for address in addresses:
            predict = ["exec", "--interactive", "both", "sidecall", "predict", address]
            answer = engine.podman(*predict, "--only", "label", input=BIRD)
            assert answer == '{"label":"Gentoo"}'
        engine.podman("stop", "--time=20", "both")
        assert engine.state("both")["ExitCode"] == 0
    finally:
        engine.podman("rm", "--force", "both")


def test_a_server_in_a_container_can_confine_itself(engine):
    words = ["serve", "penguins.onnx", "--at=shm:/run/app/a.sock", "--sandbox=require"]
    options = (*WITH_MODELS, "--tmpfs=/run/app:mode=0777")
    engine.start("confined", "sidecall-native", *words, options=options)
    try:
        ready = ["exec", "confined", "sidecall", "status", "shm:/run/app/a.sock", "--ready"]
        assert engine.podman(*ready, "--wait", "20") == "ready"
    finally:
        engine.podman("rm", "--force", "confined")


def test_an_image_without_its_libraries_is_not_assembled(tmp_path):
    def refused(build: Path, *options: object) -> str:
        script = ROOT / "tools/package/image.py"
        words = [sys.executable, script, "--build", build, "--out", tmp_path / "out", *options]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    missing = tmp_path / "bin/sidecall"
    assert refused(tmp_path) == f"{missing}: expected a file, found none\n"
    runtime = tmp_path / "capi/libonnxruntime.so.1"
    assert refused(BUILD, "--onnxruntime", runtime) == f"{runtime}: expected a file, found none\n"


@pytest.mark.parametrize("umask", [0o077, 0o027])
def test_everyone_may_read_the_image_of_a_user_who_lets_no_one_read(tmp_path, umask):
    folder = assemble(tmp_path / "out", umask=umask)
    for path in folder.rglob("*"):
        mode, least = path.stat().st_mode, 0o755 if path.is_dir() else 0o644
        assert mode & least == least, f"{path}: {mode:o}"


def test_a_folder_is_assembled_afresh(tmp_path):
    stale = [tmp_path / "out" / part / "stale" for part in ("root", "app")]
    for file in stale:
        file.parent.mkdir(parents=True)
        file.touch()
    assemble(tmp_path / "out")
    assert not any(file.exists() for file in stale)
