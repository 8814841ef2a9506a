#!/bin/sh
# uv_install.sh VENV WHAT...: installs Python packages into VENV with `uv pip install WHAT...`. uv
# resolves and downloads them in a fraction of pip's time. If pip is configured to use another
# package index, uv uses it too. Bytecode is compiled now: otherwise every process that imports
# scikit-learn would compile it, for seconds, where PYTHONDONTWRITEBYTECODE is set. make runs it.
set -eu
bin="$1/bin"
shift
[ -x "$bin/uv" ] || "$bin/pip" install --disable-pip-version-check uv
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$("$bin/pip" config get global.index-url 2>/dev/null || true)}}
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
exec "$bin/uv" pip install --compile-bytecode --python "$bin/python" "$@"
