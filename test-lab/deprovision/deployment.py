"""Everything that the measurement needs running: an MCP server, an identity provider with a directory
(Canaille), a database, the nodes of one deployment, and what stands between them (relay.py).

One node keeps its state in SQLite, several share a PostgreSQL server that is started for them. All
that this measurement knows of the product's configuration and commands is in here. Standard library only.
"""

import dataclasses
import json
import os
import pathlib
import pwd
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE.parent, HERE.parent / "idp"):
    sys.path.insert(0, str(folder))
import matrix  # noqa: E402
import providers  # noqa: E402
from matrix import free_port  # noqa: E402

TENANT, DOMAIN, UPSTREAM, CONNECTION = "acme", "acme.example", "everything", "canaille"
CLIENT, CLIENT_SECRET = "sallyport", secrets.token_urlsafe(24)


class Postgres:
    """A server of its own for as long as this object is open, as its own user where we are root."""

    def __init__(self):
        installed = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parent.parent.name))
        if not installed:
            sys.exit("there is no PostgreSQL here: apt-get install postgresql")
        self.binaries = installed[-1].parent
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-deprovision-pg-"))
        self.port = free_port()
        self.prefix = ["setpriv", "--pdeathsig", "QUIT"]
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.prefix += ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        self.run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D", str(self.folder / "data"))
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": str(self.folder), "max_connections": 100}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([*self.prefix, str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *settings],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
        self.wait()
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "sallyport")

    def run(self, name, *arguments):
        done = subprocess.run([*self.prefix, str(self.binaries / name), *arguments], cwd="/", capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr.strip()[-600:]}")

    def wait(self):
        for _ in range(150):
            ready = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ready).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-1500:]}")

    def url(self, port=None):
        return f"postgres://postgres@127.0.0.1:{port or self.port}/sallyport?sslmode=disable"

    def close(self):
        # Fast, not smart: nobody waits for clients.
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


