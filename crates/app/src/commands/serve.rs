//! `sallyport serve`: the gate in front of your MCP servers.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use http::{HeaderName, header};
use sallyport_authserver::{AuthServerConfig, IntrospectionCaller, PreregisteredClient, Rates};
use sallyport_identity::IdentityConfig;
use sallyport_model::{ClientId, SystemRng};
use sallyport_outbound::AddressPolicy;
use sallyport_proxy::GateConfig;
use sallyport_storage::{ApplicationType, ClientAuthMethod};
use sallyport_web::Branding;
use tokio_util::sync::CancellationToken;

use crate::{
    End,
    cli::Configured,
    client_certificates::Authorities,
    commands::config::load,
    config::{ClientCertificates, Config, ConfigError, Tls},
    deployment::{Deployment, Settings, log_origin},
    listeners::{Protection, Signals, bind, serve, tls},
    register::Demand,
    secrets::MasterKey,
};

/// Runs it until asked to stop.
pub async fn run(configured: Configured) -> Result<End> {
    let mut signals = Signals::install()?;
    let config = load(&configured)?;
    let settings = settings(&config)?;
    let protection = protection(&config)?;
    let public = bind(config.server.listen, "server.listen").await?;
    let private = bind(config.server.admin_listen, "server.admin_listen").await?;
    let mut deployment = Deployment::open(settings).await?;
    report_recovery(&deployment);
    deployment.start().await?;
    read_catalogues(&deployment);
    let stop = CancellationToken::new();
    let admin = deployment.private();
    let serving = tokio::spawn(serve(public, deployment.public(), protection, stop.clone()));
    let watching = tokio::spawn(serve(private, admin, Protection::default(), stop.clone()));
    anstream::eprintln!("sallyport serves {} on {}", config.server.origin(), config.server.listen);
    for upstream in &config.upstreams {
        anstream::eprintln!("  {}/mcp/{}", config.server.origin(), upstream.name);
    }
    signals.asked_to_stop().await;
    anstream::eprintln!("stopping");
    stop.cancel();
    let listeners = async {
        let _ = tokio::join!(serving, watching);
    };
    deployment.stop(listeners, signals.asked_to_stop()).await?;
    Ok(End::Done)
}

/// Says what opening the log mended.
pub fn report_recovery(deployment: &Deployment) {
    let recovery = &deployment.recovery;
    if recovery.torn_bytes > 0 || recovery.unsigned > 0 {
        tracing::warn!(
            entries = recovery.entries,
            unsigned = recovery.unsigned,
            torn_bytes = recovery.torn_bytes,
            "the audit log was not closed in order; what was acknowledged is there"
        );
    }
}

/// Reads the catalogues beside serving; an upstream that is down is tried again.
pub fn read_catalogues(deployment: &Deployment) {
    let gate = deployment.gate.clone();
    tokio::spawn(async move {
        let mut wait = Duration::from_secs(1);
        loop {
            let failed = gate.read_catalogues().await;
            if failed.is_empty() {
                return;
            }
            for (upstream, error) in failed {
                tracing::warn!(%upstream, %error, "the catalogue could not be read; it is tried again");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(60));
        }
    });
}

/// The settings that a configuration stands for. Makes the data directory and, at the first start, the
/// master key.
pub fn settings(config: &Config) -> Result<Settings> {
    make_private(&config.data.directory)?;
    let upstreams = config.upstreams.iter().map(|upstream| upstream.offered()).collect::<Result<Vec<_>, _>>()?;
    Ok(Settings {
        public_url: config.server.public_url.clone(),
        database: config.data.database(),
        audit_log: config.data.audit_log(),
        log_origin: node_origin(log_origin(&config.server.public_url), config.data.node.as_deref()),
        master_key: MasterKey::load(&config.data.master_key(), &SystemRng)?,
        branding: Branding { product: config.server.product.clone(), support: config.server.support.clone() },
        tenants: config.tenants.iter().map(|tenant| (tenant.id.clone(), tenant.name.clone())).collect(),
        gate: GateConfig {
            issuer: config.server.origin(),
            public_url: config.server.origin(),
            allowed_origins: config.server.allowed_origins.clone(),
            limits: config.limits.gate(),
            upstreams,
        },
        demand: Demand { minimum: config.admission.minimum_score, reassess_every: config.admission.reassess_every() },
        oauth: oauth(config)?,
        identity: IdentityConfig {
            local_directory: config.identity.local_directory,
            session_lifetime: Duration::from_secs(u64::from(config.identity.session_hours.max(1)) * 3600),
            require_passkey_for_administrators: config.identity.require_passkey_for_administrators,
            ..IdentityConfig::default()
        },
        documents: AddressPolicy::PublicOnly,
        providers: config.identity.providers(),
        provider_roots: config.identity.provider_roots()?,
        announce: false,
    })
}

