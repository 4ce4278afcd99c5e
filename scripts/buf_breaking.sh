#!/usr/bin/env bash
# Compares protos/ with the state before. On a branch: with where it left main. On main: with HEAD if they were edited
# since, else HEAD~1, so that a clean checkout of a commit is held against its parent and not against itself.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "buf breaking: $*" >&2; exit 1; }
nothing_to_compare() { echo "buf breaking: NOT COMPARED: $*" >&2; exit 0; }
known() { git rev-parse --quiet --verify "$1^{commit}" >/dev/null; }

command -v git >/dev/null || fail "git is missing (Debian: apt-get install git)"
git rev-parse --git-dir >/dev/null || fail "needs a git checkout"
known HEAD || nothing_to_compare "the repository has no commit yet"

shallow() { [[ "$(git rev-parse --is-shallow-repository)" == true ]]; }
main=main
known "$main" || main=origin/main
baseline=$(git rev-parse HEAD)
if known "$main"; then
  baseline=$(git merge-base HEAD "$main") ||
    { shallow && fail "the clone is too shallow to reach $main"; fail "HEAD and $main have no commit in common"; }
fi
# On main, and where nothing has been committed since it was left.
if [[ "$baseline" == "$(git rev-parse HEAD)" && -z "$(git status --porcelain -- protos)" ]]; then
  if known HEAD~1; then
    baseline=HEAD~1
  else
    shallow && fail "the clone is too shallow: fetch two commits"
    nothing_to_compare "the first commit has none before it"
  fi
fi
[[ -n "$(git ls-tree -r "$baseline" -- protos)" ]] || nothing_to_compare "$baseline has no protos"

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$baseline" -- protos | tar -x -C "$before"
"${BUF:-buf}" breaking protos --against "$before/protos"
echo "buf breaking: compatible with $(git log -1 --format="%h (%s)" "$baseline")"
