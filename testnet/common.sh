# Shared by the scripts in this directory: paths, missing packages, and the build of the binaries.
# Sourced with bash; sets `repository` and `target`.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# CARGO_TARGET_DIR is honoured. CI builds in a cache directory outside the clone, so that RocksDB is not compiled in every run:
# that takes about a quarter of an hour.
if [ -z "${CARGO_TARGET_DIR:-}" ] && [ "${CI:-}" = true ]; then
    # Incremental data would be deleted with the clone, and is larger than everything else together.
    export CARGO_INCREMENTAL=0
    export CARGO_TARGET_DIR="${CAUSEWAY_TARGET_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/causeway-target}"
fi
target="${CARGO_TARGET_DIR:-$repository/target}"
case "$target" in /*) ;; *) target="$PWD/$target" ;; esac
export CARGO_TARGET_DIR="$target"

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# bindgen, which translates RocksDB's header to Rust, needs libclang; RocksDB itself needs a C++ compiler.
install_missing() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.90 or newer with rustup, then run this again."
    local packages=()
    command -v c++ >/dev/null || packages+=(g++)
    if [ -z "${LIBCLANG_PATH:-}" ] && ! have_libclang; then
        packages+=(libclang-dev)
    fi
    install_packages "${packages[@]}"
}

# npm packages contain the Solidity compiler and the outside clients of the tests.
install_missing_for_tests() {
    install_missing
    local packages=()
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
    install_packages "${packages[@]}"
}

have_libclang() {
    local found
    found="$(find /usr/lib /usr/local/lib /usr/lib64 /opt -name 'libclang*.so*' -not -name 'libclang-cpp*' 2>/dev/null | head -n 1)"
    [ -n "$found" ]
}

install_packages() {
    [ "$#" -gt 0 ] || return 0
    local install="apt-get update && apt-get install -y --no-install-recommends $*"
    command -v apt-get >/dev/null || fail "These packages are missing: $*. Install them, then run this again."
    if [ "$(id -u)" = 0 ]; then
        echo "Installing $*" >&2
        apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo "Installing $* with sudo" >&2
        sudo apt-get update -q >&2 && sudo DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
    else
        fail "These packages are missing: $*. As root: $install"
    fi
}

build() {
    (cd "$repository" && cargo build --locked --release -p causeway -p causeway-signer -p causeway-testnet -p causeway-peg-audit -p causeway-unify)
}

# Builds missing binaries and becomes the launcher.
launch() {
    if [ ! -x "$target/release/causeway-testnet" ] || [ ! -x "$target/release/causeway" ]; then
        install_missing
        build
    fi
    exec "$target/release/causeway-testnet" "$@"
}
