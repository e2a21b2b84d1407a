//! `sallyport demo`: the real product with a demo tenant, people, an agent and an MCP server.
//!
//! Nothing here is a shortcut: the demo's people, agent and upstream go through the same code as
//! everybody else's. Passwords and secrets are made at each start.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use sallyport_authserver::{AuthServerConfig, Rates};
use sallyport_demo::Demo as HelpDesk;
use sallyport_identity::{
    IdentityConfig, NewPerson,
    agents::{AgentEdit, AgentRules, AskedCredential, CredentialSource, NewAgent, Offer as _, Shown},
    hash_password,
};
use sallyport_model::{AgentId, Rng, Secret, SystemRng, TenantId, UpstreamName, hex};
use sallyport_outbound::{AddressPolicy, http::HttpOptions};
use sallyport_proxy::{
    GateConfig, Group, Limits, Offered, Tenants,
    upstream::{Timeouts, Transport, UpstreamCredential, UpstreamSpec},
};
use sallyport_storage::{AgentBounds, Role};
use sallyport_web::Branding;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    End,
    cli::Demo,
    commands::{
        demo_assess::{self, ARGUMENTS},
        serve::{make_private, report_recovery},
        user::make_password,
    },
    deployment::{Database, Deployment, Settings},
    listeners::{Protection, Signals, bind, serve},
    offer::GateOffer,
    register::Demand,
    secrets::{self, MasterKey},
    tour,
};

const TENANT: &str = "demo";
const UPSTREAM: &str = "desk";
/// A second server, so that a token for one can be tried at the other.
const SECOND: &str = "archive";
pub(super) const AGENT: &str = "demo-agent";

/// Somebody of the demo.
pub struct Account {
    /// Signs in with it.
    pub username: &'static str,
    /// For display.
    pub email: String,
    /// Made at this start.
    pub password: Secret,
    /// `user` or `administrator`.
    pub role: Role,
}

/// A demo that runs.
pub struct Running {
    /// The product.
    pub deployment: Deployment,
    /// By which URL it is reached.
    pub origin: String,
    /// Health and metrics.
    pub admin: SocketAddr,
    /// The people.
    pub accounts: Vec<Account>,
    /// The agent's secret.
    pub agent_secret: Secret,
    /// What the MCP server behind the gate has seen.
    pub desk: HelpDesk,
    /// Where state is kept.
    pub data: PathBuf,
    stop: CancellationToken,
    listeners: tokio::task::JoinSet<()>,
    temporary: bool,
}

/// Runs it until asked to stop.
pub async fn run(command: Demo) -> Result<End> {
    let mut signals = Signals::install()?;
    let running = Running::start(&command).await?;
    if command.tour {
        let played = tokio::select! {
            played = tour::play(&running) => played,
            () = signals.asked_to_stop() => Err(anyhow::anyhow!("the tour was stopped before its end")),
        };
        // Before anything is printed: a reader that goes away leaves nothing of the demo behind.
        running.stop(signals.asked_to_stop()).await?;
        // The tour's own lines are all that is on standard output, with `--json` too.
        return Ok(played?.print(command.json));
    }
    if command.json {
        println!("{}", running.ready_line());
    } else {
        running.greet();
    }
    signals.asked_to_stop().await;
    running.stop(signals.asked_to_stop()).await?;
    Ok(End::Done)
}

