//! `[upstreams.credential]`: what the gate shows the MCP server behind it. A client's token is none of the kinds.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use http::HeaderName;
use sallyport_model::{Secret, TenantId, UserId};
use sallyport_outbound::command::CommandSpec;
use sallyport_proxy::upstream::{
    UpstreamCredential,
    credential::{CatalogueAccess, ClientProof, Exchanged, Issued, Linked, OwnClient, SecretSource, TokenServer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::{Host, Url};

use super::ConfigError;

/// The gate's own credential at an HTTP upstream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// What kind it is. Default: static.
    #[serde(default)]
    pub kind: Kind,
    /// The variable that holds the secret.
    pub env: Option<String>,
    /// The file that holds the secret.
    pub file: Option<PathBuf>,
    /// The program that prints the secret, and its arguments; no shell.
    pub command: Option<Vec<String>>,
    /// static: the header to send it in. Default: `Authorization: Bearer …`.
    pub header: Option<String>,
    /// The authorization server's token endpoint. Default: what `issuer` or the upstream itself names.
    #[schemars(with = "Option<String>")]
    pub token_endpoint: Option<Url>,
    /// The authorization server's issuer. Default: what the upstream itself names. With a secret, this or
    /// `token_endpoint` has to be given.
    #[schemars(with = "Option<String>")]
    pub issuer: Option<Url>,
    /// Who the gate is there. linked_account may do without: the gate shows its client metadata document.
    pub client_id: Option<String>,
    /// How the gate proves to be that client. Default: secret_basic with a secret, else private_key_jwt;
    /// linked_account without a secret: none.
    pub client_auth: Option<ClientAuth>,
    /// The scopes to ask for, separated by spaces.
    pub scope: Option<String>,
    /// The RFC 8707 resource to ask for. Default: as the upstream calls itself, else its URL.
    pub resource: Option<String>,
    /// token_exchange: RFC 8693's `audience`.
    pub audience: Option<String>,
    /// Whether tokens are bound to a key of the gate's (DPoP).
    #[serde(default)]
    pub dpop: bool,
    /// token_exchange and id_jag: whether assertions tell a person's e-mail address.
    #[serde(default)]
    pub send_email: bool,
    /// linked_account: the variable that holds a token for reading the catalogue.
    pub catalogue_env: Option<String>,
    /// linked_account: whose linked account reads the catalogue.
    pub catalogue_account: Option<CatalogueAccount>,
}

/// Whose linked account reads the catalogue.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueAccount {
    /// Her tenant.
    pub tenant: String,
    /// Her id.
    pub user: String,
}

/// What kind of credential it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One secret for everybody.
    #[default]
    Static,
    /// None.
    None,
    /// A token of the gate's own that ends (RFC 6749 section 4.4).
    ClientCredentials,
    /// A token for each principal, by a fresh assertion of the gate's (RFC 8693).
    TokenExchange,
    /// The same by an ID-JAG (Cross App Access).
    IdJag,
    /// Each person's own account at the upstream.
    LinkedAccount,
}

/// How the gate proves to be its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// A public client.
    None,
    /// A secret in the `Authorization` header.
    SecretBasic,
    /// A secret in the form.
    SecretPost,
    /// An assertion by the key that signs the gate's tokens; the server reads it at the gate's `jwks_uri`.
    PrivateKeyJwt,
}

const SECRET: &[&str] = &["env", "file", "command"];
const SERVER: &[&str] =
    &["token_endpoint", "issuer", "client_id", "client_auth", "scope", "resource", "dpop", "env", "file", "command"];

impl Kind {
    /// The keys that mean something.
    fn takes(self, key: &str) -> bool {
        match self {
            Self::None => false,
            Self::Static => SECRET.contains(&key) || key == "header",
            Self::ClientCredentials => SERVER.contains(&key),
            Self::TokenExchange => SERVER.contains(&key) || ["audience", "send_email"].contains(&key),
            Self::IdJag => SERVER.contains(&key) || key == "send_email",
            Self::LinkedAccount => {
                (SERVER.contains(&key) && key != "token_endpoint")
                    || ["catalogue_env", "catalogue_account"].contains(&key)
            }
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Static => "static",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "token_exchange",
            Self::IdJag => "id_jag",
            Self::LinkedAccount => "linked_account",
        }
    }
}

