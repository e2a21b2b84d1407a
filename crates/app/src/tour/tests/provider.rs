//! Somebody's identity provider: OpenID Connect, SAML and security events, with keys of its own, on a loopback socket.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::{SystemRng, Timestamp};
use sallyport_saml::{Binding, IdpMetadata, Leaving, NameId, Outgoing, ServiceProvider, SpKey, SpKeys, logout_request};
use serde_json::{Value, json};

pub(super) struct Provider {
    /// Issuer and origin.
    pub(super) origin: String,
    key: EcdsaKeyPair,
    saml: Vec<u8>,
    certificate: Vec<u8>,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    pub(super) async fn start(now: Timestamp) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref()).unwrap();
        let point = key.public_key().as_ref();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        let jwks =
            json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k", "use": "sig", "alg": "ES256"}]});
        let metadata = json!({
            "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"), "jwks_uri": format!("{origin}/jwks"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"], "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
        });
        let documents = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(metadata) }))
            .route("/jwks", get(move || async move { Json(jwks) }));
        tokio::spawn(async move { axum::serve(listener, documents).await });
        let signer = SpKey::generate(&origin, now, &SystemRng).unwrap();
        let (saml, certificate) = (signer.pkcs8().to_vec(), signer.certificate().der().to_vec());
        Self { origin, key, saml, certificate }
    }

    /// A JWT of this type.
    pub(super) fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "k", "typ": typ});
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", b64(signature))
    }

    /// Its SAML metadata.
    pub(super) fn saml_metadata(&self) -> String {
        let origin = &self.origin;
        let service = |name: &str, binding: &str, end: &str| {
            format!(
                "<md:{name} Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-{binding}\" Location=\"{origin}/{end}\"/>"
            )
        };
        let certificate = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        format!(
            "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{origin}/saml\">\
             <md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\
             <md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data>\
             <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>{}{}{}\
             </md:IDPSSODescriptor></md:EntityDescriptor>",
            service("SingleLogoutService", "Redirect", "slo"),
            service("SingleLogoutService", "POST", "slo"),
            service("SingleSignOnService", "Redirect", "sso"),
        )
    }

    /// Its signed request that `name` be signed out of us, sent to the connection at `base`.
    pub(super) fn logout(&self, base: &str, binding: Binding, name: &str, now: Timestamp) -> Outgoing {
        let key = SpKey::from_der(&self.saml, &self.certificate).unwrap();
        let trusted = key.certificate().clone();
        let sender = ServiceProvider {
            entity_id: format!("{}/saml", self.origin),
            acs_url: self.origin.clone(),
            slo_url: Some(format!("{}/slo", self.origin)),
            keys: SpKeys { signing: key, announced: Vec::new(), decryption: Vec::new() },
        };
        let slo = format!("{base}/slo");
        let us =
            IdpMetadata::by_hand(&format!("{base}/metadata"), (binding, &slo), Some((binding, &slo)), vec![trusted]);
        let name_id = NameId {
            value: name.to_owned(),
            format: Some(sallyport_saml::name_id_format::PERSISTENT.to_owned()),
            name_qualifier: None,
            sp_name_qualifier: None,
        };
        let leaving = Leaving { name_id: &name_id, session_index: None, relay_state: None };
        logout_request(&sender, &us.unwrap(), &leaving, now, &SystemRng).unwrap().outgoing
    }
}
