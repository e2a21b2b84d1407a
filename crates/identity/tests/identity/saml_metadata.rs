//! Metadata, theirs and ours: fetched, kept, rolled over, signed.

use http::{StatusCode, header};
use sallyport_identity::{SamlKeyStep, new_saml_keys, rotate_saml_keys, saml_entity_id, settings::SamlSettings};
use sallyport_model::{ConnectionId, SystemRng};
use sallyport_saml::SpKey;

use crate::{
    saml_provider::{
        Idp, MINUTE, ORIGIN, Says, begin, connect, foreign_key, fresh_key, goes_to, post, refused, sign_in, signed,
    },
    support::{Answer, TestApp},
};

const C: &str = "c";

async fn app_with(change: impl FnOnce(&mut SamlSettings)) -> (TestApp, Idp) {
    let app = TestApp::with_providers().await;
    let idp = Idp::serving(&app).await;
    let mut settings = idp.settings();
    change(&mut settings);
    connect(&app, C, "acme", &settings).await;
    (app, idp)
}

async fn by(app: &TestApp, idp: &Idp, key: &SpKey, ids: (&'static str, &'static str)) -> Answer {
    let mut browser = app.browser();
    let asked = begin(&mut browser, C).await;
    let says = Says { ids, ..Says::to(C, Some(&asked.id)) };
    post(&mut browser, C, &idp.response_by(key, &says), &asked.handle).await
}

async fn start(app: &TestApp) -> Answer {
    app.browser().get(&format!("/signin/sso/{C}")).await
}