impl Running {
    /// Starts the demo.
    ///
    /// # Errors
    /// When a port is taken or the data directory does not open.
    pub async fn start(command: &Demo) -> Result<Self> {
        anyhow::ensure!(command.listen.ip().is_loopback(), "--listen: the demo listens on loopback only");
        let temporary = command.data.is_none();
        let data = command.data.clone().map_or_else(temporary_directory, Ok)?;
        make_private(&data)?;
        let public = bind(command.listen, "--listen").await?;
        let private = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "the demo's private listener").await?;
        let behind = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "the demo's MCP server").await?;
        let public_url = match &command.public_url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{}", public.local_addr()?))?,
        };
        let upstream_token = secrets::random(&SystemRng);
        let desk = HelpDesk::new(upstream_token.clone());
        let second = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "the demo's second MCP server").await?;
        let second_token = secrets::random(&SystemRng);
        let archive = HelpDesk::new(second_token.clone());
        let upstreams = vec![
            offered(UPSTREAM, "Demo help desk", &behind, upstream_token)?,
            offered(SECOND, "Demo help desk of last year", &second, second_token)?,
        ];
        let announce = !command.json && !command.tour;
        let settings = settings(&data, public_url.clone(), upstreams, announce)?;
        let mut listeners = tokio::task::JoinSet::new();
        let stop = CancellationToken::new();
        listeners.spawn(serve(behind, desk.router(), Protection::default(), stop.clone()));
        listeners.spawn(serve(second, archive.router(), Protection::default(), stop.clone()));
        let mut deployment = Deployment::open(settings).await?;
        report_recovery(&deployment);
        deployment.start().await?;
        let accounts = people(&deployment).await?;
        let agent_secret = agent(&deployment, &public_url).await?;
        let failed = deployment.gate.read_catalogues().await;
        anyhow::ensure!(failed.is_empty(), "the demo's own MCP server does not answer: {failed:?}");
        let admin = private.local_addr()?;
        listeners.spawn(serve(private, deployment.private(), Protection::default(), stop.clone()));
        listeners.spawn(serve(public, deployment.public(), Protection::default(), stop.clone()));
        let origin = public_url.origin().ascii_serialization();
        demo_assess::write_hooks(&data, deployment.log.dir())?;
        let running =
            Self { deployment, origin, admin, accounts, agent_secret, desk, data, stop, listeners, temporary };
        running.write_assess_arguments()?;
        Ok(running)
    }

    /// The MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}/mcp/{UPSTREAM}", self.origin)
    }

    /// The endpoint of the second server.
    pub fn second_endpoint(&self) -> String {
        format!("{}/mcp/{SECOND}", self.origin)
    }

    /// The line of `--json`.
    pub fn ready_line(&self) -> serde_json::Value {
        let accounts: Vec<_> = self
            .accounts
            .iter()
            .map(|account| {
                json!({"username": account.username, "email": account.email,
                       "password": account.password.expose(), "role": account.role})
            })
            .collect();
        json!({
            "mcp_endpoints": [self.endpoint(), self.second_endpoint()],
            "issuer": self.origin,
            "console": format!("{}/account", self.origin),
            "admin_api": format!("http://{}", self.admin),
            "accounts": accounts,
            "agents": [{"client_id": AGENT, "client_secret": self.agent_secret.expose()}],
            "data_dir": self.data,
            "audit_log_dir": self.deployment.log.dir(),
            "assess_arguments": self.assess_arguments(),
        })
    }

    fn greet(&self) {
        let endpoint = self.endpoint();
        let data = self.data.display();
        anstream::eprintln!("The gate is open: {endpoint}\n");
        anstream::eprintln!("Sign in as");
        for account in &self.accounts {
            anstream::eprintln!("  {:<8} {}", account.username, account.password.expose());
        }
        anstream::eprintln!("\nConnect a client, for example");
        anstream::eprintln!("  claude mcp add --transport http desk {endpoint}");
        anstream::eprintln!("  npx mcp-remote {endpoint}");
        anstream::eprintln!("  npx @modelcontextprotocol/inspector   # then Streamable HTTP, {endpoint}");
        anstream::eprintln!("\nThe agent: client_id {AGENT}, client_secret {}", self.agent_secret.expose());
        anstream::eprintln!("Your account, grants and passkeys: {}/account", self.origin);
        anstream::eprintln!("\nThe signed log of what happens:");
        let program = own_path();
        anstream::eprintln!("  {program} audit tail --data {data}");
        anstream::eprintln!("  {program} audit verify --data {data}");
        anstream::eprintln!("\nThe ten questions, put to it with these accounts:");
        anstream::eprintln!("  xargs {program} assess {endpoint} < {data}/{ARGUMENTS}");
        anstream::eprintln!("\nCalls are shown here as they happen. Ctrl-C ends the demo.\n");
    }

    /// Stops it.
    ///
    /// # Errors
    /// When the log did not close well, or the stop was `forced`.
    pub async fn stop(mut self, forced: impl Future<Output = ()>) -> Result<()> {
        self.stop.cancel();
        let listeners = async { while self.listeners.join_next().await.is_some() {} };
        let stopped = self.deployment.stop(listeners, forced).await;
        if self.temporary {
            std::fs::remove_dir_all(&self.data).context("the demo's temporary directory could not be removed")?;
        }
        stopped
    }
}

/// How to start this program again from here: as it is, or by its path when a shell would not find it.
fn own_path() -> String {
    let name = || "sallyport".to_owned();
    let (Ok(program), Ok(here)) = (std::env::current_exe(), std::env::current_dir()) else { return name() };
    let in_path = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| program.parent() == Some(folder.as_path())));
    if in_path {
        return name();
    }
    program.strip_prefix(&here).unwrap_or(&program).display().to_string()
}

fn temporary_directory() -> Result<PathBuf> {
    let mut bytes = [0u8; 6];
    SystemRng.fill(&mut bytes);
    Ok(std::env::temp_dir().join(format!("sallyport-demo-{}", hex(&bytes))))
}

