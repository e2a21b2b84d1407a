#!/usr/bin/env python3
"""The real SimpleSAMLphp of Debian 12 (1.19) as one organisation's SAML 2.0 identity provider, on PHP's
own web server, with `exampleauth:UserPass`.

    simplesamlphp.py --state DIR [--port N] [--config FILE|-]

Configuration: {"users": {LOGIN: {"password", "email", "name", "groups", "attributes": {NAME: […]}}},
"service_providers": [{"metadata": XML or URL}…], "set": {…}}. "set", also a verb of the control port:
  sign_response true, sign_assertion true, encrypt false, want_signed_requests false, sign_metadata false,
  sign_logout true, session 28800 (seconds; it always sends SessionNotOnOrAfter), omit [] (attributes to leave out)
Attributes are uid, mail, displayName and groups; the NameID is persistent (uid), e-mail, or transient,
as the service provider's metadata or request asks.

Control port (POST JSON): sp {metadata}, user {login, …}, lock {login}, unlock {login}, delete {login}, set {…}.
Its PHP reads one JSON file anew on each request; that file is all that is ours in it.

Standard library only; Debian packages simplesamlphp, php-cli, php-xml, php-sqlite3, php-mbstring, openssl.
"""

import json
import os
import pathlib
import secrets
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ET

import control

ROOT = pathlib.Path("/usr/share/simplesamlphp")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SETTINGS = {"sign_response": True, "sign_assertion": True, "encrypt": False, "want_signed_requests": False, "sign_metadata": False,
            "sign_logout": True, "session": 28800, "omit": []}

LAB = "$lab = json_decode(file_get_contents('@STATE@/lab.json'), true);"

CONFIG = """<?php
@LAB@
$config = [
    'baseurlpath' => '@BASE@/',
    'certdir' => '@STATE@/cert/', 'loggingdir' => '@STATE@/log/', 'datadir' => '@STATE@/data/', 'tempdir' => '@STATE@/tmp',
    'metadatadir' => '@STATE@/metadata/', 'attributenamemapdir' => '/usr/share/simplesamlphp/config/attributemap/',
    'secretsalt' => '@SALT@', 'auth.adminpassword' => '@SALT@', 'admin.protectindexpage' => true, 'admin.checkforupdates' => false,
    'technicalcontact_name' => 'Lab', 'technicalcontact_email' => 'na@example.org', 'timezone' => 'UTC',
    'showerrors' => true, 'errorreporting' => false, 'logging.level' => SimpleSAML\\Logger::INFO, 'logging.handler' => 'file',
    'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'session.duration' => $lab['set']['session'], 'session.cookie.secure' => false, 'session.cookie.samesite' => 'Lax',
    'session.phpsession.savepath' => '@STATE@/tmp', 'language.cookie.secure' => false, 'language.cookie.samesite' => 'Lax',
    'store.type' => 'sql', 'store.sql.dsn' => 'sqlite:@STATE@/data/sessions.sqlite',
    'metadata.sign.enable' => $lab['set']['sign_metadata'], 'metadata.sign.privatekey' => 'idp.key', 'metadata.sign.certificate' => 'idp.crt',
    'metadata.sign.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'metadata.sources' => array_merge([['type' => 'flatfile']],
        array_map(function ($file) { return ['type' => 'xml', 'file' => $file]; }, glob('@STATE@/sp/*.xml'))),
];
"""

SOURCES = """<?php
@LAB@
$people = [];
foreach ($lab['users'] as $login => $user) {
    $shown = ['uid' => [$login], 'mail' => [$user['email'] ?? ''], 'displayName' => [$user['name'] ?? $login], 'groups' => $user['groups'] ?? []];
    $people[$login . ':' . ($user['password'] ?? $login . '-password')] = array_filter(array_merge($shown, $user['attributes'] ?? []));
}
$config = ['lab' => array_merge(['exampleauth:UserPass'], $people), 'admin' => ['core:AdminPassword']];
"""

HOSTED = """<?php
@LAB@
$metadata['@BASE@/saml2/idp/metadata.php'] = [
    'host' => '__DEFAULT__', 'privatekey' => 'idp.key', 'certificate' => 'idp.crt', 'auth' => 'lab', 'logouttype' => 'traditional',
    'saml20.sign.response' => $lab['set']['sign_response'], 'saml20.sign.assertion' => $lab['set']['sign_assertion'],
    'assertion.encryption' => $lab['set']['encrypt'], 'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'redirect.validate' => $lab['set']['want_signed_requests'], 'validate.logout' => false, 'sign.logout' => $lab['set']['sign_logout'],
    'authproc' => [
        1 => ['class' => 'core:PHP', 'code' => '
            $lab = json_decode(file_get_contents("@STATE@/lab.json"), true);
            $uid = $attributes["uid"][0];
            if (in_array($uid, $lab["locked"]) || !isset($lab["users"][$uid])) throw new \\SimpleSAML\\Error\\Error("USERABORTED");'],
        2 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'],
        3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'mail', 'Format' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'],
        4 => ['class' => 'saml:TransientNameID'],
        5 => ['class' => 'core:PHP', 'code' => '
            $lab = json_decode(file_get_contents("@STATE@/lab.json"), true);
            foreach ($lab["set"]["omit"] as $name) unset($attributes[$name]);'],
    ],
];
"""