class Relay:
    """relay.py; `ends` is a queue of the exchanges that took a person's access away, as its lines say."""

    def __init__(self, settings, errors):
        self.process = subprocess.Popen([sys.executable, str(HERE / "relay.py"), json.dumps(settings)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=open(errors, "w"), text=True, bufsize=1)
        self.ends, self.answers, self.scim = queue.Queue(), queue.Queue(), []
        if not self.process.stdout.readline():
            sys.exit(f"relay.py did not start:\n{pathlib.Path(errors).read_text()[-1500:]}")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            line = json.loads(line)
            if "done" in line:
                self.answers.put(line)
                continue
            self.scim.append(line)
            if line.get("ends"):
                self.ends.put(line)

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.answers.get(timeout=10)

    def close(self):
        self.process.terminate()
        self.process.wait(10)


@dataclasses.dataclass
class Node:
    """One of the deployment's processes."""

    name: str
    port: int
    admin: int
    config: pathlib.Path
    environment: dict
    process: subprocess.Popen = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ready(self):
        """Whether its private listener says that it would serve."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False


class Deployment:
    """The nodes and all around them; `with` ends everything."""

    def __init__(self, binary, nodes, folder):
        self.binary, self.folder = str(pathlib.Path(binary).resolve()), folder
        self.closing = []
        self.processes = matrix.Processes(folder)
        try:
            self.start(nodes)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.processes.end()
        while self.closing:
            self.closing.pop().close()

    def start(self, count):
        self.master_key = secrets.token_hex(32)
        self.postgres = Postgres() if count > 1 else None
        if self.postgres:
            self.closing.append(self.postgres)
        self.front, self.scim_port = free_port(), free_port()
        self.origin, self.host = f"http://127.0.0.1:{self.front}", f"127.0.0.1:{self.front}"
        self.endpoint = f"{self.origin}/mcp/{UPSTREAM}"
        upstream = self.start_upstream()
        self.nodes = [self.node(number, upstream) for number in range(count)]
        self.relay = self.start_relay()
        self.closing.append(self.relay)
        self.canaille = providers.start("canaille", self.folder / "canaille")
        self.closing.append(Closing(self.canaille.stop))
        for node in self.nodes:
            self.start_node(node)
        self.connect()

    def start_upstream(self):
        port = free_port()
        everything = [matrix.NODE, str(matrix.MODULES / "server-everything/dist/index.js"), "streamableHttp"]
        process = self.processes.start("everything", everything, env={**os.environ, "PORT": str(port)})
        url = f"http://127.0.0.1:{port}/mcp"
        matrix.wait_for("server-everything", url, lambda status: True, process)
        return url

    def node(self, number, upstream):
        name, port, admin = f"n{number + 1}", free_port(), free_port()
        folder, config = self.folder / name, self.folder / f"{name}.toml"
        lines = ["[server]", f'listen = "127.0.0.1:{port}"', f'admin_listen = "127.0.0.1:{admin}"', f'public_url = "{self.origin}"',
                 "[data]", f"directory = {json.dumps(str(folder))}", f'node = "{name}"', "[oauth]", "dynamic_registration = true",
                 "[identity]", 'provider_networks = ["127.0.0.0/8"]', "[[tenants]]", f'id = "{TENANT}"', 'name = "Acme"',
                 "[[upstreams]]", f'name = "{UPSTREAM}"', f'url = "{upstream}"', 'initial_scopes = ["read", "write"]']
        config.write_text("\n".join(lines) + "\n")
        environment = {**os.environ, "SALLYPORT_MASTER_KEY": self.master_key}
        return Node(name, port, admin, config, environment)

    def start_relay(self):
        ports = [node.port for node in self.nodes]
        passes = {"front": {"port": self.front, "targets": ports}}
        for node in self.nodes if self.postgres else ():
            port = free_port()
            passes[f"db-{node.name}"] = {"port": port, "targets": [self.postgres.port]}
            node.environment["SALLYPORT_DATABASE_URL"] = self.postgres.url(port)
        settings = {"pass": passes, "scim": {"port": self.scim_port, "targets": ports, "host": self.host}}
        return Relay(settings, self.folder / "relay.log")

    def start_node(self, node):
        command = [self.binary, "serve", "--config", str(node.config)]
        node.process = self.processes.start(node.name, command, env=node.environment)
        matrix.wait_for(node.name, f"http://127.0.0.1:{node.admin}/readyz", lambda status: status == 200, node.process)

    def tenant(self, *arguments, **environment):
        """`sallyport tenant … --json` beside the running gate; what it answered."""
        return self.command("tenant", *arguments, **environment)

    def command(self, *arguments, **environment):
        first = self.nodes[0]
        command = [self.binary, *arguments, "--config", str(first.config), "--json"]
        run = subprocess.run(command, env={**first.environment, **environment}, capture_output=True, text=True, timeout=60)
        if run.returncode:
            raise RuntimeError(f"sallyport {' '.join(arguments[:4])} ended with {run.returncode}: {run.stderr.strip()[-800:]}")
        return json.loads(run.stdout)

    def agent(self, name, redirect, scopes):
        """Makes an agent that people may let act for them; its client id and secret."""
        self.tenant("set", TENANT, "--agent-secrets", "true")
        words = [word for scope in scopes for word in ("--scope", scope)]
        made = self.command("agent", "create", TENANT, name.title(), "--client-id", name, "--purpose", "Lab work", *words,
                            "--redirect-uri", redirect, "--secret")
        return name, made["credential"]["client_secret"]

    def connect(self):
        """The tenant's identity provider, its domain and its SCIM client, from both sides."""
        # The provider is never asked again: what ends access here is what it pushes, and nothing else.
        # Only who was provisioned may sign in: so whoever did is the person whom the push is about.
        self.tenant("connect-oidc", TENANT, CONNECTION, "--preset", "standard", "--issuer", self.canaille.issuer, "--client-id", CLIENT,
                    "--client-secret-env", "LAB_SECRET", "--do-not-ask-again", "--no-create",
                    # Canaille says the display name for `preferred_username`, and the login for `sub`.
                    "--scim-match", "sub=userName", LAB_SECRET=CLIENT_SECRET)
        redirect = self.tenant("connections", TENANT)[0]["urls"]["redirect_uri"]
        self.tenant("domain", "add", TENANT, DOMAIN)
        self.tenant("domain", "verify", TENANT, DOMAIN, "--by-operator")
        bearer = self.tenant("scim-token", "add", TENANT, "Canaille")["token"]
        # Canaille tells its clients on trusted domains, and 127.0.0.1 is one.
        self.canaille("client", client_id=CLIENT, client_secret=CLIENT_SECRET, redirect_uris=[redirect],
                      scim_base=f"http://127.0.0.1:{self.scim_port}/scim/v2", bearer=bearer)


@dataclasses.dataclass
class Closing:
    """Something that is closed by a function."""

    close: object
