#!/bin/sh
# install_peers.sh PYTHON FOLDER: installs the packages of requirements.txt into a virtual
# environment in FOLDER. They are large, need other versions than .venv, and no other target needs
# them. Models are passed as pickles, so scikit-learn has the version that PYTHON has. make
# bench-engine runs it.
set -eu
here=$(dirname "$0")
"$1" -m venv "$2"
version=$("$1" -c 'import sklearn; print(sklearn.__version__)')
install="$here/../../tools/uv_install.sh $2"
$install "scikit-learn==$version"
grep -v '^#' "$here/requirements.txt" | while read -r packages; do
  # shellcheck disable=SC2086  # a line may name several packages
  $install $packages || echo "not installed: $packages" >&2
done
