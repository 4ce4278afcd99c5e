#!/usr/bin/env bash
# Compares protos/ with the state before: HEAD if they were edited since, else HEAD~1, so that a clean checkout of a
# commit is held against its parent and not against itself.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "buf breaking: $*" >&2; exit 1; }
nothing_to_compare() { echo "buf breaking: NOT COMPARED: $*" >&2; exit 0; }

command -v git >/dev/null || fail "git is missing (Debian: apt-get install git)"
git rev-parse --git-dir >/dev/null || fail "needs a git checkout"
git rev-parse --quiet --verify HEAD >/dev/null || nothing_to_compare "the repository has no commit yet"

baseline=HEAD
if [[ -z "$(git status --porcelain -- protos)" ]]; then
  baseline=HEAD~1
  if ! git rev-parse --quiet --verify "$baseline" >/dev/null; then
    [[ "$(git rev-parse --is-shallow-repository)" == false ]] || fail "the clone is too shallow: fetch two commits"
    nothing_to_compare "the first commit has none before it"
  fi
fi
[[ -n "$(git ls-tree -r "$baseline" -- protos)" ]] || nothing_to_compare "$baseline has no protos"

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$baseline" -- protos | tar -x -C "$before"
"${BUF:-buf}" breaking protos --against "$before/protos"
echo "buf breaking: compatible with $baseline ($(git rev-parse --short "$baseline"))"
