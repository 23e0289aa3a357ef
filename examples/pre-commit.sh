#!/usr/bin/env bash
# Shows how a commit with a credential in it is stopped: scans what is staged, as it is staged.
#
#   ln -s ../../examples/pre-commit.sh .git/hooks/pre-commit
#
# Needs turnlock on the path. The exit code is that of `turnlock scan dir`: 1 when something was found.
set -euo pipefail
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
# The index, not the files: what was changed after `git add` is not part of the commit.
git diff --cached --name-only --diff-filter=ACMR -z | git checkout-index -z --stdin --prefix="$staged/"
for list in .turnlockignore .gitleaksignore; do
  if [ -f "$list" ]; then cp "$list" "$staged/"; fi
done
cd "$staged"
turnlock scan dir .
