#!/bin/sh
# lambda_emulator.sh PYTHON FOLDER: puts Lambda's Runtime Interface Emulator into FOLDER, out of the
# wheel of aws-sam-cli, and into FOLDER/python the runtime for functions in Python, which the
# benchmark compares with. make runs it.
set -eu
machine=$(uname -m)
[ "$machine" != aarch64 ] || machine=arm64
mkdir -p "$2"
"$1" -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --dest "$2" aws-sam-cli==1.170.0
"$1" - "$2"/aws_sam_cli-*.whl "samcli/local/rapid/aws-lambda-rie-$machine" "$2/aws-lambda-rie" <<'EOF'
import pathlib, sys, zipfile
wheel, name, target = sys.argv[1:]
pathlib.Path(target).write_bytes(zipfile.ZipFile(wheel).read(name))
EOF
chmod +x "$2/aws-lambda-rie"
rm "$2"/aws_sam_cli-*.whl
"$1" -m pip install --disable-pip-version-check --quiet --upgrade --target "$2/python" awslambdaric==4.2.2
