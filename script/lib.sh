# Shared by the scripts in this folder; sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
export ROOT

if [ -t 2 ]; then BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'; else BOLD= RED= GREEN= PLAIN=; fi

say() { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }
fail() {
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# at_least WANTED ACTUAL: dotted versions.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

# Bootstrap, which a script starts after reading this, may put Rust, Node and tools there.
export PATH=$ROOT/target/tools/node/bin:$ROOT/target/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH

RUST_FLOOR=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
NODE_FLOOR=20.19.0
DENY_VERSION=0.20.2
FUZZ_VERSION=0.13.2
export RUST_FLOOR NODE_FLOOR DENY_VERSION FUZZ_VERSION
