#!/usr/bin/env bash
# List what an environment holds as CycloneDX, the same for the same packages.
# usage: sbom.sh OUT PYTHON
set -euo pipefail
mkdir -p "$(dirname "$1")"
pipx run --spec cyclonedx-bom==7.5.0 cyclonedx-py environment --output-reproducible --of JSON \
  --pyproject pyproject.toml -o "$1" "$2"