fn settings(data: &std::path::Path, public_url: Url, upstreams: Vec<Offered>, announce: bool) -> Result<Settings> {
    let origin = public_url.origin().ascii_serialization();
    Ok(Settings {
        public_url,
        database: Database::File(data.join("sallyport.db")),
        audit_log: data.join("audit"),
        // Whatever port is free this time, it is the same log.
        log_origin: "sallyport-demo.localhost/audit".to_owned(),
        master_key: MasterKey::load(&data.join("master.key"), &SystemRng)?,
        branding: Branding { product: "Sallyport demo".to_owned(), support: None },
        tenants: vec![(TenantId::new(TENANT)?, "Demo tenant".to_owned())],
        gate: GateConfig {
            issuer: origin.clone(),
            public_url: origin.clone(),
            // Web clients on this machine, such as the Inspector.
            allowed_origins: vec!["http://localhost:*".to_owned(), "http://127.0.0.1:*".to_owned()],
            limits: Limits::default(),
            upstreams,
        },
        // The demo comes admitted.
        demand: Demand::default(),
        oauth: AuthServerConfig {
            dynamic_registration: true,
            // Every client on this machine registers from one address.
            rates: Rates { registrations_per_hour: 1000, ..Rates::default() },
            ..AuthServerConfig::new(origin)
        },
        identity: IdentityConfig::default(),
        documents: AddressPolicy::PublicOnly,
        providers: on_this_machine(),
        provider_roots: Vec::new(),
        announce,
    })
}

/// Identity providers that run beside the demo.
fn on_this_machine() -> AddressPolicy {
    let networks = ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok());
    AddressPolicy::Allowing(networks.collect())
}

fn offered(name: &str, title: &str, behind: &TcpListener, token: Secret) -> Result<Offered> {
    let url = Url::parse(&format!("http://{}/mcp", behind.local_addr()?))?;
    let spec = UpstreamSpec {
        name: UpstreamName::new(name)?,
        transport: Transport::Http { url, options: HttpOptions::default() },
        credential: UpstreamCredential::Bearer(token),
        identity_header: false,
        timeouts: Timeouts::default(),
        max_message_bytes: 16 << 20,
    };
    Ok(Offered { spec: Arc::new(spec), title: title.to_owned(), tenants: Tenants::All, initial: vec![Group::Read] })
}

async fn people(deployment: &Deployment) -> Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for (username, name, role) in [
        ("ann", "Ann Arbor", Role::User),
        ("bob", "Bob Baker", Role::User),
        ("admin", "Ada Admin", Role::Administrator),
    ] {
        let password = make_password(&SystemRng);
        let email = format!("{username}@demo.example");
        match deployment.store.person_by_login(username).await? {
            Some(person) => {
                let hash = hash_password(&password, &SystemRng)?;
                deployment.store.set_password(&person.id, &hash).await?;
            }
            None => {
                let new = NewPerson {
                    tenant: TenantId::new(TENANT)?,
                    login: username.to_owned(),
                    email: Some(email.clone()),
                    display_name: name.to_owned(),
                    role,
                    password: Some(password.clone()),
                };
                deployment.identity.create_person(new).await?;
            }
        }
        accounts.push(Account { username, email, password, role });
    }
    Ok(accounts)
}

/// The demo's agent, with a secret of this start: the others that it had are revoked.
async fn agent(deployment: &Deployment, public_url: &Url) -> Result<Secret> {
    let store = deployment.store.as_ref();
    let tenant = TenantId::new(TENANT)?;
    let mut known = store.tenant(&tenant).await?.context("the demo's tenant is not there")?;
    known.settings.agent_secrets = true;
    store.put_tenant(&known).await?;
    let offer = GateOffer(deployment.gate.clone()).resources();
    let rules = AgentRules { store, rng: deployment.rng.as_ref(), now: deployment.clock.now(), offer: &offer };
    let scopes = format!("{UPSTREAM}:read").parse()?;
    let resources = vec![format!("{}/mcp/{UPSTREAM}", public_url.origin().ascii_serialization())];
    let change = match store.agent(&AgentId::new(AGENT)?).await? {
        // The port may be another one this time.
        Some(agent) => {
            let edit = AgentEdit { scopes: Some(scopes), resources: Some(resources), ..AgentEdit::default() };
            rules.edit(&agent, edit).await?
        }
        None => {
            let new = NewAgent {
                tenant,
                client: Some(AGENT.to_owned()),
                name: "Demo agent".to_owned(),
                owner: store.person_by_login("admin").await?.map(|person| person.id),
                purpose: "Reads tickets at night".to_owned(),
                scopes,
                resources,
                bounds: AgentBounds::default(),
            };
            rules.create(new).await?
        }
    };
    let agent = change.agent.clone();
    change.make(store, rules.now).await?;
    for old in store.credentials(&agent.id).await?.into_iter().filter(|old| old.lives(rules.now)) {
        store.revoke_credential(&agent.id, &old.id, rules.now).await?;
    }
    let asked = AskedCredential { source: CredentialSource::Secret, life: None };
    let made = rules.add_credential(&agent, asked).await?;
    made.change.make(store, rules.now).await?;
    match made.shown {
        Shown::Secret(secret) => Ok(secret),
        _ => anyhow::bail!("the demo's agent has no secret"),
    }
}
