"""Packs the Java module as a folder that Maven and Gradle take for a repository.

`make package-java` runs it. There is a jar for each purpose: the module, its sources, its
reference, and the native library of each machine, as a module of its own that contains nothing else.
"""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from common import ROOT, VERSION, Options, read_options, write_zip

GROUP, ARTIFACT = "dev.sidecall", "sidecall"
SOURCES = ROOT / "bindings" / "java" / "src" / "main" / "java"
RELEASE = "22"  # of Java, the oldest that the module runs on

POM = f"""<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0"
         xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
         xsi:schemaLocation="http://maven.apache.org/POM/4.0.0 https://maven.apache.org/xsd/maven-4.0.0.xsd">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{GROUP}</groupId>
  <artifactId>{ARTIFACT}</artifactId>
  <version>{VERSION}</version>
  <name>sidecall</name>
  <description>Call machine-learning models that were trained in Python</description>
  <licenses>
    <license>
      <name>Apache-2.0</name>
      <url>https://www.apache.org/licenses/LICENSE-2.0.txt</url>
    </license>
  </licenses>
</project>
"""
METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<metadata>
  <groupId>{group}</groupId>
  <artifactId>{artifact}</artifactId>
  <versioning>
    <latest>{latest}</latest>
    <release>{latest}</release>
    <versions>
{versions}
    </versions>
  </versioning>
</metadata>
"""
MANIFEST = b"Manifest-Version: 1.0\r\n\r\n"


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def compile_module(warnings: str, classes: Path, *sources: Path) -> None:
    options = ("--release", RELEASE, "--module-version", VERSION, warnings, "-Werror")
    run("javac", *options, "-d", classes, *sources)


def read_tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_jar(path: Path, files: dict[str, bytes]) -> None:
    write_zip(path, {"META-INF/MANIFEST.MF": MANIFEST} | files)


def pack_module(options: Options, work: Path, stem: Path) -> None:
    """Writes the jars of the module, its sources and its reference."""
    licence = {"META-INF/LICENSE": options.licences()["LICENSE"]}
    sources = sorted(SOURCES.rglob("*.java"))
    classes, pages = work / "classes", work / "pages"
    compile_module("-Xlint:all", classes, *sources)
    module = ("--module-source-path", f"dev.sidecall={SOURCES}", "--module", "dev.sidecall")
    run("javadoc", "-quiet", "-notimestamp", "--release", RELEASE, "-d", pages, *module)
    write_jar(Path(f"{stem}.jar"), licence | read_tree(classes))
    write_jar(Path(f"{stem}-sources.jar"), licence | read_tree(SOURCES))
    write_jar(Path(f"{stem}-javadoc.jar"), licence | read_tree(pages))


def pack_native(options: Options, machine: str, work: Path, stem: Path) -> None:
    """Writes the jar with the library. A program on the module path names its module."""
    source, classes = work / machine / "module-info.java", work / machine / "classes"
    source.parent.mkdir(parents=True)
    name = f"dev.sidecall.natives.linux.{machine}"
    text = f"/** Holds libsidecall for Linux on {machine}. */\nmodule {name} {{}}\n"
    source.write_text(text, encoding="utf-8")
    # A name that ends with a digit is worth a warning, unlike that of a processor.
    compile_module("-Xlint:all,-module", classes, source)
    library = options.native(machine, "libsidecall.so").read_bytes()
    licences = {f"META-INF/{name}": text for name, text in options.licences().items()}
    resource = {f"dev/sidecall/native/linux-{machine}/libsidecall.so": library}
    write_jar(Path(f"{stem}-natives-linux-{machine}.jar"), licences | read_tree(classes) | resource)


def version_key(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def add_checksums(folder: Path) -> None:
    for path in [path for path in folder.iterdir() if path.is_file()]:
        for name in ("md5", "sha1", "sha256", "sha512"):
            if path.suffix in {".jar", ".pom", ".xml"}:
                digest = hashlib.new(name, path.read_bytes()).hexdigest()
                path.with_name(f"{path.name}.{name}").write_text(digest, encoding="ascii")


def main() -> None:
    options = read_options(__doc__)
    artifact = options.out / GROUP.replace(".", "/") / ARTIFACT
    folder = artifact / VERSION
    work = options.natives / "java"
    for path in (folder, work):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    stem = folder / f"{ARTIFACT}-{VERSION}"
    pack_module(options, work, stem)
    for machine in options.machines:
        pack_native(options, machine, work, stem)
    Path(f"{stem}.pom").write_text(POM, encoding="utf-8")
    versions = sorted((path.name for path in artifact.iterdir() if path.is_dir()), key=version_key)
    lines = "\n".join(f"      <version>{version}</version>" for version in versions)
    text = METADATA.format(group=GROUP, artifact=ARTIFACT, latest=versions[-1], versions=lines)
    (artifact / "maven-metadata.xml").write_text(text, encoding="utf-8")
    add_checksums(folder)
    add_checksums(artifact)


if __name__ == "__main__":
    main()
