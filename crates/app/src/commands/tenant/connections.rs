//! A tenant's connections: what they are, what to enter at the provider, switching them, rolling keys over.

use anyhow::{Context as _, Result};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use clap::ValueEnum as _;
use sallyport_identity::{
    rotate_saml_keys, saml_entity_id,
    settings::{ConnectionSettings, Demands, OidcSettings},
};
use sallyport_model::{ConnectionId, SessionId, SigningKeyId, TenantId};
use sallyport_oauth::{SigningKey, oidc::PresetId};
use sallyport_storage::{Connection, RevocationSubject, Tenant};
use serde_json::{Map, Value, json};

use super::{
    answer::Answer,
    arguments::{ConnectionVerb, KeyStep},
    connect::of,
    mapping::mapping_lines,
    opened::{MOST_SESSIONS, Opened, refused, shown},
    token::sha256,
};

/// How long somebody whom the provider no longer stands by can go on, if nothing is pushed.
struct Bound {
    seconds: u64,
    why: &'static str,
}

impl Bound {
    async fn of(
        opened: &Opened,
        tenant: &Tenant,
        connection: &Connection,
        settings: &ConnectionSettings,
    ) -> Result<Self> {
        // The gate takes a token of its own five seconds past its end.
        const LEEWAY: u64 = 5;
        let lifetimes = opened.config().oauth.lifetimes().narrowed(&tenant.settings);
        let (token, grant) = (lifetimes.access_token.as_secs() + LEEWAY, lifetimes.grant.as_secs() + LEEWAY);
        let asked = matches!(settings, ConnectionSettings::Oidc(oidc) if oidc.ask_again);
        let kept = opened.store().fetched(&connection.id, "refresh").await?.map(|(kept, _)| kept);
        Ok(match (settings, asked, kept.as_deref()) {
            (_, true, Some("kept")) => Self { seconds: token, why: "every refresh asks it about the person" },
            (_, true, None) => {
                let why = "nobody has signed in yet; less if it gives refresh tokens, for then every refresh asks it";
                Self { seconds: grant, why }
            }
            (_, true, Some(_)) => Self { seconds: grant, why: "it gives no refresh token, so it cannot be asked" },
            (ConnectionSettings::Oidc(_), false, _) => {
                Self { seconds: grant, why: "it is not asked (--do-not-ask-again)" }
            }
            (ConnectionSettings::Saml(_), ..) => {
                Self { seconds: grant, why: "SAML cannot ask; sooner where its SessionNotOnOrAfter is" }
            }
        })
    }
}

/// `sallyport tenant connections`
pub async fn list(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let mut values = Vec::new();
    let mut lines = Vec::new();
    for connection in opened.store().connections(id).await? {
        // One that cannot be read must not hide the others.
        match ConnectionSettings::of(&connection) {
            Ok(settings) => {
                let bound = Bound::of(opened, &tenant, &connection, &settings).await?;
                let mut value = connection_json(opened, &connection, &settings)?;
                value["worst_case_seconds"] = json!(bound.seconds);
                value["worst_case"] = json!(bound.why);
                values.push(value);
                lines.extend(connection_lines(opened, &connection, &settings)?);
                lines.push(format!(
                    "  if the provider pushes nothing, access ends within {} s: {}",
                    bound.seconds, bound.why
                ));
            }
            Err(error) => {
                values.push(json!({ "id": connection.id, "name": connection.name, "error": error.to_string() }));
                lines.push(format!("{}: {error}", shown(&connection.name)));
            }
        }
    }
    let none = values
        .is_empty()
        .then(|| format!("{id} has none; `sallyport tenant connect-oidc {id}` or `connect-saml {id}` makes one"));
    Ok(Answer::done(Value::Array(values), lines).remarks(none))
}

/// Switches or removes one.
pub async fn run(opened: &Opened, verb: &ConnectionVerb) -> Result<Answer> {
    match verb {
        ConnectionVerb::Enable { id, name } => switch(opened, id, name, true).await,
        ConnectionVerb::Disable { id, name } => switch(opened, id, name, false).await,
        ConnectionVerb::Remove { id, name } => remove(opened, id, name).await,
        ConnectionVerb::SamlKeys { id, name, step } => keys(opened, id, name, *step).await,
    }
}

async fn switch(opened: &Opened, id: &TenantId, name: &str, on: bool) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let was = connection.enabled;
    let mut json = json!({ "id": connection.id, "name": connection.name, "enabled": on, "was_enabled": was });
    let (action, state) = if on { ("tenant.connection.enable", "on") } else { ("tenant.connection.disable", "off") };
    // Off once more ends once more: the first time may have been cut off in the middle.
    if was && on {
        return Ok(Answer::done(json, [format!("{}: it was on already", of(id, &connection))]));
    }
    opened.notice(action, Some(id), json!({ "connection": connection.id })).await?;
    let line = format!("{}: {state}", of(id, &connection));
    let changed = Connection { enabled: on, changed_at: opened.now(), ..connection };
    opened.store().put_connection(&changed).await?;
    if on {
        return Ok(Answer::done(json, [line]));
    }
    // After it is off, so that nobody slips in between.
    let begun = begun_by(opened, id, &changed.id).await?;
    for session in &begun {
        opened.store().revoke(&RevocationSubject::Session(session.clone()), opened.now()).await?;
    }
    let count = begun.len();
    json["sessions"] = json!(count);
    Ok(Answer::done(json, [format!("{line}; {count} sessions that were begun by it have ended")]))
}

