#!/usr/bin/env bash
# Sets up what the tests need and runs them all.
#
#   ./test.sh         every test; slow proofs (crash rounds, power cuts) in a small share
#   ./test.sh full    the same tests, slow proofs whole
#
# Needs a Rust toolchain, git, and either the tools below or the right to install Debian packages. Everything else
# that is fetched stays in target/clients.
set -euo pipefail
cd "$(dirname "$0")"

case "${1:-}" in
  "") ;;
  full) export TURNLOCK_TEST_FULL=1 ;;
  *) echo "usage: $0 [full]" >&2; exit 2 ;;
esac

# Name of a command, Debian package that brings it.
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need cc gcc
need python3 python3
need node nodejs
need npm npm
need psql postgresql-client
need gdb gdb
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -n "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ]; then
  root=(); [ "$(id -u)" = 0 ] || root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${root[@]}" apt-get update -qq
  "${root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# Real clients of the protocol, at fixed versions.
clients=$PWD/target/clients
mkdir -p "$clients"
if [ ! -x "$clients/python/bin/python" ] || ! "$clients/python/bin/python" -c 'import hvac' 2>/dev/null; then
  python3 -m venv "$clients/python"
  "$clients/python/bin/pip" install --quiet --disable-pip-version-check 'hvac==2.4.0'
fi
if [ ! -d "$clients/node/node_modules/node-vault" ]; then
  mkdir -p "$clients/node"
  npm install --silent --no-audit --no-fund --prefix "$clients/node" node-vault@0.12.0 >/dev/null
fi
CARGO_TARGET_DIR="$clients/vaultrs" cargo build --quiet --locked --manifest-path tests/wire/vaultrs/Cargo.toml

cargo test --workspace --locked
