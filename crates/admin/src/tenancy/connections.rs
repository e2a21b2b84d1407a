//! A tenant's connections: what they are, what to enter at the provider, switching them, rolling keys over.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_identity::{
    SamlKeyStep, rotate_saml_keys, saml_entity_id,
    settings::{ConnectionSettings, OidcSettings},
};
use sallyport_model::{ConnectionId, SessionId, SigningKeyId, TenantId};
use sallyport_oauth::{SigningKey, thumbprint};
use sallyport_storage::{Connection, RevocationSubject, Tenant};
use serde_json::{Map, Value, json};

use super::{Tenancy, work};
use crate::{Code, Fault};

/// Of two who change a connection at once one was faster; nobody is outrun so often.
const ATTEMPTS: usize = 8;

/// How long somebody whom the provider no longer stands by can go on, if nothing is pushed.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// So long.
    pub seconds: u64,
    /// Why no shorter.
    pub why: &'static str,
}

impl Bound {
    /// Of one connection.
    ///
    /// # Errors
    /// [`Fault::Store`].
    pub async fn of(
        tenancy: &Tenancy,
        tenant: &Tenant,
        connection: &Connection,
        settings: &ConnectionSettings,
    ) -> Result<Self, Fault> {
        // The gate takes a token of its own five seconds past its end.
        const LEEWAY: u64 = 5;
        let limits = super::tenants::limits(tenancy, &tenant.settings);
        let (token, grant) = (limits[0].in_force() + LEEWAY, limits[2].in_force() + LEEWAY);
        let asked = matches!(settings, ConnectionSettings::Oidc(oidc) if oidc.ask_again);
        let kept = tenancy.store().fetched(&connection.id, "refresh").await?.map(|(kept, _)| kept);
        Ok(match (settings, asked, kept.as_deref()) {
            (_, true, Some("kept")) => Self { seconds: token, why: "every refresh asks it about the person" },
            (_, true, None) => {
                let why = "nobody has signed in yet; less if it gives refresh tokens, for then every refresh asks it";
                Self { seconds: grant, why }
            }
            (_, true, Some(_)) => Self { seconds: grant, why: "it gives no refresh token, so it cannot be asked" },
            (ConnectionSettings::Oidc(_), false, _) => {
                Self { seconds: grant, why: "it is not asked, for the connection says so" }
            }
            (ConnectionSettings::Saml(_), ..) => {
                Self { seconds: grant, why: "SAML cannot ask; sooner where its SessionNotOnOrAfter is" }
            }
        })
    }
}

/// A connection that was switched.
#[derive(Debug, Clone)]
pub struct Switched {
    /// As it is now.
    pub connection: Connection,
    /// Whether it was on before.
    pub was: bool,
    /// How many sessions ended: those that were begun by a connection that is off now.
    pub sessions: usize,
}

/// Switches a connection on, or off with every session that was begun by it.
///
/// # Errors
/// When the record or the store fails.
pub async fn switch(tenancy: &Tenancy, connection: Connection, on: bool) -> Result<Switched, Fault> {
    let (id, was) = (connection.tenant.clone(), connection.enabled);
    // Off once more ends once more: the first time may have been cut off in the middle.
    if was && on {
        return Ok(Switched { connection, was, sessions: 0 });
    }
    let action = if on { "tenant.connection.enable" } else { "tenant.connection.disable" };
    tenancy.note(action, Some(&id), json!({ "connection": connection.id })).await?;
    let connection = set_enabled(tenancy, connection, on).await?;
    if on {
        return Ok(Switched { connection, was, sessions: 0 });
    }
    // After it is off, so that nobody slips in between.
    let begun = begun_by(tenancy, &id, &connection.id).await?;
    for session in &begun {
        tenancy.store().revoke(&RevocationSubject::Session(session.clone()), tenancy.now()).await?;
    }
    Ok(Switched { connection, was, sessions: begun.len() })
}

/// Keeps what others change at the same time.
async fn set_enabled(tenancy: &Tenancy, mut was: Connection, on: bool) -> Result<Connection, Fault> {
    for _ in 0..ATTEMPTS {
        let new = Connection { enabled: on, changed_at: tenancy.now(), ..was.clone() };
        if tenancy.store().exchange_connection(&was, &new).await? {
            return Ok(new);
        }
        was = tenancy.connection(&was.tenant, was.id.as_str()).await?;
    }
    Err(Fault::stale())
}

/// Removes a connection with its links, and ends every session that was begun by it; how many.
///
/// # Errors
/// When the record or the store fails.
pub async fn remove(tenancy: &Tenancy, connection: &Connection) -> Result<usize, Fault> {
    let id = &connection.tenant;
    let count = begun_by(tenancy, id, &connection.id).await?.len();
    let facts = json!({ "connection": connection.id, "name": connection.name, "sessions": count });
    tenancy.note("tenant.connection.remove", Some(id), facts).await?;
    tenancy.store().remove_connection(id, &connection.id, tenancy.now()).await?;
    Ok(count)
}

/// The living sessions that were begun by a connection.
async fn begun_by(tenancy: &Tenancy, id: &TenantId, connection: &ConnectionId) -> Result<Vec<SessionId>, Fault> {
    let sessions = super::sessions::living(tenancy, id, None).await?;
    let begun = sessions
        .into_iter()
        .filter(|session| session.provider.as_ref().is_some_and(|provider| provider.connection == *connection));
    Ok(begun.map(|session| session.id).collect())
}

