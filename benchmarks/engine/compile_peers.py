"""compile_peers.py FOLDER APPROACH: compiles the model of a folder with tl2cgen or lleaves.

Started by run.py with the Python of engine-peers. Writes tl2cgen.so or lleaves.so into the folder.
If that fails, its last line is the reason.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path


def compile_tl2cgen(folder: Path) -> None:
    import tl2cgen
    import treelite

    if (folder / "twin.txt").exists():
        model = treelite.frontend.load_lightgbm_model(folder / "twin.txt")
    elif (folder / "xgboost.json").exists():
        model = treelite.frontend.load_xgboost_model(folder / "xgboost.json")
    else:
        model = treelite.sklearn.import_model(pickle.loads((folder / "model.pickle").read_bytes()))
    # Several files, so that the compiler needs less time; it optimises with -O3.
    tl2cgen.export_lib(
        model,
        toolchain="gcc",
        libpath=folder / "tl2cgen.so",
        params={"parallel_comp": 16, "quantize": 0},
    )


def compile_lleaves(folder: Path) -> None:
    import lleaves

    lleaves.Model(model_file=folder / "twin.txt").compile(cache=folder / "lleaves.o")
    linker = os.environ.get("CC", "cc")
    subprocess.run(
        [linker, "-shared", "-o", folder / "lleaves.so", folder / "lleaves.o", "-lm"], check=True
    )


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    try:
        (compile_tl2cgen if name == "tl2cgen" else compile_lleaves)(folder)
    except Exception as error:  # whatever fails in a package of others is a reason
        print(f"{type(error).__name__}: {error}".splitlines()[0])
        sys.exit(1)


if __name__ == "__main__":
    main()