impl Credential {
    /// Whether it says anything that cannot be; reads nothing.
    pub(super) fn check(&self, field: &str) -> Result<(), ConfigError> {
        for (key, given) in self.given() {
            if given && !self.kind.takes(key) {
                let what = format!("a `{}` credential has no `{key}`", self.kind.word());
                let remedy = "leave it out, or choose another `kind` (docs/upstream-credentials.md)";
                return Err(ConfigError::field(field, &what, remedy));
            }
        }
        let secrets = [self.env.is_some(), self.file.is_some(), self.command.is_some()];
        let secrets = secrets.into_iter().filter(|given| *given).count();
        if secrets > 1 {
            return Err(ConfigError::field(field, "it has several secrets", "give one of `env`, `file`, `command`"));
        }
        if self.command.as_ref().is_some_and(|command| command.iter().all(|word| word.trim().is_empty())) {
            return Err(ConfigError::field(field, "its `command` is empty", "name a program"));
        }
        if self.kind == Kind::Static && secrets == 0 {
            let remedy = "name the variable, the file or the program that holds it";
            return Err(ConfigError::field(field, "it needs `env`, `file` or `command`", remedy));
        }
        self.check_server(field, secrets > 0)
    }

    fn check_server(&self, field: &str, secret: bool) -> Result<(), ConfigError> {
        for url in [&self.token_endpoint, &self.issuer].into_iter().flatten() {
            if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url)) {
                let what = format!("{url} is not https");
                return Err(ConfigError::field(field, &what, "use https; plain http only on this machine"));
            }
        }
        if matches!(self.kind, Kind::Static | Kind::None) {
            return Ok(());
        }
        if self.client_id.is_none() && self.kind != Kind::LinkedAccount {
            return Err(ConfigError::field(field, "it needs a `client_id`", "register the gate at that server"));
        }
        let wants_secret = matches!(self.auth(secret), ClientAuth::SecretBasic | ClientAuth::SecretPost);
        if wants_secret != secret {
            let what = if secret { "its secret is not used by `client_auth`" } else { "`client_auth` needs a secret" };
            return Err(ConfigError::field(
                field,
                what,
                "give `env`, `file` or `command` with a secret_* `client_auth`",
            ));
        }
        if secret && self.issuer.is_none() && self.token_endpoint.is_none() {
            // What the upstream itself names may be anybody's server: a secret goes to the operator's choice alone.
            let remedy = if self.kind == Kind::LinkedAccount {
                "name the authorization server with `issuer`"
            } else {
                "name the authorization server with `issuer` or `token_endpoint`, or leave the secret out \
                 (private_key_jwt)"
            };
            let what = "its secret would go to whichever authorization server the upstream names";
            return Err(ConfigError::field(field, what, remedy));
        }
        if self.auth(secret) == ClientAuth::None && self.kind != Kind::LinkedAccount {
            let what = "a public client gets no token of its own";
            return Err(ConfigError::field(field, what, "set `client_auth` to private_key_jwt, or give a secret"));
        }
        if self.catalogue_env.is_some() && self.catalogue_account.is_some() {
            let remedy = "give one of `catalogue_env` and `catalogue_account`";
            return Err(ConfigError::field(field, "it reads the catalogue in two ways", remedy));
        }
        self.catalogue_person(field).map(drop)
    }

    /// As the gate takes it. Reads the secret.
    pub(super) fn read(&self, field: &str) -> Result<UpstreamCredential, ConfigError> {
        let exchanged = || {
            let issued = self.issued(field)?;
            Ok(Arc::new(Exchanged { issued, audience: self.audience.clone(), send_email: self.send_email }))
        };
        match self.kind {
            Kind::None => Ok(UpstreamCredential::None),
            Kind::Static => self.fixed(field),
            Kind::ClientCredentials => Ok(UpstreamCredential::ClientCredentials(Arc::new(self.issued(field)?))),
            Kind::TokenExchange => exchanged().map(UpstreamCredential::TokenExchange),
            Kind::IdJag => exchanged().map(UpstreamCredential::IdJag),
            Kind::LinkedAccount => {
                let catalogue = match (&self.catalogue_env, self.catalogue_person(field)?) {
                    (Some(variable), _) => CatalogueAccess::Secret(variable_of(field, variable)?),
                    (None, Some((tenant, user))) => CatalogueAccess::Account { tenant, user },
                    (None, None) => CatalogueAccess::Open,
                };
                let issued = self.issued(field)?;
                Ok(UpstreamCredential::LinkedAccount(Arc::new(Linked { issued, catalogue })))
            }
        }
    }

    fn fixed(&self, field: &str) -> Result<UpstreamCredential, ConfigError> {
        let header = self.header.as_ref().map(|name| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                let what = format!("`{name}` is no header name");
                ConfigError::field(field, &what, "use letters, digits and hyphens")
            })
        });
        let header = header.transpose()?;
        Ok(match (self.secret(field)?, header) {
            (Some(SecretSource::Command(command)), header) => UpstreamCredential::Command { command, header },
            (Some(SecretSource::Value(value)), Some(name)) => UpstreamCredential::Header { name, value },
            (Some(SecretSource::Value(value)), None) => UpstreamCredential::Bearer(value),
            (None, _) => UpstreamCredential::None,
        })
    }

    fn issued(&self, field: &str) -> Result<Issued, ConfigError> {
        let secret = self.secret(field)?;
        let needed = || ConfigError::field(field, "`client_auth` needs a secret", "give `env`, `file` or `command`");
        let proof = match self.auth(secret.is_some()) {
            ClientAuth::None => ClientProof::Public,
            ClientAuth::PrivateKeyJwt => ClientProof::PrivateKeyJwt,
            ClientAuth::SecretBasic => ClientProof::SecretBasic(secret.ok_or_else(needed)?),
            ClientAuth::SecretPost => ClientProof::SecretPost(secret.ok_or_else(needed)?),
        };
        let server = match (&self.token_endpoint, &self.issuer) {
            (Some(token_endpoint), issuer) => {
                TokenServer::Endpoint { token_endpoint: token_endpoint.clone(), issuer: issuer.as_ref().map(bare) }
            }
            (None, Some(issuer)) => TokenServer::Issuer(issuer.clone()),
            (None, None) => TokenServer::Discovered,
        };
        let client = OwnClient { id: self.client_id.clone(), proof };
        Ok(Issued { server, client, scope: self.scope.clone(), resource: self.resource.clone(), dpop: self.dpop })
    }

    fn auth(&self, secret: bool) -> ClientAuth {
        self.client_auth.unwrap_or(match (secret, self.kind) {
            (true, _) => ClientAuth::SecretBasic,
            (false, Kind::LinkedAccount) => ClientAuth::None,
            (false, _) => ClientAuth::PrivateKeyJwt,
        })
    }

    fn secret(&self, field: &str) -> Result<Option<SecretSource>, ConfigError> {
        if let Some(variable) = &self.env {
            return variable_of(field, variable).map(|secret| Some(SecretSource::Value(secret)));
        }
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConfigError::field(field, &format!("{}: {error}", path.display()), "make the file readable")
            })?;
            return Ok(Some(SecretSource::Value(Secret::new(text.trim_end()))));
        }
        let Some((program, args)) = self.command.as_ref().and_then(|command| command.split_first()) else {
            return Ok(None);
        };
        let spec = CommandSpec::from_operator(program, args.to_vec(), BTreeMap::new(), None);
        Ok(Some(SecretSource::Command(spec)))
    }

    fn catalogue_person(&self, field: &str) -> Result<Option<(TenantId, UserId)>, ConfigError> {
        let Some(CatalogueAccount { tenant, user }) = &self.catalogue_account else { return Ok(None) };
        let bad = |error: sallyport_model::BadId| {
            ConfigError::field(field, &error.to_string(), "name a tenant, and a person's id of `sallyport user list`")
        };
        Ok(Some((TenantId::new(tenant.clone()).map_err(bad)?, UserId::new(user.clone()).map_err(bad)?)))
    }

    fn given(&self) -> [(&'static str, bool); 16] {
        [
            ("env", self.env.is_some()),
            ("file", self.file.is_some()),
            ("command", self.command.is_some()),
            ("header", self.header.is_some()),
            ("token_endpoint", self.token_endpoint.is_some()),
            ("issuer", self.issuer.is_some()),
            ("client_id", self.client_id.is_some()),
            ("client_auth", self.client_auth.is_some()),
            ("scope", self.scope.is_some()),
            ("resource", self.resource.is_some()),
            ("audience", self.audience.is_some()),
            ("dpop", self.dpop),
            ("send_email", self.send_email),
            ("catalogue_env", self.catalogue_env.is_some()),
            ("catalogue_account", self.catalogue_account.is_some()),
            ("kind", false),
        ]
    }
}