/// One step of a roll-over of our keys at a SAML provider; our entity id there.
///
/// # Errors
/// When it speaks OpenID Connect, or the step is out of order.
pub async fn roll_keys(tenancy: &Tenancy, connection: Connection, step: SamlKeyStep) -> Result<String, Fault> {
    let mut settings = ConnectionSettings::of(&connection)?;
    let ConnectionSettings::Saml(saml) = &mut settings else {
        let what = format!("{} of {} speaks OpenID Connect", connection.name, connection.tenant);
        return Err(Fault::refused(Code::Conflict, "connection", what, "only SAML connections have such keys"));
    };
    let entity_id = saml_entity_id(tenancy.origin(), &connection.id);
    let (with, keys, named) = (tenancy.clone(), saml.keys.clone(), entity_id.clone());
    let rolled = work::apart(move || rotate_saml_keys(&keys, &named, step, with.now(), with.rng())).await?;
    saml.keys = rolled.map_err(|error| {
        let remedy = "the steps are announce, use, retire, in this order";
        Fault::refused(Code::Conflict, "step", error.to_string(), remedy)
    })?;
    let facts = json!({ "connection": connection.id, "step": step_word(step) });
    tenancy.note("tenant.connection.saml_keys", Some(&connection.tenant), facts).await?;
    let changed = Connection { settings: settings.to_json(), changed_at: tenancy.now(), ..connection.clone() };
    if !tenancy.store().exchange_connection(&connection, &changed).await? {
        return Err(Fault::stale());
    }
    Ok(entity_id)
}

/// A step in one word.
pub fn step_word(step: SamlKeyStep) -> &'static str {
    match step {
        SamlKeyStep::Announce => "announce",
        SamlKeyStep::Use => "use",
        SamlKeyStep::Retire => "retire",
    }
}

/// What to enter at the provider: what people call it, a name for programs, the URL.
pub fn urls(
    tenancy: &Tenancy,
    id: &ConnectionId,
    settings: &ConnectionSettings,
) -> Vec<(&'static str, &'static str, String)> {
    let origin = tenancy.origin();
    match settings {
        ConnectionSettings::Oidc(oidc) => {
            let at = |path: &str| format!("{origin}/signin/oidc/{id}/{path}");
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
            let at = |path: &str| format!("{origin}/signin/saml/{id}/{path}");
            vec![
                ("entity id and metadata", "entity_id", saml_entity_id(origin, id)),
                ("assertion consumer service", "acs_url", at("acs")),
                ("single logout service", "slo_url", at("slo")),
            ]
        }
    }
}

/// The public half of our key at an OpenID provider, as its page wants it: `jwk` or, where the provider takes
/// certificates, `certificate` in PEM. Nothing where we have a secret.
///
/// # Errors
/// When the key that is kept cannot be read.
pub fn public_key(oidc: &OidcSettings) -> Result<Option<(&'static str, Value)>, Fault> {
    if let Some(certificate) = &oidc.certificate {
        return Ok(Some(("certificate", json!(pem(certificate)))));
    }
    let Some(key) = &oidc.private_key else { return Ok(None) };
    let unreadable = Fault::Internal("reading the connection's key");
    let Ok(pkcs8) = STANDARD.decode(key).map(zeroize::Zeroizing::new) else { return Err(unreadable) };
    let public = SigningKeyId::new("client")
        .ok()
        .and_then(|kid| SigningKey::from_pkcs8(kid.clone(), &pkcs8).ok().map(|key| (kid, key)))
        .and_then(|(kid, key)| key.verifying_key().ok().map(|key| (kid, key)));
    let Some((kid, key)) = public else { return Err(unreadable) };
    let thumbprint = json!(key.to_jwk(&kid)).as_object().and_then(thumbprint::of_jwk);
    let Some(kid) = thumbprint.and_then(|id| SigningKeyId::new(id).ok()) else { return Err(unreadable) };
    Ok(Some(("jwk", json!(key.to_jwk(&kid)))))
}

/// Base64 of a certificate's DER as providers' pages take it.
fn pem(base64: &str) -> String {
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

/// A connection for programs; no secret is in it.
///
/// # Errors
/// When the key that is kept cannot be read.
pub fn connection_json(
    tenancy: &Tenancy,
    connection: &Connection,
    settings: &ConnectionSettings,
) -> Result<Value, Fault> {
    let urls = urls(tenancy, &connection.id, settings).into_iter().map(|(_, name, url)| (name.to_owned(), json!(url)));
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
            value["id_jag"] = json!(oidc.id_jag);
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

/// The same with how long access can outlive the provider's word. One that cannot be read says so and hides no other.
///
/// # Errors
/// [`Fault::Store`].
pub async fn listed_json(tenancy: &Tenancy, tenant: &Tenant, connection: &Connection) -> Result<Value, Fault> {
    let settings = match ConnectionSettings::of(connection) {
        Ok(settings) => settings,
        Err(error) => {
            return Ok(json!({ "id": connection.id, "name": connection.name, "error": error.to_string() }));
        }
    };
    let bound = Bound::of(tenancy, tenant, connection, &settings).await?;
    let mut value = connection_json(tenancy, connection, &settings)?;
    value["worst_case_seconds"] = json!(bound.seconds);
    value["worst_case"] = json!(bound.why);
    Ok(value)
}
