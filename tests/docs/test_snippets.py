"""Every block of code on a page of docs/ runs, or at least compiles, and prints what is shown.

README.md has tests of its own (tests/install/test_readme.py); here its blocks are parsed.
"""

import ast
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from sessions import Failed, Session
from snippets import LANGUAGES, ROOT, Snippet, is_long, matches, snippets_of

PAGES = sorted(
    page
    for folder in ("docs", "docs/deployment", "docs/tutorials")
    for page in (ROOT / folder).glob("*.md")
    if snippets_of(page)
)
# What a fragment of C may use without declaring it.
C_FRAME = """
#include <sidecall/server.h>
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <time.h>
void wait_for_sigterm(void);
void fragment(sidecall_model *model, sidecall_call *call, sidecall_status status, sidecall_error err,
              const float *values, size_t num_values);
void fragment(sidecall_model *model, sidecall_call *call, sidecall_status status, sidecall_error err,
              const float *values, size_t num_values) {
  (void)model, (void)call, (void)status, (void)err, (void)values, (void)num_values;
#line 1 "fragment"
%s}
"""


def parse(snippet: Snippet, folder: Path, environment: dict[str, str]) -> None:
    """Fails if a block is not correct code of its language."""
    if snippet.language == "python":
        ast.parse(snippet.code, snippet.place)
    elif snippet.language == "json":
        json.loads(snippet.code)
    elif snippet.language == "yaml":
        yaml.safe_load(snippet.code)
    elif snippet.language in {"sh", "bash"}:
        compile_with(["bash", "-n"], snippet.code, environment)
    elif snippet.language == "js":
        is_module = snippet.code.lstrip().startswith("import ")
        code = snippet.code if is_module else f"(async () => {{\n{snippet.code}\n}})()"
        kind = "module" if is_module else "commonjs"
        compile_with(["node", f"--input-type={kind}", "--check"], code, environment, folder)
    elif snippet.language in {"c", "cpp"}:
        is_c = snippet.language == "c"
        code = C_FRAME % snippet.code if is_c and "main(" not in snippet.code else snippet.code
        standard = ["cc", "-xc", "-std=c11"] if is_c else ["c++", "-xc++", "-std=c++17"]
        command = [*standard, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-"]
        compile_with([*command, "-I", str(ROOT / "include")], code, environment)


def compile_with(
    command: list[str], code: str, environment: dict[str, str], folder: Path | None = None
) -> None:
    done = subprocess.run(
        command, input=code, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class Page:
    """Executes the blocks of one page in order, each language in a session of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.sessions: dict[str, Session] = {}
        self.script = ""  # the JavaScript of the page, which is one program
        self.printed = ""

    def session(self, language: str) -> Session:
        if language not in self.sessions:
            self.sessions[language] = Session(language, self.folder, self.environment)
        return self.sessions[language]

    def take(self, snippet: Snippet) -> None:
        if snippet.kind == "output":
            if not matches(snippet.code, self.printed):
                raise Failed(f"expected\n{snippet.code}\ngot\n{self.printed}")
            return
        if snippet.language not in LANGUAGES:
            return
        parse(snippet, self.folder, self.environment)
        if snippet.kind == "file":
            (self.folder / snippet.detail).write_text(snippet.code, encoding="utf-8")
        elif snippet.kind == "fragment":
            pass
        elif snippet.kind == "background":
            self.session("sh").run(f"{snippet.code.rstrip()} &", snippet.place)
        elif snippet.language in {"sh", "bash", "python"}:
            language = "python" if snippet.language == "python" else "sh"
            self.printed = self.session(language).run(snippet.code, snippet.place)
        elif snippet.language == "js":
            self.script += snippet.code
            self.run_script()
        elif snippet.language == "ts":
            self.check_types(snippet)

    def run_script(self) -> None:
        program = self.folder / "page.cjs"
        program.write_text(f"(async () => {{\n{self.script}\n}})()\n", encoding="utf-8")
        self.printed = self.tool("node", program.name)

    def check_types(self, snippet: Snippet) -> None:
        (self.folder / "page.mts").write_text(snippet.code, encoding="utf-8")
        types = ROOT / "bindings" / "node" / "node_modules"
        options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"]
        self.tool(str(types / ".bin" / "tsc"), *options, "--target", "es2022", "page.mts")

    def tool(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise Failed(done.stdout + done.stderr)
        return done.stdout

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()


@pytest.mark.parametrize(
    "path",
    [pytest.param(page, marks=[pytest.mark.long] * is_long(page)) for page in PAGES],
    ids=lambda path: path.stem,
)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    path: Path, folder: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The page gets a home and addresses of servers that no other test uses.
    own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}
    page = Page(folder, environment | own)
    try:
        for snippet in snippets_of(path):
            try:
                page.take(snippet)
            except (AssertionError, SyntaxError, Failed) as failure:
                message = f"{path.relative_to(ROOT)}:{snippet.line}: {failure}"
                raise pytest.fail.Exception(message, pytrace=False) from None
    finally:
        page.close()


@pytest.mark.parametrize("snippet", snippets_of(ROOT / "README.md"), ids=lambda one: one.place)
def test_readme_is_correct_code(
    snippet: Snippet, tmp_path: Path, environment: dict[str, str]
) -> None:
    parse(snippet, tmp_path, environment)


def test_every_block_names_its_language() -> None:
    """A block without a language would be shown without colours and would not be tested."""
    for page in PAGES:
        fences = [
            line for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "```"
        ]
        assert len(fences) % 2 == 0, page
        bare = [line for line in fences[::2] if line == "```"]
        assert not bare, f"{page}: {len(bare)} blocks without a language; write ```text"


def test_dots_in_an_expected_output_match_any_lines() -> None:
    assert matches("a\n...\nd\n", "a\nb\nc\nd\n")
    assert matches("0.729\n", "0.729  \n")
    assert not matches("a\n...\nd\n", "a\nb\nc\n")
    assert not matches("0.729\n", "0.7291\n")
