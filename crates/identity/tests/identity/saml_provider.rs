//! A SAML identity provider that signs whatever it is told, its metadata on a loopback socket, and the tenants
//! connected to it. What it signs it writes in canonical form, so it needs no canonicalisation.

use std::{
    io::Read as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest,
    rand::SystemRandom,
    rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PrivateDecryptingKey},
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{Router, extract::State, response::IntoResponse, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{StatusCode, header};
use sallyport_identity::settings::{ConnectionSettings, Demands, Mapping, SamlSettings};
use sallyport_model::{Clock, ConnectionId, ManualClock, SystemRng, TenantId, Timestamp};
use sallyport_saml::{ServiceProvider, SpKey, SpKeys, name_id_format};
use sallyport_storage::{Connection, ConnectionProtocol};
use serde_json::json;

use crate::support::{Answer, Browser, TestApp};

const IDP_KEY: &[u8] = include_bytes!("../../../saml/tests/fixtures/idp-key.der");
const IDP_CERTIFICATE: &[u8] = include_bytes!("../../../saml/tests/fixtures/idp-certificate.der");
const SP_KEY: &[u8] = include_bytes!("../../../saml/tests/fixtures/sp-key.der");
const SP_CERTIFICATE: &[u8] = include_bytes!("../../../saml/tests/fixtures/sp-certificate.der");

pub(crate) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const MD: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
const BINDINGS: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-";
pub(crate) const PASSWORD_CONTEXT: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";

pub(crate) const ORIGIN: &str = "https://gate.example";

/// What its metadata address answers.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) status: StatusCode,
    pub(crate) document: String,
    pub(crate) hits: usize,
}

pub(crate) struct Idp {
    pub(crate) entity_id: String,
    pub(crate) url: String,
    pub(crate) key: SpKey,
    pub(crate) served: Arc<Mutex<Served>>,
    clock: Arc<ManualClock>,
}

pub(crate) fn idp_key() -> SpKey {
    SpKey::from_der(IDP_KEY, IDP_CERTIFICATE).unwrap()
}

pub(crate) fn foreign_key() -> SpKey {
    SpKey::from_der(SP_KEY, SP_CERTIFICATE).unwrap()
}

fn sign(key: &SpKey, message: &[u8]) -> String {
    let pair = RsaKeyPair::from_pkcs8(key.pkcs8()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    STANDARD.encode(signature)
}

/// Puts a signature over `xml`, an element in canonical form with this `ID`, behind the first `after`.
pub(crate) fn signed(key: &SpKey, id: &str, xml: &str, after: &str) -> String {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, xml.as_bytes()));
    let one = |name: &str, uri: &str| format!("<ds:{name} Algorithm=\"{uri}\"></ds:{name}>");
    let c14n = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let info = format!(
        "<ds:SignedInfo xmlns:ds=\"{DS}\">{}{}<ds:Reference URI=\"#{id}\"><ds:Transforms>{}{}</ds:Transforms>{}\
         <ds:DigestValue>{hash}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        one("CanonicalizationMethod", c14n),
        one("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
        one("Transform", "http://www.w3.org/2000/09/xmldsig#enveloped-signature"),
        one("Transform", c14n),
        one("DigestMethod", "http://www.w3.org/2001/04/xmlenc#sha256"),
    );
    let value = sign(key, info.as_bytes());
    let signature =
        format!("<ds:Signature xmlns:ds=\"{DS}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>");
    let at = xml.find(after).unwrap() + after.len();
    format!("{}{signature}{}", &xml[..at], &xml[at..])
}

