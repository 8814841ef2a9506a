"""The page with a model whose names are code: they stay text, also in the programs to copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import sidecall
from browser import HOSTILE, HTTP, PHONE, Browser, overflow, predict, url, violations
from own_server import OwnServer
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from vector_servers import engine_path

pytestmark = [pytest.mark.usefixtures("network_library"), pytest.mark.long]
ROOT = Path(__file__).parents[2]
LIBRARIES = ROOT / "build/lib"
TEXTS = [HOSTILE, "'; exit 1; '", '"#); ${1} \\u000a {{', "line\nbreak\r"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    """A model whose name, features, categories and classes are code in many languages."""
    folder = tmp_path_factory.mktemp("hostile")
    data = pd.DataFrame(
        {
            HOSTILE: [*TEXTS, *TEXTS],
            "__proto__": [1.5, -2, 3, 4, 5, 6, 7, 8],
            "'$(exit 1)\"#": [1.0, 0, 1, 0, 1, 0, 1, 0],
        }
    )
    encode = make_column_transformer((OneHotEncoder(), [HOSTILE]), remainder="passthrough")
    fitted = make_pipeline(encode, LogisticRegression()).fit(data, TEXTS[:2] * 4)
    sidecall.export(fitted, folder / "hostile.onnx", data, name=HOSTILE)
    started = OwnServer(str(folder / "hostile.onnx"), folder, *HTTP)
    yield started
    assert started.end() == 0, started.log()


def test_names_of_a_hostile_model_are_only_text(browser: Browser, hostile: OwnServer) -> None:
    with browser.page(url(hostile), PHONE) as page:
        page.wait_for_selector("#model")
        assert page.inner_text("#name") == HOSTILE
        for row in range(page.locator("#example option").count() - 1):
            page.select_option("#example", str(row))
            predict(page)
        for tab in page.locator("[role=tab]").all():
            tab.click()
        assert page.locator("main img, header img, main script").count() == 0
        assert overflow(page) <= 0
        assert violations(page) == []


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


# Each writes a program into a folder and returns the command that runs it.


def shell(folder: Path, text: str) -> list[str]:
    (folder / "call").write_text(text, newline="")
    return ["sh", "call"]


def python(folder: Path, text: str) -> list[str]:
    (folder / "call.py").write_text(text, newline="")
    return [sys.executable, "call.py"]


def node(folder: Path, text: str) -> list[str]:
    package = folder / "node_modules/sidecall"
    package.parent.mkdir(exist_ok=True)
    if not package.is_symlink():
        package.symlink_to(ROOT / "bindings/node")
    (folder / "call.mjs").write_text(text, newline="")
    return [tool("node"), "call.mjs"]


def go(folder: Path, text: str) -> list[str]:
    (folder / "main.go").write_text(text, newline="")
    (folder / "go.mod").write_text(
        "module call\ngo 1.24\nrequire sidecall.dev/sidecall v0.0.0\n"
        f"replace sidecall.dev/sidecall => {ROOT / 'bindings/go'}\n"
    )
    return [tool("go"), "run", "."]


def java(folder: Path, text: str) -> list[str]:
    classes = folder / "classes"
    if not classes.exists():
        sources = (ROOT / "bindings/java/src/main/java").rglob("*.java")
        subprocess.run([tool("javac"), "-d", classes, *sources], check=True, timeout=100)
    (folder / "Main.java").write_text(text, newline="")
    return [tool("java"), "--enable-native-access=ALL-UNNAMED", "-cp", "classes", "Main.java"]


def rust(folder: Path, text: str) -> list[str]:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src/main.rs").write_text(text, newline="")
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "call"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n'
        f'sidecall = {{ path = "{ROOT / "bindings/rust/sidecall"}" }}\n'
    )
    command = [tool("cargo"), "run", "--quiet", "--offline"]
    # rustup's cargo works only for users who have chosen a toolchain.
    if subprocess.run([command[0], "--version"], capture_output=True, check=False).returncode == 0:
        return command
    return ["env", f"PATH=/usr/bin:{os.environ['PATH']}", "cargo", *command[1:]]


PROGRAMS = {"curl": shell, "Python": python, "Node.js": node, "Go": go, "Java": java, "Rust": rust}
ENVIRONMENT = {
    "CGO_LDFLAGS": f"-L{LIBRARIES}",
    "GOFLAGS": "-mod=mod",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "LD_LIBRARY_PATH": str(LIBRARIES),
    "SIDECALL_LIBRARY": str(LIBRARIES / "libsidecall.so"),
    "SIDECALL_LIB_DIR": str(LIBRARIES),
}


@pytest.mark.parametrize(("tab", "write"), PROGRAMS.items(), ids=PROGRAMS)
def test_calls_to_copy_give_the_answer_of_the_page(
    browser: Browser,
    hostile: OwnServer,
    tmp_path: Path,
    tab: str,
    write: Callable[[Path, str], list[str]],
) -> None:
    with browser.page(url(hostile)) as page:
        page.wait_for_selector("#model")
        page.get_by_role("tab", name=tab).click()
        for index in range(len(TEXTS)):
            page.select_option("#feature-0", index=index)
            predict(page)
            page.locator("#answer summary").click()
            shown = json.loads(page.inner_text("#answer details pre"))
            done = subprocess.run(
                write(tmp_path, page.text_content("#call-text")),
                env={"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ | ENVIRONMENT,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            if tab in ("curl", "Rust"):
                assert json.loads(done.stdout) == shown
            else:
                assert str(shown["probabilities"][HOSTILE]) in done.stdout
