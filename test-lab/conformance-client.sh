#!/bin/sh
# The official suite's `client` scenarios against the gate's upstream leg; see conformance.py.
exec python3 "$(dirname "$(readlink -f "$0")")/conformance.py" client "$@"