async fn remove(opened: &Opened, id: &TenantId, name: &str) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let count = begun_by(opened, id, &connection.id).await?.len();
    let facts = json!({ "connection": connection.id, "name": connection.name, "sessions": count });
    opened.notice("tenant.connection.remove", Some(id), facts).await?;
    opened.store().remove_connection(id, &connection.id, opened.now()).await?;
    let json = json!({ "id": connection.id, "name": connection.name, "removed": true, "sessions": count });
    let line = format!("{}: removed; {count} sessions that were begun by it have ended", of(id, &connection));
    let remark = "Who came by it alone is nobody's at another connection: people are made anew there, unless SCIM or \
                  --link-by-email finds them.";
    Ok(Answer::done(json, [line]).remark(remark))
}

/// The living sessions that were begun by a connection.
async fn begun_by(opened: &Opened, id: &TenantId, connection: &ConnectionId) -> Result<Vec<SessionId>> {
    let mut sessions = opened.sessions(id, None).await?;
    if sessions.len() >= MOST_SESSIONS {
        // The store lists no more at once: person by person, then.
        sessions.clear();
        for person in opened.store().people(id).await? {
            sessions.extend(opened.sessions(id, Some(&person.id)).await?);
        }
    }
    let begun = sessions
        .into_iter()
        .filter(|session| session.provider.as_ref().is_some_and(|provider| provider.connection == *connection));
    Ok(begun.map(|session| session.id).collect())
}

/// One step of a roll-over of our keys at a SAML provider.
async fn keys(opened: &Opened, id: &TenantId, name: &str, step: KeyStep) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let mut settings = ConnectionSettings::of(&connection)?;
    let ConnectionSettings::Saml(saml) = &mut settings else {
        let what = format!("{} speaks OpenID Connect: only SAML connections have such keys", of(id, &connection));
        return Err(refused("NAME", &what));
    };
    let entity_id = saml_entity_id(&opened.origin(), &connection.id);
    saml.keys = rotate_saml_keys(&saml.keys, &entity_id, step.step(), opened.now(), opened.rng())
        .map_err(|error| refused("--step", &format!("{error}; the steps are announce, use, retire, in this order")))?;
    let step = step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let facts = json!({ "connection": connection.id, "step": step });
    opened.notice("tenant.connection.saml_keys", Some(id), facts).await?;
    let line = format!("{}: {step} is done", of(id, &connection));
    let json = json!({ "id": connection.id, "name": connection.name, "step": step, "metadata": entity_id });
    let changed = Connection { settings: settings.to_json(), changed_at: opened.now(), ..connection };
    opened.store().put_connection(&changed).await?;
    let remark = "Before the next step, wait until the provider has read our metadata again.";
    Ok(Answer::done(json, [line]).remark(remark))
}

/// What to enter at the provider: what people call it, a name for programs, the URL.
fn urls(
    opened: &Opened,
    id: &ConnectionId,
    settings: &ConnectionSettings,
) -> Vec<(&'static str, &'static str, String)> {
    match settings {
        ConnectionSettings::Oidc(oidc) => {
            let at = |path: &str| format!("{}/signin/oidc/{id}/{path}", opened.origin());
            let mut urls = vec![
                ("redirect URI", "redirect_uri", at("callback")),
                ("back-channel logout", "backchannel_logout_uri", at("logout")),
                ("front-channel logout", "frontchannel_logout_uri", at("frontchannel-logout")),
            ];
            // Entra takes the certificate itself.
            if oidc.private_key.is_some() && oidc.certificate.is_none() {
                urls.push(("public keys (JWKS)", "jwks_uri", at("jwks")));
            }
            urls
        }
        ConnectionSettings::Saml(_) => {
            let at = |path: &str| format!("{}/signin/saml/{id}/{path}", opened.origin());
            vec![
                ("entity id and metadata", "entity_id", saml_entity_id(&opened.origin(), id)),
                ("assertion consumer service", "acs_url", at("acs")),
                ("single logout service", "slo_url", at("slo")),
            ]
        }
    }
}

/// The public half of our key at an OpenID provider, as its page wants it: `jwk` or, where the provider takes
/// certificates, `certificate` in PEM. Nothing where we have a secret.
fn public_key(oidc: &OidcSettings) -> Result<Option<(&'static str, Value)>> {
    if let Some(certificate) = &oidc.certificate {
        return Ok(Some(("certificate", json!(pem(certificate)))));
    }
    let Some(key) = &oidc.private_key else { return Ok(None) };
    let pkcs8 = zeroize::Zeroizing::new(STANDARD.decode(key).context("the connection's key cannot be read")?);
    let key = SigningKey::from_pkcs8(SigningKeyId::new("client")?, &pkcs8)?.verifying_key()?;
    let point = key.to_jwk(&SigningKeyId::new("client")?);
    // In the order that RFC 7638 section 3.2 hashes them in: the id is the thumbprint.
    let members = json!({ "crv": point.crv, "kty": point.kty, "x": point.x, "y": point.y });
    let kid = SigningKeyId::new(URL_SAFE_NO_PAD.encode(sha256(&members.to_string())))?;
    Ok(Some(("jwk", json!(key.to_jwk(&kid)))))
}

