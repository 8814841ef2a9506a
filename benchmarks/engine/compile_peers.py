"""compile_peers.py FOLDER APPROACH...: compiles the model of a folder with tl2cgen and lleaves.

Started by run.py with the Python of engine-peers. Writes tl2cgen.so and lleaves.so into the folder,
and prints a line for each approach: its name, and why it failed, if so.
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
    folder = Path(sys.argv[1])
    compilers = {"tl2cgen": compile_tl2cgen, "lleaves": compile_lleaves}
    for name in sys.argv[2:]:
        fault = ""
        try:
            compilers[name](folder)
        except Exception as error:  # whatever fails in a package of others is a reason
            fault = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{name}\t{fault}", flush=True)


if __name__ == "__main__":
    main()
