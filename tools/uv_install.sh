#!/bin/sh
# uv_install.sh VENV WHAT...: installs Python packages into VENV with `uv pip install WHAT...`. uv
# resolves and downloads them in a fraction of pip's time. If pip is configured to use another
# package index, folders with packages or constraints, uv uses them too. Bytecode is compiled now:
# otherwise every process that imports scikit-learn would compile it, for seconds, where
# PYTHONDONTWRITEBYTECODE is set. make runs it.
set -eu
bin="$1/bin"
shift
[ -x "$bin/uv" ] || "$bin/pip" install --disable-pip-version-check uv
# `pip config list` also shows what environment variables set, and shows it first.
configured() { "$bin/pip" config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | head -n 1; }
index=${UV_DEFAULT_INDEX:-$(configured index-url)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
links=${UV_FIND_LINKS:-$(configured find-links)}
[ -z "$links" ] || export UV_FIND_LINKS="$links"
constraints=${UV_CONSTRAINT:-$(configured constraint)}
[ -z "$constraints" ] || export UV_CONSTRAINT="$constraints"
exec "$bin/uv" pip install --compile-bytecode --python "$bin/python" "$@"
