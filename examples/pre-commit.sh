#!/usr/bin/env bash
# Shows how a commit with a credential in it is stopped; `turnlock scan install-hook` writes the same and more.
#
#   ln -s ../../examples/pre-commit.sh .git/hooks/pre-commit
#
# Needs turnlock on the path. The exit code is that of the scan: 1 when something was found.
exec turnlock scan git --staged
