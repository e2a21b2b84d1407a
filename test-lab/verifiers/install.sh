#!/usr/bin/env bash
# Installs the foreign verifiers into DIR: Go's sumdb packages (Debian) and a driver on them, and
# PyPI's aics-tlog and ocsf-json-schema in a virtual environment. Does nothing that is already done.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if ! command -v go >/dev/null || [ ! -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends golang-go golang-golang-x-mod-dev >/dev/null
fi
if [ ! -x "$dir/gotlog" ] || [ "$here/gotlog/main.go" -nt "$dir/gotlog" ]; then
    # Debian ships Go libraries as a GOPATH.
    GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode GOCACHE="$dir/.gocache" CGO_ENABLED=0 \
        go build -o "$dir/gotlog" "$here/gotlog/main.go"
fi

# aics-tlog wants Python 3.12 or later, which not every system's python3 is.
newer() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }
find_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
        if newer "$python"; then echo "$python"; return; fi
    done
    return 1
}
if [ ! -f "$dir/venv/ready-1" ] && ! python=$(find_python); then
    echo "verifiers: this machine has no Python 3.12 or later, which aics-tlog and the OCSF check need;"
    echo "verifiers: the Go verifier alone judges here"
    touch "$dir/go-only"
elif [ ! -f "$dir/venv/ready-1" ]; then
    rm -f "$dir/go-only"
    rm -rf "$dir/venv"
    "$python" -m venv "$dir/venv"
    "$dir/venv/bin/pip" install -q --disable-pip-version-check \
        aics-tlog==0.2.1 cryptography==50.0.2 ocsf-json-schema==1.2.0 jsonschema==4.25.1
    touch "$dir/venv/ready-1"
fi
echo "verifiers ready in $dir"