#[tokio::test]
async fn ours_are_signed_and_name_what_the_provider_needs() {
    let (app, _) = app_with(|_| {}).await;
    let answer = app.browser().get(&format!("/signin/saml/{C}/metadata")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/samlmetadata+xml");
    let id = saml_entity_id(ORIGIN, &ConnectionId::new(C).unwrap());
    assert_eq!(id, format!("{ORIGIN}/signin/saml/{C}/metadata"));
    for part in [
        format!("entityID=\"{id}\""),
        format!("Location=\"{ORIGIN}/signin/saml/{C}/acs\""),
        format!("Location=\"{ORIGIN}/signin/saml/{C}/slo\""),
        format!("<ds:X509Certificate>{}<", foreign_key().certificate().base64()),
        "<ds:SignatureValue>".to_owned(),
    ] {
        assert!(answer.text.contains(&part), "{part}: {}", answer.text);
    }
}

#[tokio::test]
async fn new_keys_work_and_announced_ones_stand_in_the_metadata() {
    let (app, idp) = app_with(|_| {}).await;
    let id = saml_entity_id(ORIGIN, &ConnectionId::new(C).unwrap());
    let keys = new_saml_keys(&id, app.now(), &SystemRng).unwrap();
    let next = rotate_saml_keys(&keys, &id, SamlKeyStep::Announce, app.now(), &SystemRng).unwrap();
    connect(&app, C, "acme", &SamlSettings { keys: next, ..idp.settings() }).await;
    let text = app.browser().get(&format!("/signin/saml/{C}/metadata")).await.text;
    // Two that sign, two that decrypt, and the one that signed the document.
    assert_eq!(text.matches("use=\"signing\"").count(), 2, "{text}");
    assert_eq!(text.matches("use=\"encryption\"").count(), 2, "{text}");
    goes_to(&sign_in(&idp, &mut app.browser(), C, |_| {}).await);
    // Keys of another form are the operator's fault, and let nobody in.
    connect(&app, C, "acme", &SamlSettings { keys: "x".into(), ..idp.settings() }).await;
    assert_eq!(start(&app).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_providers_new_certificate_is_found_in_its_metadata() {
    let (app, idp) = app_with(|_| {}).await;
    goes_to(&by(&app, &idp, &idp.key, ("_r1", "_a1")).await);
    assert_eq!(idp.hits(), 1, "kept for the answer and the next");
    let next = fresh_key(&app);
    // Without an announcement: it is fetched because no certificate fits, but not at any moment that somebody likes.
    idp.publishes(&idp.metadata(&[&next], ""));
    app.later(MINUTE / 6);
    assert_eq!(refused(&app, &by(&app, &idp, &next, ("_r2", "_a2")).await), "saml_wrong_certificate");
    assert_eq!(idp.hits(), 1);
    app.later(MINUTE);
    goes_to(&by(&app, &idp, &next, ("_r3", "_a3")).await);
    assert_eq!(idp.hits(), 2);
    // The old one is worth nothing now.
    assert_eq!(refused(&app, &by(&app, &idp, &idp.key, ("_r4", "_a4")).await), "saml_wrong_certificate");
    // With an announcement: both stand there for a while.
    idp.publishes(&idp.metadata(&[&next, &idp.key], ""));
    app.later(MINUTE * 60 * 24);
    goes_to(&by(&app, &idp, &idp.key, ("_r5", "_a5")).await);
    goes_to(&by(&app, &idp, &next, ("_r6", "_a6")).await);
    assert_eq!(idp.hits(), 3);
}

#[tokio::test]
async fn they_are_read_again_as_often_as_they_say_and_once_a_day() {
    let (app, idp) = app_with(|_| {}).await;
    idp.publishes(&idp.metadata(&[&idp.key], " cacheDuration=\"PT1H\""));
    for (wait, hits) in [(0, 1), (59, 1), (1, 2)] {
        app.later(MINUTE * wait);
        assert_eq!((start(&app).await.status, idp.hits()), (StatusCode::SEE_OTHER, hits), "{wait}");
    }
    idp.publishes(&idp.metadata(&[&idp.key], " cacheDuration=\"P30D\""));
    for (wait, hits) in [(60, 3), (60 * 24 - 1, 3), (1, 4)] {
        app.later(MINUTE * wait);
        assert_eq!((start(&app).await.status, idp.hits()), (StatusCode::SEE_OTHER, hits), "{wait}");
    }
}

#[tokio::test]
async fn the_last_good_ones_serve_while_the_provider_is_down_and_not_for_ever() {
    let (app, idp) = app_with(|_| {}).await;
    start(&app).await;
    idp.is_down(true);
    app.later(MINUTE * 60 * 24 * 6);
    goes_to(&by(&app, &idp, &idp.key, ("_r1", "_a1")).await);
    assert_eq!(idp.hits(), 2, "asked once, not for each step");
    app.later(MINUTE);
    start(&app).await;
    assert_eq!(idp.hits(), 3);
    app.later(MINUTE * 60 * 24);
    let answer = start(&app).await;
    assert_eq!(refused(&app, &answer), "saml_metadata_unavailable");
    assert!(answer.text.contains("502"), "{}", answer.text);
    let answer = start(&app).await;
    assert!(refused(&app, &answer) == "saml_metadata_unavailable" && answer.text.contains("502"), "{}", answer.text);
    assert_eq!(idp.hits(), 4, "a failure is not tried again at once");
    // An end that they set themselves counts, however short.
    idp.is_down(false);
    let until = app.now().plus(MINUTE * 60).to_string();
    idp.publishes(&idp.metadata(&[&idp.key], "").replace(" entityID", &format!(" validUntil=\"{until}\" entityID")));
    app.later(MINUTE);
    assert_eq!(start(&app).await.status, StatusCode::SEE_OTHER);
    idp.is_down(true);
    app.later(MINUTE * 60);
    assert_eq!(refused(&app, &start(&app).await), "saml_metadata_unavailable");
    idp.is_down(false);
    app.later(MINUTE);
    assert_eq!(refused(&app, &start(&app).await), "saml_metadata_expired");
}

#[tokio::test]
async fn unsigned_ones_are_refused_where_a_certificate_was_named() {
    let pem = |key: &SpKey| key.certificate().base64();
    let signer = foreign_key();
    let (app, idp) = app_with(|settings| settings.metadata_certificate = Some(pem(&signer))).await;
    assert_eq!(refused(&app, &start(&app).await), "saml_unsigned");
    let document = idp.metadata(&[&idp.key], "");
    let by = |key: &SpKey, document: &str| {
        let root = format!("entityID=\"{}\">", idp.entity_id);
        signed(key, "_metadata1", document, &root)
    };
    idp.publishes(&by(&idp.key, &document));
    app.later(MINUTE);
    assert_eq!(refused(&app, &start(&app).await), "saml_wrong_certificate");
    idp.publishes(&by(&signer, &document).replace("/sso", "/evil"));
    app.later(MINUTE);
    assert_eq!(refused(&app, &start(&app).await), "saml_digest_mismatch");
    idp.publishes(&by(&signer, &document));
    app.later(MINUTE);
    assert_eq!(start(&app).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn another_entity_a_redirect_or_a_flood_is_no_metadata_and_a_file_needs_no_address() {
    let (app, idp) = app_with(|settings| settings.idp_entity_id = "https://other.example".into()).await;
    let answer = start(&app).await;
    assert_eq!(refused(&app, &answer), "saml_no_such_entity");
    assert!(answer.text.contains("https://other.example") && answer.text.contains(&idp.entity_id), "{}", answer.text);

    let (app, idp) = app_with(|_| {}).await;
    idp.served.lock().unwrap().status = StatusCode::FOUND;
    assert_eq!(refused(&app, &start(&app).await), "saml_metadata_unavailable");
    idp.is_down(false);
    idp.publishes(&" ".repeat(2 * 1024 * 1024 + 1));
    app.later(MINUTE);
    assert_eq!(refused(&app, &start(&app).await), "saml_metadata_unavailable");

    let (app, idp) = app_with(|_| {}).await;
    let document = Some(idp.metadata(&[&idp.key], ""));
    let settings = SamlSettings { metadata_url: None, metadata: document, ..idp.settings() };
    connect(&app, C, "acme", &settings).await;
    goes_to(&sign_in(&idp, &mut app.browser(), C, |_| {}).await);
    assert_eq!(idp.hits(), 0);
}
