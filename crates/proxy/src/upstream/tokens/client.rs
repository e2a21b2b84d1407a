//! The gate as a client at an upstream's token endpoint: who it is, its proof, and what comes back.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::Secret;
use sallyport_oauth::{
    SigningKey,
    client_assertion::ASSERTION_TYPE,
    dpop,
    oidc::{
        OidcFault, TokenResponse,
        exchange::{self, TokenType},
    },
};
use sallyport_outbound::command::{self, CommandLimits, CommandSpec, Ended};
use url::form_urlencoded;

use super::{
    At, Scheme, UpstreamToken, UpstreamTokens, cache::usable_until, discovery::Server, fault::TokenFault, wire::Form,
};
use crate::upstream::credential::{ClientProof, Issued, OwnClient, SecretSource};

/// How long a token is believed to live whose server does not say.
const UNSAID_LIFE: Duration = Duration::from_secs(60);
/// No token is kept for longer.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
const COMMAND_LIMITS: CommandLimits =
    CommandLimits { timeout: Duration::from_secs(10), max_stdout: 64 * 1024, max_stderr: 4 * 1024 };

impl UpstreamTokens {
    /// `client_id` there: the configured one, else the address of our metadata document where it reads those.
    pub(super) fn client_id(&self, at: &At, issued: &Issued, server: &Server) -> Result<String, TokenFault> {
        match &issued.client.id {
            Some(id) => Ok(id.clone()),
            None if server.reads_documents => Ok(self.client_document_url(&at.name)),
            None => {
                let what = "it reads no clients' metadata documents; register the gate there and set `client_id`";
                Err(TokenFault::Discovery(what.to_owned()))
            }
        }
    }

    /// A token request, authenticated, with a proof by `key` where there is one.
    pub(super) async fn ask(
        &self,
        at: &At,
        issued: &Issued,
        server: &Server,
        form: Form,
        key: Option<&Arc<SigningKey>>,
    ) -> Result<TokenResponse, TokenFault> {
        let mut again = true;
        let mut nonce = self.nonce(&server.token_endpoint);
        loop {
            let (form, authorization) = self.authenticated(at, issued, server, form.clone()).await?;
            let target = dpop::Target {
                method: "POST",
                url: &server.token_endpoint,
                nonce: nonce.as_deref(),
                access_token: None,
            };
            let proof = key.map(|key| self.prove(&target, key)).transpose()?;
            let sent = server.wire.form(&server.token_endpoint, &form, authorization.as_ref(), proof.as_deref());
            let answer = sent.await?;
            let fresh = self.learn_nonce(&server.token_endpoint, &answer.headers);
            match exchange::read(answer.status.as_u16(), &answer.body) {
                // Other than the one that this request used, whatever other requests learned meanwhile.
                Err(OidcFault::DpopNonce) if key.is_some() && again && fresh.is_some() && fresh != nonce => {
                    (again, nonce) = (false, fresh);
                }
                read => return read.map_err(|fault| refusal(&fault)),
            }
        }
    }

    /// Gives a token back (RFC 7009), where the server takes it.
    pub(super) async fn revoke(
        &self,
        at: &At,
        issued: &Issued,
        server: &Server,
        token: &str,
    ) -> Result<(), TokenFault> {
        let Some(endpoint) = &server.revocation_endpoint else { return Ok(()) };
        let form = Form::default().with("token", token);
        let (form, authorization) = self.authenticated(at, issued, server, form).await?;
        let answer = server.wire.form(endpoint, &form, authorization.as_ref(), None).await?;
        if answer.status.is_success() { Ok(()) } else { Err(TokenFault::Refused("revocation")) }
    }

    async fn authenticated(
        &self,
        at: &At,
        issued: &Issued,
        server: &Server,
        form: Form,
    ) -> Result<(Form, Option<Secret>), TokenFault> {
        let id = self.client_id(at, issued, server)?;
        match &issued.client.proof {
            ClientProof::Public => Ok((form.with("client_id", id), None)),
            ClientProof::SecretPost(secret) => {
                let secret = read(secret).await?;
                Ok((form.with("client_id", id).with("client_secret", secret.expose()), None))
            }
            ClientProof::SecretBasic(secret) => Ok((form, Some(basic(&id, &read(secret).await?)))),
            ClientProof::PrivateKeyJwt => {
                let assertion = self.maker().client(&id, &server.issuer)?;
                let form = form
                    .with("client_id", id)
                    .with("client_assertion_type", ASSERTION_TYPE)
                    .with("client_assertion", assertion.expose());
                Ok((form, None))
            }
        }
    }

    /// Our metadata document as a client of an upstream's authorization server.
    pub fn client_document_url(&self, upstream: &sallyport_model::UpstreamName) -> String {
        format!("{}/account/linked/{upstream}/client.json", self.deps.public_url)
    }

