//! How we authenticate as a client at somebody else's token endpoint (OpenID Connect Core section 9,
//! RFC 6749 section 2.3.1, RFC 7523).
//!
//! There is no public client here. A secret or an assertion goes to the provider's own endpoints only,
//! and no request shows one when it is printed.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::{Rng, Secret, Timestamp};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::{Algorithm, OidcFault, Preset, ProviderMetadata, exchange::Exchange, provider::AuthenticationMethod};
use crate::{client_assertion::ASSERTION_TYPE, jws};

/// How long an assertion of ours lives.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// What an assertion is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer.
    Issuer,
    /// The token endpoint's URL, for every endpoint.
    TokenEndpoint,
}

/// A private key that signs client assertions: P-256 (ES256) or RSA (PS256 or RS256).
pub struct ClientKey {
    kid: String,
    thumbprint: Option<String>,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl ClientKey {
    /// Reads a private key: PKCS #8, DER; P-256, or RSA of at least 2048 bits. `kid` is the one that is
    /// registered at the provider.
    ///
    /// # Errors
    /// [`OidcFault::ClientKey`].
    pub fn from_pkcs8(kid: &str, pkcs8: &[u8]) -> Result<Self, OidcFault> {
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Pair::Ec);
        let pair = match ec {
            Ok(pair) => pair,
            Err(_) => Pair::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| OidcFault::ClientKey)?),
        };
        match &pair {
            Pair::Rsa(rsa) if rsa.public_modulus_len() < 256 => Err(OidcFault::ClientKey),
            _ => Ok(Self { kid: kid.to_owned(), thumbprint: None, pair }),
        }
    }

    /// Names the key by its certificate too, as Entra demands: base64url of the SHA-256 of the DER.
    #[must_use]
    pub fn with_certificate(mut self, der: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        self.thumbprint = Some(jws::encode(digest.as_ref()));
        self
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.kid
    }

    /// What to sign with: for RSA PS256 where it is advertised, or where the preset knows it, else RS256.
    fn algorithm(&self, metadata: &ProviderMetadata, preset: &Preset) -> Algorithm {
        let advertised = &metadata.token_endpoint_auth_algorithms;
        match &self.pair {
            Pair::Ec(_) => Algorithm::Es256,
            Pair::Rsa(_) if preset.assertions_ps256 || advertised.contains(&Algorithm::Ps256) => Algorithm::Ps256,
            Pair::Rsa(_) => Algorithm::Rs256,
        }
    }

    fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<Secret, OidcFault> {
        let mut header = json!({ "alg": algorithm.as_str(), "typ": "JWT", "kid": self.kid });
        if let Some(thumbprint) = &self.thumbprint {
            header["x5t#S256"] = json!(thumbprint);
        }
        let (header, claims) = (header.to_string(), claims.to_string());
        let mut token = format!("{}.{}", jws::encode(header.as_bytes()), jws::encode(claims.as_bytes()));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, token.as_bytes()).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if algorithm == Algorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, token.as_bytes(), &mut signature).map(|()| signature)
            }
        };
        token.push('.');
        token.push_str(&jws::encode(&signature.map_err(|_| OidcFault::ClientKey)?));
        Ok(Secret::new(token))
    }
}

/// What proves that we are the client.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// A shared secret, in the `Authorization` header or in the body.
    Secret(Secret),
    /// `private_key_jwt`.
    PrivateKey {
        /// The key.
        key: Arc<ClientKey>,
        /// Instead of the preset's.
        audience: Option<AssertionAudience>,
    },
}

/// We, at one provider.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// Our proof.
    pub authentication: ClientAuthentication,
}

/// A POST of a form, to be sent with `Accept: application/json`. `Debug` shows the address only.
pub struct FormRequest {
    /// Where to.
    pub url: Url,
    /// The value of `Authorization`.
    pub authorization: Option<Secret>,
    /// The value of `DPoP` ([`super::dpop`]).
    pub dpop: Option<String>,
    /// `application/x-www-form-urlencoded`.
    pub body: Secret,
}

impl fmt::Debug for FormRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormRequest").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Whether the proof goes into the `Authorization` header rather than the body. A secret that RFC 6749
    /// section 2.3.1 would encode goes into the body where it may: servers disagree about decoding it.
    pub(super) fn proves_by_header(&self, metadata: &ProviderMetadata) -> bool {
        let ClientAuthentication::Secret(secret) = &self.authentication else { return false };
        let offered = |method| metadata.token_endpoint_auth_methods.contains(&method);
        let plain = |text: &str| encoded(text) == text;
        offered(AuthenticationMethod::SecretBasic)
            && (plain(&self.id) && plain(secret.expose()) || !offered(AuthenticationMethod::SecretPost))
    }

    /// A request with `parameters` to `url`, one of the provider's own endpoints, that proves who we are.
    pub(super) fn request(
        &self,
        url: &Url,
        parameters: &[(&str, &str)],
        exchange: &Exchange<'_>,
    ) -> Result<FormRequest, OidcFault> {
        let Exchange { metadata, preset, now, rng, .. } = *exchange;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(parameters);
        let offered = |method| metadata.token_endpoint_auth_methods.contains(&method);
        let mut authorization = None;
        match &self.authentication {
            ClientAuthentication::Secret(secret) if self.proves_by_header(metadata) => {
                authorization = Some(basic(&self.id, secret));
            }
            ClientAuthentication::Secret(secret) if offered(AuthenticationMethod::SecretPost) => {
                form.append_pair("client_id", &self.id).append_pair("client_secret", secret.expose());
            }
            ClientAuthentication::PrivateKey { key, audience } if offered(AuthenticationMethod::PrivateKeyJwt) => {
                let audience = match audience.unwrap_or(preset.assertion_audience) {
                    AssertionAudience::Issuer => metadata.issuer.as_str(),
                    AssertionAudience::TokenEndpoint => metadata.token_endpoint.as_str(),
                };
                let assertion = key.sign(key.algorithm(metadata, preset), &self.claims(audience, now, rng))?;
                form.append_pair("client_id", &self.id)
                    .append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", assertion.expose());
            }
            ClientAuthentication::Secret(_) => {
                return Err(OidcFault::AuthenticationNotOffered {
                    method: "client_secret_basic or client_secret_post",
                });
            }
            ClientAuthentication::PrivateKey { .. } => {
                return Err(OidcFault::AuthenticationNotOffered { method: "private_key_jwt" });
            }
        }
        Ok(FormRequest { url: url.clone(), authorization, dpop: None, body: Secret::new(form.finish()) })
    }

    fn claims(&self, audience: &str, now: Timestamp, rng: &dyn Rng) -> Value {
        json!({
            "iss": self.id, "sub": self.id, "aud": audience, "jti": token(rng), "iat": now.as_secs(),
            "exp": now.plus(ASSERTION_LIFETIME).as_secs(),
        })
    }
}

/// 256 random bits in base64url.
pub(super) fn token(rng: &dyn Rng) -> String {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    jws::encode(&bytes)
}

/// RFC 6749 section 2.3.1: both halves are form-encoded first.
fn basic(id: &str, secret: &Secret) -> Secret {
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
