"""The commands of docs/deployment/containers.md, as a reader types them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from containers import MODELS, ROOT, Engine
from snippets import matches, snippets_of

PAGE = ROOT / "docs/deployment/containers.md"
END = "--- the end of a block"


BLOCKS = snippets_of(PAGE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a reader: the model, and the repository beside it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "sidecall").symlink_to(ROOT)
    shutil.copy(MODELS / "penguins.onnx", tmp_path / "own")
    return tmp_path / "own"


def test_the_commands_for_podman_print_what_the_page_shows(engine: Engine, folder: Path) -> None:
    script = ""
    shown: list[str | None] = []  # for each block of commands, the output that the page shows
    for block in BLOCKS:
        if block.kind == "file":
            (folder / block.detail).write_text(block.code)
        elif block.detail.startswith("tests/deploy/test_page.py") and block.language == "sh":
            script += f"{block.code}echo {END}\n"
            shown.append(None)
        elif block.language == "text":
            shown[-1] = block.code
    done = engine.inside("bash", "-ec", f"cd {folder}\n{script}")
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{END}\n")[:-1]
    assert len(printed) == 4
    for expected, got in zip(shown, printed, strict=True):
        assert expected is None or matches("..." + expected, got), got


@pytest.mark.skipif(shutil.which("kustomize") is None, reason="needs kustomize")
@pytest.mark.parametrize("base", ["kubernetes/base", "kubernetes/sidecar"])
def test_the_kustomizations_of_the_page_name_the_image_of_the_reader(
    folder: Path, base: str
) -> None:
    [text] = [block.code for block in BLOCKS if block.language == "yaml" and base in block.code]
    (folder / "kustomization.yaml").write_text(text)
    shutil.copy(ROOT / "deploy/kubernetes/overlays/backend/deployment.yaml", folder)
    words = ["kustomize", "build", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    resources = list(yaml.safe_load_all(done.stdout))
    [deployment] = [one for one in resources if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    [model] = [
        c for c in [*pod.get("initContainers", []), *pod["containers"]] if c["name"] == "model"
    ]
    assert model["image"] == "registry.example.com/penguins:1"
    names = {one["metadata"]["name"] for one in resources}
    assert names == ({"penguins-model"} if base.endswith("base") else {"backend"})