    /// What the upstream is shown of a token endpoint's answer.
    pub(super) fn shown(
        &self,
        answer: &TokenResponse,
        key: Option<Arc<SigningKey>>,
    ) -> Result<UpstreamToken, TokenFault> {
        let scheme = match (answer.token_type, &key) {
            (TokenType::DPoP, Some(_)) => Scheme::Dpop,
            (TokenType::DPoP, None) => {
                return Err(TokenFault::Answer("it is a DPoP token, and none was asked for; set `dpop`".to_owned()));
            }
            // Asked for a bound token and given one that anybody could use: that is no answer to it.
            (TokenType::Bearer, Some(_)) => {
                return Err(TokenFault::Answer("it is a bearer token, and `dpop` is set".to_owned()));
            }
            (TokenType::Bearer, None) => Scheme::Bearer,
        };
        let life = answer.expires_in.unwrap_or(UNSAID_LIFE).min(LONGEST_LIFE);
        Ok(UpstreamToken {
            secret: answer.access_token.clone(),
            scheme,
            usable_until: usable_until(self.deps.clock.now(), life),
            key,
            version: 0,
        })
    }
}

/// The codes of RFC 6749 section 5.2 and its extensions; whatever else a server says is `other`.
const CODES: [&str; 9] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "invalid_dpop_proof",
    "use_dpop_nonce",
];

/// A token endpoint's failure without a word of its own but a known code.
fn refusal(fault: &OidcFault) -> TokenFault {
    match fault {
        OidcFault::TokenEndpoint { error, .. } => {
            TokenFault::Refused(CODES.into_iter().find(|code| code == error).unwrap_or("other"))
        }
        OidcFault::DpopNonce => TokenFault::Refused("use_dpop_nonce"),
        OidcFault::TokenResponse { why } => TokenFault::Answer((*why).to_owned()),
        _ => TokenFault::Answer("it is not one JSON object of a token".to_owned()),
    }
}

/// The same client with its secret read, so that no program has to run any more.
pub(super) async fn with_secret(issued: &Issued) -> Result<Issued, TokenFault> {
    let proof = match &issued.client.proof {
        ClientProof::SecretBasic(secret) => ClientProof::SecretBasic(SecretSource::Value(read(secret).await?)),
        ClientProof::SecretPost(secret) => ClientProof::SecretPost(SecretSource::Value(read(secret).await?)),
        proof @ (ClientProof::Public | ClientProof::PrivateKeyJwt) => proof.clone(),
    };
    let client = OwnClient { id: issued.client.id.clone(), proof };
    Ok(Issued { client, ..issued.clone() })
}

/// A secret, wherever it is.
pub(super) async fn read(source: &SecretSource) -> Result<Secret, TokenFault> {
    match source {
        SecretSource::Value(secret) => Ok(secret.clone()),
        SecretSource::Command(command) => run(command).await,
    }
}

/// What a program prints, without the end of its line. What it prints is in no error.
pub(super) async fn run(spec: &CommandSpec) -> Result<Secret, TokenFault> {
    let failed = |why: &str| TokenFault::Command(why.to_owned());
    let output = command::run(spec, &COMMAND_LIMITS).await.map_err(|_| failed("it does not start"))?;
    match output.ended {
        Ended::Exit(0) if !output.truncated => {}
        Ended::Exit(0) => return Err(failed("it prints more than 64 KiB")),
        Ended::Exit(code) => return Err(TokenFault::Command(format!("it ended with exit code {code}"))),
        Ended::Killed => return Err(failed("a signal ended it")),
        Ended::TimedOut => return Err(failed("it took longer than 10 s")),
    }
    let text = zeroize::Zeroizing::new(output.stdout);
    let text = std::str::from_utf8(&text).map_err(|_| failed("it prints no UTF-8"))?.trim_end();
    if text.is_empty() { Err(failed("it prints nothing")) } else { Ok(Secret::new(text)) }
}

/// RFC 6749 section 2.3.1: both halves are form-encoded first.
fn basic(id: &str, secret: &Secret) -> Secret {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = zeroize::Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret.expose())));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shell(script: &str) -> CommandSpec {
        CommandSpec::from_operator("sh", vec!["-c".to_owned(), script.to_owned()], BTreeMap::new(), None)
    }

    #[tokio::test]
    async fn a_program_prints_the_secret_and_nothing_of_it_is_in_an_error() {
        assert_eq!(run(&shell("echo s3cret")).await.unwrap().expose(), "s3cret");
        for (script, why) in
            [("echo s3cret; exit 3", "exit code 3"), ("true", "nothing"), ("exec no-such", "exit code")]
        {
            let error = run(&shell(script)).await.unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_servers_own_words_go_no_further() {
        let fault = |error: &str| OidcFault::TokenEndpoint {
            status: 400,
            error: error.to_owned(),
            description: Some("postgres://admin:hunter2@db".to_owned()),
        };
        assert_eq!(refusal(&fault("invalid_grant")), TokenFault::Refused("invalid_grant"));
        assert_eq!(refusal(&fault("hunter2")), TokenFault::Refused("other"));
        assert!(!refusal(&fault("hunter2")).to_string().contains("hunter2"));
    }

    #[test]
    fn both_halves_of_basic_are_form_encoded() {
        assert_eq!(basic("a:b", &Secret::new("c d")).expose(), format!("Basic {}", STANDARD.encode("a%3Ab:c+d")));
    }
}
