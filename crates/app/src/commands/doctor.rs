//! `sallyport doctor`: what is wrong with a deployment, each with one remedy.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::Result;
use sallyport_ledger::{VerifyOptions, verify, vkey_path};
use sallyport_model::Clock as _;
use serde::Serialize;

use crate::{
    End,
    cli::Doctor,
    client_certificates::Authorities,
    commands::config::load,
    config::{Config, Tls},
    listeners,
    secrets::MasterKey,
};

/// What was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    good: bool,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn good(check: &'static str, what: impl Into<String>) -> Finding {
    Finding { check, good: true, what: what.into(), remedy: None }
}

fn bad(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { check, good: false, what: what.into(), remedy: Some(remedy.into()) }
}

/// Runs it; the answer is no if anything is wrong.
pub async fn run(command: Doctor) -> Result<End> {
    let config = load(&command.configured)?;
    let mut findings = vec![good("configuration", format!("{} is well formed", command.configured.config.display()))];
    findings.extend([clock(), tls(&config), directory(&config.data.directory), disk(&config.data.directory)]);
    findings.extend([master_key(&config), audit_log(&config), issuer(&config).await]);
    for upstream in &config.upstreams {
        findings.push(reach(upstream).await);
    }
    for finding in &findings {
        if command.json {
            println!("{}", serde_json::to_string(finding)?);
        } else {
            println!("{:<4} {:<14} {}", if finding.good { "good" } else { "BAD" }, finding.check, finding.what);
            finding.remedy.iter().for_each(|remedy| println!("     remedy: {remedy}"));
        }
    }
    Ok(if findings.iter().all(|finding| finding.good) { End::Done } else { End::No })
}

/// Tokens and checkpoints are worth nothing under a clock that is years off.
fn clock() -> Finding {
    const BUILT: u64 = 1_790_000_000;
    let now = sallyport_model::SystemClock.now();
    if now.as_secs() < BUILT {
        return bad(
            "clock",
            format!("it says {now}, before this version was made"),
            "start a time service: timedatectl set-ntp true",
        );
    }
    good("clock", format!("it says {now}; compare it with a clock that you trust"))
}

fn tls(config: &Config) -> Finding {
    let authorities = match &config.server.tls {
        Some(Tls::Own { client_ca, .. } | Tls::Terminated { client_ca, .. }) => client_ca.as_deref(),
        None => None,
    };
    if let Some(Err(error)) = authorities.map(Authorities::read) {
        return bad("tls", format!("{error:#}"), "give a PEM file of the authorities of clients' certificates");
    }
    match &config.server.tls {
        None => good("tls", "none; the listener is on loopback only"),
        Some(Tls::Terminated { trusted_proxies, .. }) => {
            good("tls", format!("ended by a proxy in front, from {trusted_proxies:?}"))
        }
        Some(Tls::Own { certificate, key, .. }) => match listeners::tls(certificate, key, false) {
            Ok(_) => good("tls", format!("{} and its key fit", certificate.display())),
            Err(error) => bad("tls", format!("{error:#}"), "give a PEM chain and its key, readable by this user"),
        },
    }
}

fn directory(path: &Path) -> Finding {
    match fs::metadata(path) {
        Err(error) => {
            bad("directory", format!("{}: {error}", path.display()), format!("mkdir -m 700 -p {}", path.display()))
        }
        Ok(found) if !found.is_dir() => {
            bad("directory", format!("{} is no directory", path.display()), "choose another data.directory")
        }
        Ok(found) if found.permissions().mode() & 0o022 != 0 => {
            bad("directory", format!("others may write in {}", path.display()), format!("chmod 700 {}", path.display()))
        }
        Ok(_) => good("directory", path.display().to_string()),
    }
}

fn disk(path: &Path) -> Finding {
    const LEAST: u64 = 1 << 30;
    match rustix::fs::statvfs(path) {
        Err(error) => bad("disk", format!("{}: {error}", path.display()), "check that the directory is there"),
        Ok(found) => {
            let free = found.f_bavail * found.f_frsize;
            let text = format!("{} MiB free", free >> 20);
            if free < LEAST {
                bad("disk", text, "free at least 1 GiB: a full disk stops the gate")
            } else {
                good("disk", text)
            }
        }
    }
}