/// Base64 of a certificate's DER as providers' pages take it.
fn pem(base64: &str) -> String {
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

/// A connection for programs; no secret is in it.
pub fn connection_json(opened: &Opened, connection: &Connection, settings: &ConnectionSettings) -> Result<Value> {
    let urls = urls(opened, &connection.id, settings).into_iter().map(|(_, name, url)| (name.to_owned(), json!(url)));
    let mut value = json!({
        "id": connection.id,
        "name": connection.name,
        "enabled": connection.enabled,
        "protocol": connection.protocol,
        "created_at": connection.created_at.to_string(),
        "changed_at": connection.changed_at.to_string(),
        "urls": urls.collect::<Map<_, _>>(),
        "mapping": settings.mapping(),
    });
    match settings {
        ConnectionSettings::Oidc(oidc) => {
            value["preset"] = json!(oidc.preset);
            value["provider"] = json!(oidc.issuer);
            value["client_id"] = json!(oidc.client_id);
            value["authentication"] = json!(if oidc.private_key.is_some() { "private_key_jwt" } else { "secret" });
            if let Some((name, key)) = public_key(oidc)? {
                value[name] = key;
            }
            value["organisation"] = json!(oidc.organisation);
            value["scopes"] = json!(oidc.scopes);
            value["ask_again"] = json!(oidc.ask_again);
            value["demands"] = json!(oidc.demands);
        }
        ConnectionSettings::Saml(saml) => {
            value["provider"] = json!(saml.idp_entity_id);
            value["metadata_url"] = json!(saml.metadata_url);
            value["metadata_signed"] = json!(saml.metadata_certificate.is_some());
            value["allow_unsolicited"] = json!(saml.allow_unsolicited);
            value["demands"] = json!(saml.demands);
        }
    }
    Ok(value)
}

/// A connection for people.
pub fn connection_lines(
    opened: &Opened,
    connection: &Connection,
    settings: &ConnectionSettings,
) -> Result<Vec<String>> {
    let state = if connection.enabled { "on" } else { "off" };
    let mut lines = Vec::new();
    let mut key = None;
    let demands = match settings {
        ConnectionSettings::Oidc(oidc) => {
            let title = PresetId::named(&oidc.preset).map_or("OpenID Connect", |preset| preset.preset().title);
            lines.push(format!("{}: {state}, {title}, {}", shown(&connection.name), shown(&oidc.issuer)));
            lines.push(format!("  client id: {}", shown(&oidc.client_id)));
            lines.extend(oidc.organisation.iter().map(|customer| format!("  organisation: {}", shown(customer))));
            key = public_key(oidc)?;
            &oidc.demands
        }
        ConnectionSettings::Saml(saml) => {
            lines.push(format!("{}: {state}, SAML, {}", shown(&connection.name), shown(&saml.idp_entity_id)));
            let signed = if saml.metadata_certificate.is_some() { ", signed ones only" } else { "" };
            let source = saml.metadata_url.as_ref().map_or_else(|| "a file".to_owned(), |url| shown(url.as_str()));
            lines.push(format!("  metadata: {source}{signed}"));
            let unsolicited = if saml.allow_unsolicited { "yes" } else { "no" };
            lines.push(format!("  may sign people in without being asked: {unsolicited}"));
            &saml.demands
        }
    };
    lines.push(format!("  id: {}", connection.id));
    lines.push(format!("  demanded: {}", demanded(demands)));
    lines.push("  enter at the provider:".to_owned());
    let urls = urls(opened, &connection.id, settings);
    lines.extend(urls.into_iter().map(|(what, _, url)| format!("    {what}: {url}")));
    match key {
        Some((_, Value::String(certificate))) => {
            lines.push("    certificate:".to_owned());
            lines.extend(certificate.lines().map(str::to_owned));
        }
        Some((_, jwk)) => lines.push(format!("    public key (JWK): {jwk}")),
        None => {}
    }
    lines.push("  who becomes whom:".to_owned());
    lines.extend(mapping_lines(settings.mapping()).into_iter().map(|line| format!("  {line}")));
    Ok(lines)
}

fn demanded(demands: &Demands) -> String {
    let acr = (!demands.acr.is_empty()).then(|| format!("one of {}", shown(&demands.acr.join(", "))));
    let stands =
        if demands.mfa_acr.is_empty() { String::new() } else { format!(" (or {})", demands.mfa_acr.join(", ")) };
    let mfa = demands.mfa.then(|| format!("more than one factor{}", shown(&stands)));
    let age = demands.max_age_seconds.map(|seconds| format!("not longer ago than {seconds} s"));
    let all: Vec<String> = acr.into_iter().chain(mfa).chain(age).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
}