/// An issuer as it is written: a URL that names a host alone gains no slash.
fn bare(issuer: &Url) -> String {
    if issuer.path() == "/" { issuer.as_str().trim_end_matches('/').to_owned() } else { issuer.to_string() }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A variable of the gate's environment.
pub(super) fn variable_of(field: &str, variable: &str) -> Result<Secret, ConfigError> {
    let value = std::env::var(variable).map_err(|_| {
        ConfigError::field(field, &format!("the variable `{variable}` is not set"), "set it before the gate starts")
    })?;
    Ok(Secret::new(value))
}

#[cfg(test)]
mod tests {
    use sallyport_proxy::upstream::CredentialKind;

    use super::*;

    fn credential(text: &str) -> Credential {
        toml::from_str(text).unwrap()
    }

    fn refused(text: &str) -> String {
        credential(text).check("upstreams[x].credential").unwrap_err().to_string()
    }

    #[test]
    fn what_was_written_before_there_were_kinds_is_a_static_secret() {
        let path = std::env::temp_dir().join("sallyport-credential-test");
        std::fs::write(&path, "s3cret\n").unwrap();
        let read = |more: &str| {
            let credential = credential(&format!("file = {:?}\n{more}", path.display().to_string()));
            credential.check("x").unwrap();
            credential.read("x").unwrap()
        };
        assert!(matches!(read(""), UpstreamCredential::Bearer(secret) if secret.expose() == "s3cret"));
        let header = read("header = \"X-Api-Key\"");
        assert!(header.kind().is_static() && matches!(header, UpstreamCredential::Header { .. }));
        assert!(refused("").contains("needs `env`, `file` or `command`"));
        let command = credential("command = [\"pass\", \"show\", \"x\"]").read("x").unwrap();
        assert!(matches!(command, UpstreamCredential::Command { .. }) && command.kind() == CredentialKind::Static);
    }

    #[test]
    fn a_kind_takes_its_own_keys_and_no_others() {
        assert!(refused("kind = \"none\"\nenv = \"X\"").contains("no `env`"));
        assert!(refused("kind = \"static\"\nenv = \"X\"\nscope = \"a\"").contains("no `scope`"));
        assert!(
            refused("kind = \"client_credentials\"\nclient_id = \"c\"\naudience = \"a\"").contains("no `audience`")
        );
        assert!(
            refused("kind = \"linked_account\"\ntoken_endpoint = \"https://a.example\"").contains("token_endpoint")
        );
        assert!(refused("env = \"X\"\nfile = \"y\"").contains("several secrets"));
        assert!(refused("command = []").contains("empty"));
    }

    #[test]
    fn a_client_is_known_proves_itself_and_is_asked_over_https() {
        assert!(refused("kind = \"client_credentials\"").contains("client_id"));
        let plain = "kind = \"client_credentials\"\nclient_id = \"c\"\ntoken_endpoint = \"http://as.example/token\"";
        assert!(refused(plain).contains("not https"));
        let public = "kind = \"token_exchange\"\nclient_id = \"c\"\nclient_auth = \"none\"";
        assert!(refused(public).contains("public client"));
        assert!(
            refused("kind = \"id_jag\"\nclient_id = \"c\"\nclient_auth = \"secret_post\"").contains("needs a secret")
        );
        let unused = "kind = \"id_jag\"\nclient_id = \"c\"\nenv = \"X\"\nclient_auth = \"private_key_jwt\"";
        assert!(refused(unused).contains("not used"));
        for (text, kind) in [
            ("kind = \"client_credentials\"\nclient_id = \"c\"", CredentialKind::ClientCredentials),
            (
                "kind = \"token_exchange\"\nclient_id = \"c\"\nissuer = \"http://127.0.0.1:9\"",
                CredentialKind::TokenExchange,
            ),
            ("kind = \"linked_account\"", CredentialKind::LinkedAccount),
        ] {
            let credential = credential(text);
            credential.check("x").unwrap();
            assert_eq!(credential.read("x").unwrap().kind(), kind);
        }
    }

    #[test]
    fn a_secret_goes_only_to_a_server_that_the_operator_named() {
        for kind in ["client_credentials", "token_exchange", "id_jag", "linked_account"] {
            for auth in ["", "client_auth = \"secret_basic\"", "client_auth = \"secret_post\""] {
                let text = format!("kind = \"{kind}\"\nclient_id = \"c\"\nenv = \"X\"\n{auth}\n");
                let found = refused(&text);
                assert!(found.contains("upstreams[x].credential") && found.contains("`issuer`"), "{found}");
                let named = format!("{text}issuer = \"https://as.example\"");
                credential(&named).check("x").unwrap();
                if kind != "linked_account" {
                    credential(&format!("{text}token_endpoint = \"https://as.example/t\"")).check("x").unwrap();
                }
            }
        }
        let secret = "kind = \"linked_account\"\nfile = \"x\"";
        assert!(refused(secret).contains("whichever authorization server"), "without a client_id, too");
    }

    #[test]
    fn whose_account_reads_the_catalogue_is_said_once() {
        let account = "kind = \"linked_account\"\ncatalogue_account = { tenant = \"acme\", user = \"u-ann\" }";
        assert!(credential(account).check("x").is_ok());
        assert!(refused(&format!("catalogue_env = \"X\"\n{account}")).contains("two ways"));
        assert!(refused(&account.replace("acme", "Not A Tenant")).contains("tenant"));
    }
}