def lay_out(state, base):
    """The folders, the key and the PHP files; returns where the PHP finds its configuration."""
    for folder in ("cert", "log", "data", "tmp", "metadata", "sp", "config"):
        (state / folder).mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=lab-simplesamlphp",
                    "-keyout", state / "cert/idp.key", "-out", state / "cert/idp.crt"], check=True, capture_output=True)
    salt = secrets.token_hex(16)
    for path, text in (("config/config.php", CONFIG), ("config/authsources.php", SOURCES), ("metadata/saml20-idp-hosted.php", HOSTED)):
        for name, value in (("@LAB@", LAB), ("@STATE@", str(state)), ("@BASE@", base), ("@SALT@", salt)):
            text = text.replace(name, value)
        (state / path).write_text(text)
    return state / "config"


class Directory:
    """People, service providers and settings, in the one file that the PHP reads."""

    def __init__(self, state, config):
        self.state, self.providers = state, 0
        self.kept = {"users": config.get("users", {}), "locked": [], "set": dict(SETTINGS)}
        self.set(config.get("set", {}))
        for provider in config.get("service_providers", []):
            self.sp(provider)

    def write(self):
        fresh = self.state / "lab.json.new"
        fresh.write_text(json.dumps(self.kept))
        fresh.replace(self.state / "lab.json")

    def set(self, asked):
        unknown = set(asked) - set(SETTINGS)
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        self.kept["set"].update(asked)
        self.write()
        return self.kept["set"]

    def sp(self, asked):
        text = asked["metadata"]
        text = text if text.lstrip().startswith("<") else OPENER.open(text, timeout=30).read().decode()
        entity = ET.fromstring(text).get("entityID")
        # One file an entity, so that publishing again replaces.
        (self.state / "sp" / f"{entity.encode().hex()[-120:]}.xml").write_text(text)

    def user(self, asked):
        login = asked.pop("login")
        self.kept["users"].setdefault(login, {}).update(asked)
        self.write()

    def lock(self, asked):
        self.kept["locked"].append(asked["login"])
        self.write()

    def unlock(self, asked):
        self.kept["locked"] = [login for login in self.kept["locked"] if login != asked["login"]]
        self.write()

    def delete(self, asked):
        self.kept["users"].pop(asked["login"], None)
        self.write()


def wait_for(url, process, log):
    for _ in range(100):
        if process.poll() is not None:
            sys.exit(f"php ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            return ET.fromstring(OPENER.open(url, timeout=10).read()).get("entityID")
        except OSError:
            time.sleep(0.1)
    sys.exit(f"SimpleSAMLphp was not ready at {url}; see {log}")


def main():
    state, port, config = control.settings(__doc__)
    if not ROOT.is_dir():
        sys.exit("simplesamlphp is missing; run: apt-get install -y simplesamlphp php-cli php-xml php-sqlite3 php-mbstring")
    port = port or control.free_port()
    base = f"http://127.0.0.1:{port}"
    settings = lay_out(state, base)
    directory = Directory(state, config)
    log = state / "php.log"
    environment = {**os.environ, "SIMPLESAMLPHP_CONFIG_DIR": str(settings), "PHP_CLI_SERVER_WORKERS": "2"}
    with open(log, "w") as output:
        server = subprocess.Popen(["php", "-d", "display_errors=0", "-d", "error_reporting=0", "-S", f"127.0.0.1:{port}", "-t", str(ROOT / "www")],
                                  env=environment, stdout=output, stderr=output, start_new_session=True)
    metadata = f"{base}/saml2/idp/metadata.php"
    entity = wait_for(metadata, server, log)
    verbs = {verb: getattr(directory, verb) for verb in ("sp", "user", "lock", "unlock", "delete", "set")}

    def end():
        os.killpg(server.pid, 15)
        server.wait(10)

    control.ready({"kind": "saml", "name": "simplesamlphp", "entity_id": entity, "metadata": metadata, "sso": f"{base}/saml2/idp/SSOService.php",
                   "slo": f"{base}/saml2/idp/SingleLogoutService.php", "start": f"{base}/saml2/idp/SSOService.php?spentityid=",
                   "control": control.control(verbs), "users": directory.kept["users"]}, end)


if __name__ == "__main__":
    main()
