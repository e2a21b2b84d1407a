#!/usr/bin/env bash
# Runs every foreign verifier in DIR (see install.sh) on the log in LOGDIR. KEPT is a checkpoint
# kept elsewhere that the log must continue; VKEY a key kept elsewhere (default: the log's own).
# Exit 0 when all accept, 1 when any refuses; with --all-refuse, 0 when every one of them refuses.
set -uo pipefail
expect=accept
if [ "${1:-}" = --all-refuse ]; then expect=refuse; shift; fi
dir=${1:?usage: run.sh [--all-refuse] DIR LOGDIR [KEPT]}
log=${2:?usage: run.sh [--all-refuse] DIR LOGDIR [KEPT]}
kept=${3:-}
vkey=${VKEY:-$log/log.vkey}
here=$(cd "$(dirname "$0")" && pwd)
status=0
judge() {
    "$@" "$log" "$vkey" ${kept:+"$kept"}
    local code=$?
    case "$expect:$code" in
        accept:0 | refuse:1) ;;
        *) status=1 ;;
    esac
}
judge "$dir/gotlog"
if [ -f "$dir/go-only" ]; then
    echo "aics-tlog: not judging, for want of Python 3.12"
else
    judge "$dir/venv/bin/python" "$here/aics_check.py"
fi
exit $status
