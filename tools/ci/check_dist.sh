#!/usr/bin/env bash
# Build the sdist and the wheel, twice to equal bytes, and test each from the artifact alone: in an environment of its
# own, away from the checkout.
# usage: check_dist.sh OUT
# environment: PYTHON, the interpreter; CHECK_SITE=1 lets the environments use its packages instead of installing them
set -euo pipefail

out=$(realpath -m "$1")
python=${PYTHON:-python3}
root=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

(cd "$root" && "$python" -m hatchling build -d "$out")
# The same sources elsewhere, with other times and permissions, must give the same bytes.
mkdir "$work/again" "$work/dist"
tar -C "$root" --exclude=./.venv --exclude=./.git --exclude=./build --exclude=./dist -cf - . |
  (umask 077 && tar -C "$work/again" -xmf - --no-same-permissions)
(cd "$work/again" && "$python" -m hatchling build -d "$work/dist" > /dev/null)
for made in "$work"/dist/*; do
  cmp "$made" "$out/$(basename "$made")"
  echo "$(basename "$made"): reproducible, sha256 $(sha256sum "$made" | cut -d' ' -f1)"
done

for artifact in "$out"/*.whl "$out"/*.tar.gz; do
  name=$(basename "$artifact")
  environment=$work/$name.venv
  if [ -n "${CHECK_SITE:-}" ]; then
    "$python" -m venv "$environment"
    # The packages of the interpreter, but not its joulemark: what is installed here comes first.
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
      > "$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz.pth"
    "$environment/bin/python" -m pip install --quiet --no-deps --no-build-isolation "$artifact"
  else
    "$python" -m venv "$environment"
    PIP_CONSTRAINT="$root/constraints.txt" "$environment/bin/python" -m pip install --quiet "$artifact"
  fi
  (
    cd "$work"
    unset PYTHONPATH
    "$environment/bin/python" -c 'import harness, sys; sys.exit(not harness.__file__.startswith(sys.prefix))'
    "$environment/bin/joulemark" plan workload=mlp device=cpu measure=quick > /dev/null
    "$environment/bin/joulemark" run workload=mlp workload.mode=infer device=cpu measure=quick power=none \
      run.name=dist "run.results=$work/results-$name"
  )
  echo "$name: installed, planned and measured"
done
