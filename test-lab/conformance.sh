#!/bin/sh
# The official conformance suite against the gate; see conformance.py, and `--help`.
exec python3 "$(dirname "$(readlink -f "$0")")/conformance.py" "$@"
