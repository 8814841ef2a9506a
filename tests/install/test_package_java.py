"""The jars of `make package-java`: a program of an empty folder that has Java alone."""

import hashlib
import platform
import shutil
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from .conftest import (
    PENGUINS,
    PENGUINS_OUTPUT,
    ROOT,
    VERSION,
    Application,
    make_packages,
    make_room,
)

pytestmark = pytest.mark.long

EXAMPLE = ROOT / "examples" / "java" / "Penguins.java"
MACHINE = platform.machine()
POM = "{http://maven.apache.org/POM/4.0.0}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this version in the repository of Maven."""
    dist = make_packages(tmp_path_factory.mktemp("dist"), "package-java")
    return dist / "java" / "dev" / "sidecall" / "sidecall" / VERSION


@pytest.fixture(scope="module")
def jars(folder: Path) -> tuple[Path, Path]:
    """The module, and the library for this machine."""
    stem = f"sidecall-{VERSION}"
    return folder / f"{stem}.jar", folder / f"{stem}-natives-linux-{MACHINE}.jar"


@pytest.fixture
def application(tmp_path: Path) -> Application:
    application = make_room(tmp_path, {"java": shutil.which("java")})
    shutil.copy(EXAMPLE, application.folder)
    return application


def names_in(jar: Path) -> set[str]:
    with zipfile.ZipFile(jar) as archive:
        return set(archive.namelist())


def test_the_folder_is_a_repository_of_maven(folder: Path, jars: tuple[Path, Path]) -> None:
    stem = f"sidecall-{VERSION}"
    kinds = {".jar", "-sources.jar", "-javadoc.jar", f"-natives-linux-{MACHINE}.jar", ".pom"}
    files = {path.name for path in folder.iterdir() if path.suffix in {".jar", ".pom"}}
    assert files == {stem + kind for kind in kinds}
    for name in files:
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            digest = (folder / f"{name}.{algorithm}").read_text(encoding="ascii")
            assert digest == hashlib.new(algorithm, (folder / name).read_bytes()).hexdigest()
    project = ElementTree.parse(folder / f"{stem}.pom").getroot()
    found = [project.findtext(POM + name) for name in ("groupId", "artifactId", "version")]
    assert found == ["dev.sidecall", "sidecall", VERSION]
    metadata = ElementTree.parse(folder.parent / "maven-metadata.xml").getroot()
    assert [entry.text for entry in metadata.iter("version")] == [VERSION]


def test_the_jars_hold_what_their_names_say(folder: Path, jars: tuple[Path, Path]) -> None:
    module, natives = map(names_in, jars)
    assert {"module-info.class", "dev/sidecall/Model.class", "META-INF/LICENSE"} <= module
    library = f"dev/sidecall/native/linux-{MACHINE}/libsidecall.so"
    licences = {"META-INF/LICENSE", "META-INF/ThirdPartyNotices.md"}
    assert natives == {"META-INF/MANIFEST.MF", "module-info.class", library} | licences
    assert "dev/sidecall/Model.java" in names_in(folder / f"sidecall-{VERSION}-sources.jar")
    assert "index.html" in names_in(folder / f"sidecall-{VERSION}-javadoc.jar")


def test_a_program_on_the_class_path_finds_the_library_in_its_jar(
    application: Application, jars: tuple[Path, Path]
) -> None:
    options = ("--enable-native-access=ALL-UNNAMED", "-cp", ":".join(map(str, jars)))
    assert application.run("java", *options, "Penguins.java", PENGUINS) == PENGUINS_OUTPUT


def test_a_program_on_the_module_path_names_the_module_of_the_library(
    application: Application, jars: tuple[Path, Path]
) -> None:
    modules = f"dev.sidecall,dev.sidecall.natives.linux.{MACHINE}"
    options = ("--enable-native-access=dev.sidecall", "--add-modules", modules)
    path = ":".join(map(str, jars))
    assert (
        application.run("java", *options, "-p", path, "Penguins.java", PENGUINS) == PENGUINS_OUTPUT
    )
