#!/usr/bin/env bash
# Install this checkout into .venv, and put its commands on the path of the steps that follow.
# usage: setup.sh
set -euo pipefail
python3 -m venv .venv
.venv/bin/pip install -c constraints.txt -e . # a checkout tells its commit to the records
echo "$PWD/.venv/bin" >> "${GITHUB_PATH:-/dev/stdout}"