fn master_key(config: &Config) -> Finding {
    if std::env::var_os(crate::secrets::MASTER_KEY).is_some() {
        return good("master key", "from the environment");
    }
    let path = config.data.master_key();
    if !path.exists() {
        return good("master key", format!("{} is made at the first start", path.display()));
    }
    match MasterKey::read(&path) {
        Ok(_) => good("master key", path.display().to_string()),
        Err(error) => bad(
            "master key",
            error.to_string(),
            format!("chmod 600 {} and keep a copy of it elsewhere", path.display()),
        ),
    }
}

fn audit_log(config: &Config) -> Finding {
    let log = config.data.audit_log();
    let Ok(text) = fs::read_to_string(vkey_path(&log)) else { return good("audit log", "not begun yet") };
    let verified = sallyport_ledger::VerifierKey::parse(&text)
        .and_then(|key| verify(&log, &key, key.name(), &VerifyOptions::default()));
    match verified {
        Ok(verified) => good("audit log", format!("{} entries, verified", verified.checkpoint.size)),
        Err(error) => {
            bad("audit log", error.to_string(), "stop the gate, keep the directory as it is, and restore a copy")
        }
    }
}

/// Whether clients that follow `public_url` would arrive here. Asks the deployment if it runs.
async fn issuer(config: &Config) -> Finding {
    let origin = config.server.origin();
    let url = format!("{origin}/.well-known/oauth-authorization-server");
    let Ok(parsed) = url::Url::parse(&url) else {
        return bad("issuer", format!("{url} is no URL"), "mend server.public_url");
    };
    match fetch(&parsed).await {
        Err(error) => bad(
            "issuer",
            format!("{url}: {error}"),
            "start the gate, or mend server.public_url, DNS or the proxy in front",
        ),
        Ok((200, body)) if body.get("issuer").and_then(|issuer| issuer.as_str()) == Some(origin.as_str()) => {
            good("issuer", format!("{origin} answers with its own name"))
        }
        Ok((status, _)) => bad(
            "issuer",
            format!("{url} answers {status} and not with our issuer"),
            "something else answers at server.public_url",
        ),
    }
}

async fn reach(upstream: &crate::config::Upstream) -> Finding {
    let name = upstream.name.to_string();
    match (&upstream.url, &upstream.command) {
        (Some(url), _) => match fetch(url).await {
            Ok((status, _)) => good("upstream", format!("{name}: {url} answers ({status} to a bare GET)")),
            Err(error) => bad("upstream", format!("{name}: {url}: {error}"), "start it, or mend upstreams.url"),
        },
        (None, Some(command)) => {
            if found_in_path(command) {
                good("upstream", format!("{name}: {command} is there"))
            } else {
                bad("upstream", format!("{name}: {command} is not in PATH"), "install it, or give its whole path")
            }
        }
        (None, None) => bad("upstream", format!("{name}: neither url nor command"), "give one of them"),
    }
}

fn found_in_path(command: &str) -> bool {
    let executable =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if command.contains('/') {
        return executable(Path::new(command));
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| executable(&dir.join(command))))
}

async fn fetch(url: &url::Url) -> Result<(u16, serde_json::Value)> {
    use http_body_util::{BodyExt as _, Full, Limited};
    let client = sallyport_outbound::http::UpstreamClient::new(url, &sallyport_outbound::http::HttpOptions::default())?;
    let request = http::Request::get(url.as_str())
        .header("accept", "application/json, text/event-stream")
        .body(Full::new(bytes::Bytes::new()))?;
    let exchange = async {
        let response = client.send(request).await?;
        let status = response.status().as_u16();
        let stream = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if stream {
            return Ok((status, serde_json::Value::Null));
        }
        let body =
            Limited::new(response.into_body(), 1 << 20).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    };
    tokio::time::timeout(Duration::from_secs(5), exchange).await?
}