/// The name of one node's log among several.
fn node_origin(origin: String, node: Option<&str>) -> String {
    node.map_or_else(|| origin.clone(), |node| format!("{origin}/{node}"))
}

/// Makes a directory that nobody else can look into.
pub fn make_private(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("data.directory: {} cannot be made", directory.display()))
}

fn protection(config: &Config) -> Result<Protection> {
    let authorities =
        |path: &Option<PathBuf>| path.as_deref().map_or_else(|| Ok(Authorities::default()), Authorities::read);
    Ok(match &config.server.tls {
        None => Protection::default(),
        Some(Tls::Terminated { trusted_proxies, client_certificate_header, client_ca }) => Protection {
            tls: None,
            trusted_proxies: trusted_proxies.clone(),
            certificate_header: client_certificate_header.as_deref().map(header_name).transpose()?,
            authorities: authorities(client_ca)?,
        },
        Some(Tls::Own { certificate, key, client_certificates, client_ca }) => Protection {
            tls: Some(tls(certificate, key, *client_certificates == ClientCertificates::Optional)?),
            authorities: authorities(client_ca)?,
            ..Protection::default()
        },
    })
}

/// A header of a proxy; never one that a request could not do without.
fn header_name(text: &str) -> Result<HeaderName, ConfigError> {
    let name = HeaderName::try_from(text).ok();
    let own = [header::AUTHORIZATION, header::HOST, header::COOKIE, header::ORIGIN, header::CONTENT_TYPE];
    name.filter(|name| !own.contains(name)).ok_or_else(|| {
        let what = format!("`{text}` is no header for it");
        ConfigError::field(
            "server.tls.client_certificate_header",
            &what,
            "name one that the proxy sets: \"Client-Cert\"",
        )
    })
}

fn oauth(config: &Config) -> Result<AuthServerConfig> {
    let issuer = config.server.origin();
    let mut clients = Vec::new();
    for client in &config.oauth.clients {
        let auth = match &client.secret_sha256 {
            None => ClientAuthMethod::None,
            Some(text) => ClientAuthMethod::Secret { sha256: digest("oauth.clients.secret_sha256", text)? },
        };
        clients.push(PreregisteredClient {
            id: ClientId::new(client.id.clone())
                .map_err(|error| ConfigError::field("oauth.clients.id", &error.to_string(), "choose another id"))?,
            name: client.name.clone(),
            redirect_uris: client.redirect_uris.clone(),
            application_type: if client.native { ApplicationType::Native } else { ApplicationType::Web },
            auth,
            grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
            agent: None,
        });
    }
    let known: BTreeSet<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    let mut introspection_callers = Vec::new();
    for caller in &config.oauth.introspection {
        if let Some(unknown) = caller.upstreams.iter().find(|name| !known.contains(name.as_str())) {
            let what = format!("there is no upstream `{unknown}`");
            return Err(
                ConfigError::field("oauth.introspection.upstreams", &what, "name an upstream of this file").into()
            );
        }
        introspection_callers.push(IntrospectionCaller {
            id: caller.id.clone(),
            secret_sha256: digest("oauth.introspection.secret_sha256", &caller.secret_sha256)?,
            resources: caller.upstreams.iter().map(|name| format!("{issuer}/mcp/{name}")).collect(),
        });
    }
    Ok(AuthServerConfig {
        lifetimes: config.oauth.lifetimes(),
        dynamic_registration: config.oauth.dynamic_registration,
        client_documents: config.oauth.client_documents,
        always_ask_consent: config.oauth.always_ask_consent,
        dpop_nonces: config.oauth.dpop_nonces,
        client_certificates: config.server.tls.as_ref().is_some_and(Tls::takes_certificates),
        rates: Rates { registrations_per_hour: config.oauth.registrations_per_hour.max(1), ..Rates::default() },
        clients,
        introspection_callers,
        ..AuthServerConfig::new(issuer)
    })
}

fn digest(field: &str, text: &str) -> Result<[u8; 32], ConfigError> {
    let wrong =
        || ConfigError::field(field, "it is not 64 hexadecimal digits", "`printf %s SECRET | sha256sum` makes one");
    let mut bytes = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}