/// What it says at a sign-in; every part can be made wrong.
#[derive(Clone)]
pub(crate) struct Says {
    pub(crate) ids: (&'static str, &'static str),
    pub(crate) in_response_to: Option<String>,
    pub(crate) audience: String,
    pub(crate) recipient: String,
    pub(crate) destination: String,
    pub(crate) name: &'static str,
    pub(crate) format: &'static str,
    pub(crate) index: Option<&'static str>,
    /// Seconds from now.
    pub(crate) session_ends: Option<u64>,
    pub(crate) context: &'static str,
    /// Seconds ago.
    pub(crate) authenticated: u64,
    /// Seconds ago.
    pub(crate) issued: u64,
    pub(crate) attributes: Vec<(&'static str, Option<&'static str>, Vec<&'static str>)>,
    pub(crate) sealed: bool,
}

impl Says {
    /// The answer to `request` at a connection.
    pub(crate) fn to(connection: &str, request: Option<&str>) -> Self {
        let acs = format!("{ORIGIN}/signin/saml/{connection}/acs");
        Self {
            ids: ("_response1", "_assertion1"),
            in_response_to: request.map(ToOwned::to_owned),
            audience: format!("{ORIGIN}/signin/saml/{connection}/metadata"),
            recipient: acs.clone(),
            destination: acs,
            name: "ann-7f3",
            format: name_id_format::PERSISTENT,
            index: Some("_index1"),
            session_ends: None,
            context: PASSWORD_CONTEXT,
            authenticated: 10,
            issued: 1,
            attributes: vec![
                ("urn:oid:0.9.2342.19200300.100.1.3", Some("mail"), vec!["ann@acme.example"]),
                ("displayName", None, vec!["Ann <Lee>"]),
                ("groups", None, vec!["staff", "gate-admins"]),
            ],
            sealed: false,
        }
    }
}

impl Idp {
    /// One that serves its metadata.
    pub(crate) async fn serving(app: &TestApp) -> Self {
        let served = Arc::new(Mutex::new(Served { status: StatusCode::OK, document: String::new(), hits: 0 }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = |State(served): State<Arc<Mutex<Served>>>| async move {
            let mut served = served.lock().unwrap();
            served.hits += 1;
            let headers = [(header::CONTENT_TYPE, "application/samlmetadata+xml")];
            (served.status, headers, served.document.clone()).into_response()
        };
        let router = Router::new().route("/metadata", get(answers)).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (entity_id, clock) = ("https://idp.example/metadata".to_owned(), app.clock.clone());
        let idp = Self { entity_id, url, key: idp_key(), served, clock };
        idp.publishes(&idp.metadata(&[&idp.key], ""));
        idp
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn at(&self, seconds: i64) -> String {
        Timestamp::from_secs(self.now().as_secs().checked_add_signed(seconds).unwrap()).to_string()
    }

    /// Metadata with these keys; `more` are attributes of the root between `ID` and `entityID`, in their order.
    pub(crate) fn metadata(&self, keys: &[&SpKey], more: &str) -> String {
        let service = |name: &str, binding: &str, end: &str| {
            let url = &self.url;
            format!("<md:{name} Binding=\"{BINDINGS}{binding}\" Location=\"{url}/{end}\"></md:{name}>")
        };
        let certificates: String = keys
            .iter()
            .map(|key| {
                let box_ = format!("<ds:X509Certificate>{}</ds:X509Certificate>", key.certificate().base64());
                format!(
                    "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{DS}\"><ds:X509Data>{box_}</ds:X509Data>\
                     </ds:KeyInfo></md:KeyDescriptor>"
                )
            })
            .collect();
        format!(
            "<md:EntityDescriptor xmlns:md=\"{MD}\" ID=\"_metadata1\"{more} entityID=\"{}\"><md:IDPSSODescriptor \
             protocolSupportEnumeration=\"{SAMLP}\">{certificates}{}{}{}</md:IDPSSODescriptor></md:EntityDescriptor>",
            self.entity_id,
            service("SingleLogoutService", "Redirect", "slo"),
            service("SingleLogoutService", "POST", "slo"),
            service("SingleSignOnService", "Redirect", "sso"),
        )
    }

    pub(crate) fn publishes(&self, document: &str) {
        self.served.lock().unwrap().document = document.to_owned();
    }

    pub(crate) fn is_down(&self, down: bool) {
        self.served.lock().unwrap().status = if down { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    }

    pub(crate) fn hits(&self) -> usize {
        self.served.lock().unwrap().hits
    }

    fn assertion(&self, says: &Says) -> String {
        let request = says.in_response_to.as_ref().map(|id| format!(" InResponseTo=\"{id}\"")).unwrap_or_default();
        let index = says.index.map(|index| format!(" SessionIndex=\"{index}\"")).unwrap_or_default();
        let ends = says.session_ends.map(|seconds| self.at(i64::try_from(seconds).unwrap()));
        let ends = ends.map(|at| format!(" SessionNotOnOrAfter=\"{at}\"")).unwrap_or_default();
        let attributes: String = says
            .attributes
            .iter()
            .map(|(name, friendly, values)| {
                let friendly = friendly.map(|name| format!(" FriendlyName=\"{name}\"")).unwrap_or_default();
                let values: String = values
                    .iter()
                    .map(|value| {
                        let value = value.replace('<', "&lt;").replace('>', "&gt;");
                        format!("<saml:AttributeValue>{value}</saml:AttributeValue>")
                    })
                    .collect();
                format!("<saml:Attribute{friendly} Name=\"{name}\">{values}</saml:Attribute>")
            })
            .collect();
        let ago = |seconds: u64| self.at(-i64::try_from(seconds).unwrap());
        format!(
            "<saml:Assertion xmlns:saml=\"{SAML}\" ID=\"{}\" IssueInstant=\"{}\" Version=\"2.0\"><saml:Issuer>{}\
             </saml:Issuer><saml:Subject><saml:NameID Format=\"{}\">{}</saml:NameID><saml:SubjectConfirmation \
             Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData{request} \
             NotOnOrAfter=\"{}\" Recipient=\"{}\"></saml:SubjectConfirmationData></saml:SubjectConfirmation>\
             </saml:Subject><saml:Conditions NotBefore=\"{}\" NotOnOrAfter=\"{}\"><saml:AudienceRestriction>\
             <saml:Audience>{}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement \
             AuthnInstant=\"{}\"{index}{ends}><saml:AuthnContext><saml:AuthnContextClassRef>{}\
             </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>\
             {attributes}</saml:AttributeStatement></saml:Assertion>",
            says.ids.1,
            ago(says.issued),
            self.entity_id,
            says.format,
            says.name,
            self.at(300 - i64::try_from(says.issued).unwrap()),
            says.recipient,
            ago(says.issued + 30),
            self.at(300 - i64::try_from(says.issued).unwrap()),
            says.audience,
            ago(says.authenticated),
            says.context,
        )
    }

    /// The form field `SAMLResponse`: the assertion signed, the response around it not.
    pub(crate) fn response(&self, says: &Says) -> String {
        self.response_by(&self.key, says)
    }

    pub(crate) fn response_by(&self, key: &SpKey, says: &Says) -> String {
        let mut assertion = signed(key, says.ids.1, &self.assertion(says), "</saml:Issuer>");
        if says.sealed {
            assertion = sealed(&assertion);
        }
        let request = says.in_response_to.as_ref().map(|id| format!(" InResponseTo=\"{id}\"")).unwrap_or_default();
        STANDARD.encode(format!(
            "<samlp:Response xmlns:samlp=\"{SAMLP}\" xmlns:saml=\"{SAML}\" Destination=\"{}\" ID=\"{}\"{request} \
             IssueInstant=\"{}\" Version=\"2.0\"><saml:Issuer>{}</saml:Issuer><samlp:Status><samlp:StatusCode \
             Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></samlp:StatusCode></samlp:Status>{assertion}\
             </samlp:Response>",
            says.destination,
            says.ids.0,
            self.at(-i64::try_from(says.issued).unwrap()),
            self.entity_id,
        ))
    }

    /// It, as a sender of logout messages.
    pub(crate) fn as_sender(&self, key: SpKey) -> ServiceProvider {
        let keys = SpKeys { signing: key, announced: Vec::new(), decryption: Vec::new() };
        let slo_url = Some(format!("{}/slo", self.url));
        ServiceProvider { entity_id: self.entity_id.clone(), acs_url: self.url.clone(), slo_url, keys }
    }

    /// Settings of a connection to it, by its address.
    pub(crate) fn settings(&self) -> SamlSettings {
        let key = json!({"pkcs8": STANDARD.encode(SP_KEY), "certificate": STANDARD.encode(SP_CERTIFICATE)});
        SamlSettings {
            idp_entity_id: self.entity_id.clone(),
            metadata_url: Some(format!("{}/metadata", self.url).parse().unwrap()),
            metadata: None,
            metadata_certificate: None,
            keys: json!({"signing": key, "decryption": [key]}).to_string(),
            subject_attribute: None,
            allow_unsolicited: false,
            demands: Demands::default(),
            mapping: Mapping { administrators: vec!["gate-admins".into()], ..Mapping::saml() },
        }
    }
}

/// Encrypts for our key.
fn sealed(clear: &str) -> String {
    let key = [7u8; 32];
    let mut bytes = clear.as_bytes().to_vec();
    let sealer = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    sealer.seal_in_place_append_tag(Nonce::assume_unique_for_key([9; 12]), Aad::empty(), &mut bytes).unwrap();
    let wrapper = OaepPublicEncryptingKey::new(PrivateDecryptingKey::from_pkcs8(SP_KEY).unwrap().public_key()).unwrap();
    let mut room = vec![0; wrapper.ciphertext_size()];
    let wrapped = wrapper.encrypt(&OAEP_SHA1_MGF1SHA1, &key, &mut room, None).unwrap();
    let part = |algorithm: &str, inside: &str, value: &[u8]| {
        format!(
            "<xenc:EncryptionMethod Algorithm=\"{algorithm}\"></xenc:EncryptionMethod>{inside}<xenc:CipherData>\
             <xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>",
            STANDARD.encode(value)
        )
    };
    let key = part("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", "", wrapped);
    let inside = format!("<ds:KeyInfo xmlns:ds=\"{DS}\"><xenc:EncryptedKey>{key}</xenc:EncryptedKey></ds:KeyInfo>");
    let data = part("http://www.w3.org/2009/xmlenc11#aes256-gcm", &inside, &[&[9; 12], bytes.as_slice()].concat());
    format!(
        "<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"{XENC}Element\">{data}\
         </xenc:EncryptedData></saml:EncryptedAssertion>"
    )
}

/// Stores a connection of a tenant.
pub(crate) async fn connect(app: &TestApp, id: &str, whose: &str, settings: &SamlSettings) -> Connection {
    let connection = Connection {
        id: ConnectionId::new(id).unwrap(),
        tenant: TenantId::new(whose).unwrap(),
        name: format!("{whose} staff"),
        protocol: ConnectionProtocol::Saml,
        settings: ConnectionSettings::Saml(Box::new(settings.clone())).to_json(),
        enabled: true,
        created_at: app.now(),
        changed_at: app.now(),
    };
    app.store.put_connection(&connection).await.unwrap();
    connection
}

/// A request that the browser was sent off with.
pub(crate) struct Sent {
    pub(crate) xml: String,
    pub(crate) id: String,
    pub(crate) handle: String,
}

/// Out of a redirect's address.
pub(crate) fn sent(url: &str) -> Sent {
    let url: url::Url = url.parse().unwrap();
    let part = |name: &str| url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned();
    let mut xml = String::new();
    let packed = STANDARD.decode(part("SAMLRequest")).unwrap();
    flate2::read::DeflateDecoder::new(packed.as_slice()).read_to_string(&mut xml).unwrap();
    let id = xml.split(" ID=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    Sent { xml, id, handle: part("RelayState") }
}

/// Begins a sign-in.
pub(crate) async fn begin(browser: &mut Browser, connection: &str) -> Sent {
    let away = browser.get(&format!("/signin/sso/{connection}?continue_to=%2Foauth%2Fauthorize%3Frequest%3D1")).await;
    assert_eq!(away.status, StatusCode::SEE_OTHER, "{}", away.text);
    sent(away.location())
}

/// The provider's form is posted without cookies, then our page's with them.
pub(crate) async fn post(browser: &mut Browser, connection: &str, response: &str, relay_state: &str) -> Answer {
    let mut crossing = browser.clone();
    crossing.cookies.clear();
    crossing.headers = vec![("origin", "https://idp.example".to_owned()), ("sec-fetch-site", "cross-site".to_owned())];
    let fields = [("SAMLResponse", response), ("RelayState", relay_state)];
    let page = crossing.post(&format!("/signin/saml/{connection}/acs"), &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.set_cookies().is_empty(), "nothing is known of this browser yet");
    assert_eq!(page.field("SAMLResponse"), response);
    let fields = [("SAMLResponse", response), ("RelayState", relay_state)];
    ours(browser, &page.attribute("action"), &fields).await
}

/// A form of a page of ours.
pub(crate) async fn ours(browser: &mut Browser, action: &str, fields: &[(&str, &str)]) -> Answer {
    browser.headers = vec![("origin", ORIGIN.to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
    let answer = browser.post(action, fields).await;
    browser.headers.clear();
    answer
}

/// A whole sign-in, with what the provider says changed.
pub(crate) async fn sign_in(
    idp: &Idp,
    browser: &mut Browser,
    connection: &str,
    change: impl FnOnce(&mut Says),
) -> Answer {
    let sent = begin(browser, connection).await;
    let mut says = Says::to(connection, Some(&sent.id));
    change(&mut says);
    post(browser, connection, &idp.response(&says), &sent.handle).await
}

/// Where a page goes by itself.
pub(crate) fn goes_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.headers[header::REFRESH].to_str().unwrap().strip_prefix("0; url=").unwrap()
}

/// The code of a page that refuses; its reference is the last event's.
pub(crate) fn refused(app: &TestApp, answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    let event = app.log.last();
    let code = event.decision.unwrap().code;
    assert!(answer.text.contains(&format!("Reference <code>{}</code>", event.id.0)), "{}", answer.text);
    assert!(answer.text.contains(&format!("<code>{code}</code>")), "{}", answer.text);
    code
}

pub(crate) fn fresh_key(app: &TestApp) -> SpKey {
    SpKey::generate("https://idp.example", app.now(), &SystemRng).unwrap()
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
