//! Signing in at a SAML provider: through both posts, and everything that must not work.

use std::sync::Arc;

use http::{StatusCode, header};
use sallyport_identity::{
    Deps, Identity, IdentityConfig, SessionStanding,
    settings::{Demands, Mapping, SamlSettings},
};
use sallyport_model::EventKind;
use sallyport_saml::name_id_format;
use sallyport_storage::Role;

use crate::{
    saml_provider::{
        Idp, MINUTE, ORIGIN, PASSWORD_CONTEXT, Says, begin, connect, foreign_key, goes_to, ours, post, refused, sent,
        sign_in,
    },
    support::{Browser, TestApp, providers},
};

const C: &str = "c-acme";

async fn app_with(change: impl FnOnce(&mut SamlSettings)) -> (TestApp, Idp) {
    let app = TestApp::with_providers().await;
    let idp = Idp::serving(&app).await;
    let mut settings = idp.settings();
    change(&mut settings);
    connect(&app, C, "acme", &settings).await;
    (app, idp)
}

async fn who(app: &TestApp, browser: &Browser) -> Option<String> {
    if browser.cookies.is_empty() {
        return None;
    }
    app.identity.current(&browser.header_map()).await.unwrap().map(|me| me.person.display_name)
}

#[tokio::test]
async fn somebody_signs_in_through_both_posts() {
    let (app, idp) = app_with(|_| {}).await;
    let mut browser = app.browser();
    let sent = begin(&mut browser, C).await;
    assert!(sent.xml.contains(&format!("Destination=\"{}/sso\"", idp.url)), "{}", sent.xml);
    assert!(sent.xml.contains(&format!("\"{ORIGIN}/signin/saml/c-acme/acs\"")), "{}", sent.xml);
    assert!(!sent.xml.contains("ForceAuthn"));
    app.later(MINUTE);
    let says = Says { session_ends: Some(3600), ..Says::to(C, Some(&sent.id)) };
    let done = post(&mut browser, C, &idp.response(&says), &sent.handle).await;
    assert_eq!(goes_to(&done), "/oauth/authorize?request=1");
    let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.person.display_name, "Ann <Lee>");
    assert_eq!(me.person.email.as_deref(), Some("ann@acme.example"));
    assert_eq!((me.person.role, me.person.groups.len()), (Role::Administrator, 2));
    assert_eq!(me.session.methods, ["pwd"]);
    let provider = me.session.provider.unwrap();
    assert_eq!(provider.subject, format!("{} - - ann-7f3", name_id_format::PERSISTENT));
    assert_eq!(provider.session.as_deref(), Some("_index1"));
    // SessionNotOnOrAfter caps it, and there is nothing to ask again.
    assert_eq!(me.session.expires_at, app.now().plus(MINUTE * 60));
    assert_eq!(app.identity.standing(&me.session.id).await.unwrap(), SessionStanding::Stands);
    let event = app.log.last();
    assert_eq!((event.kind, &event.facts["connection"]), (EventKind::SignedIn, &C.into()));
    app.later(MINUTE * 60);
    assert_eq!(app.identity.standing(&me.session.id).await.unwrap(), SessionStanding::Ended);
    assert_eq!(who(&app, &browser).await, None);
    // The same person again, with another e-mail address and without a group.
    let answer = sign_in(&idp, &mut browser, C, |says| {
        says.ids = ("_response2", "_assertion2");
        says.attributes = vec![("mail", None, vec!["lee@acme.example"])];
    })
    .await;
    assert_eq!(goes_to(&answer), "/oauth/authorize?request=1");
    let again = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!((again.person.id, again.person.role), (me.person.id, Role::User));
}

#[tokio::test]
async fn the_first_post_believes_nothing_and_forges_nothing() {
    let (app, _) = app_with(|_| {}).await;
    let evil = "\"><script>alert(1)</script>";
    let path = format!("/signin/saml/{C}/acs");
    let page = app.browser().post(&path, &[("SAMLResponse", evil), ("RelayState", evil)]).await;
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("form-action 'self';") && policy.contains("script-src 'self'"), "{policy}");
    assert!(page.text.contains("data-repost") && page.text.contains(">Continue</button>"), "it works without a script");
    assert!(app.log.events.lock().unwrap().is_empty());
    let script = page.text.split("script type=\"module\" src=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(app.browser().get(script).await.text.contains("requestSubmit"));
    assert_eq!(app.browser().post(&path, &[("RelayState", "x")]).await.status, StatusCode::BAD_REQUEST);
    let twice = [("SAMLResponse", "a"), ("SAMLResponse", "b")];
    assert_eq!(app.browser().post(&path, &twice).await.status, StatusCode::BAD_REQUEST);
    let large = "a".repeat(256 * 1024);
    assert_eq!(app.browser().post(&path, &[("SAMLResponse", &large)]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    // The second one comes from our own page or not at all.
    let mut browser = app.browser();
    browser.headers = vec![("origin", "https://idp.example".to_owned())];
    let answer = browser.post(&format!("{path}/continue"), &[("SAMLResponse", "a")]).await;
    assert_eq!((answer.status, answer.text.contains("cross_site_request")), (StatusCode::FORBIDDEN, true));
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_on_the_page_and_in_the_log() {
    let (app, idp) = app_with(|_| {}).await;
    type Change = fn(&mut Says);
    let cases: [(&str, Change, &[&str]); 7] = [
        ("saml_wrong_audience", |says| says.audience = "https://other".into(), &["https://other", "c-acme/metadata"]),
        ("saml_wrong_recipient", |says| says.recipient = format!("{ORIGIN}/x"), &["/x", "/acs"]),
        ("saml_wrong_destination", |says| says.destination = "https://other".into(), &["https://other", "ACS URL"]),
        ("saml_wrong_in_response_to", |says| says.in_response_to = Some("_other".into()), &["_other"]),
        ("saml_wrong_in_response_to", |says| says.in_response_to = None, &["(none)"]),
        ("saml_expired", |says| says.issued = 400, &["07:58:20", "08:00:00", "100 s too late", "NTP"]),
        ("saml_transient_name_id", |says| says.format = name_id_format::TRANSIENT, &["persistent NameID"]),
    ];
    for (at, (code, change, words)) in cases.into_iter().enumerate() {
        let mut browser = app.browser();
        let answer = sign_in(&idp, &mut browser, C, change).await;
        assert_eq!(refused(&app, &answer), code, "case {at}");
        for word in words {
            assert!(answer.text.contains(word), "{word}: {}", answer.text);
        }
        assert_eq!(who(&app, &browser).await, None);
        let event = app.log.last();
        assert_eq!((event.kind, event.tenant.unwrap().as_str()), (EventKind::SignInRefused, "acme"));
        assert_eq!(event.facts["connection"], C);
    }
    let mut browser = app.browser();
    let asked = begin(&mut browser, C).await;
    let forged = idp.response_by(&foreign_key(), &Says::to(C, Some(&asked.id)));
    let answer = post(&mut browser, C, &forged, &asked.handle).await;
    assert_eq!(refused(&app, &answer), "saml_wrong_certificate");
    assert!(answer.text.contains(&idp.key.certificate().fingerprint()), "{}", answer.text);
    let asked = begin(&mut browser, C).await;
    let answer = post(&mut browser, C, "!!!", &asked.handle).await;
    assert_eq!(refused(&app, &answer), "saml_not_base64");
}

#[tokio::test]
async fn an_answer_is_good_in_the_browser_that_asked_and_once() {
    let (app, idp) = app_with(|_| {}).await;
    let (mut ann, mut eve) = (app.browser(), app.browser());
    let anns = begin(&mut ann, C).await;
    let eves = begin(&mut eve, C).await;
    // Eve's own answer in Ann's browser, by Eve's handle and by Ann's.
    let response = idp.response(&Says { name: "eve", ..Says::to(C, Some(&eves.id)) });
    let answer = post(&mut ann, C, &response, &eves.handle).await;
    assert_eq!(refused(&app, &answer), "sign_in_elsewhere");
    let answer = post(&mut ann, C, &response, &anns.handle).await;
    assert_eq!(refused(&app, &answer), "saml_wrong_in_response_to");
    assert_eq!(who(&app, &ann).await, None);
    // Ann's browser came without its cookie.
    let anns = begin(&mut ann, C).await;
    let response = idp.response(&Says::to(C, Some(&anns.id)));
    assert_eq!(refused(&app, &post(&mut app.browser(), C, &response, &anns.handle).await), "sign_in_elsewhere");
    // It works once.
    assert_eq!(goes_to(&post(&mut ann, C, &response, &anns.handle).await), "/oauth/authorize?request=1");
    assert_eq!(refused(&app, &post(&mut ann, C, &response, &anns.handle).await), "sign_in_ended");
    for handle in ["x".repeat(43), "y".repeat(80), String::new()] {
        let answer = post(&mut ann, C, &response, &handle).await;
        assert_eq!(refused(&app, &answer), if handle.len() == 43 { "sign_in_ended" } else { "saml_unsolicited" });
    }
}

/// A second node over the same store, or the same one after a restart.
fn another_node(app: &TestApp) -> Browser {
    let identity = Identity::new(Deps {
        store: app.store.clone(),
        clock: app.clock.clone(),
        rng: Arc::new(sallyport_model::SystemRng),
        recorder: app.log.clone(),
        strangers: app.strangers.clone(),
        providers: providers(),
        shell: app.shell.clone(),
        config: IdentityConfig::default(),
    });
    Browser::at(identity.unwrap().router(), "192.0.2.9")
}

async fn unsolicited(browser: &mut Browser, response: &str, relay_state: &str) -> crate::support::Answer {
    let page = post(browser, C, response, relay_state).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("Continue as Ann &lt;Lee&gt;?"), "{}", page.text);
    let relay_state = if page.text.contains("name=\"RelayState\"") { page.field("RelayState") } else { String::new() };
    let (csrf, again) = (page.field("csrf"), page.field("SAMLResponse"));
    let fields = [("csrf", csrf.as_str()), ("SAMLResponse", &again), ("RelayState", &relay_state)];
    ours(browser, &page.attribute("action"), &fields).await
}

#[tokio::test]
async fn who_comes_unasked_is_let_in_by_the_tenants_switch_and_her_own_word() {
    let (app, idp) = app_with(|_| {}).await;
    let mut browser = app.browser();
    let response = idp.response(&Says::to(C, None));
    let answer = post(&mut browser, C, &response, "/account").await;
    assert_eq!(refused(&app, &answer), "saml_unsolicited");
    assert!(answer.text.contains("switch on"), "{}", answer.text);

    let (app, idp) = app_with(|settings| settings.allow_unsolicited = true).await;
    let mut browser = app.browser();
    let response = idp.response(&Says::to(C, None));
    let page = post(&mut browser, C, &response, "https://evil.example/").await;
    assert_eq!(who(&app, &browser).await, None, "no session before she agrees");
    assert!(!page.text.contains("evil.example"), "{}", page.text);
    // The page's form works in no other browser and for no other answer.
    let fields = [("csrf", page.field("csrf")), ("SAMLResponse", response.clone())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let confirm = page.attribute("action");
    let mut other = app.browser();
    other.get("/signin").await;
    assert_eq!(ours(&mut other, &confirm, &fields).await.status, StatusCode::FORBIDDEN);
    let eves = idp.response(&Says { name: "eve", ..Says::to(C, None) });
    let swapped = [fields[0], ("SAMLResponse", eves.as_str())];
    assert_eq!(ours(&mut browser, &confirm, &swapped).await.status, StatusCode::FORBIDDEN);
    assert_eq!((who(&app, &browser).await, who(&app, &other).await), (None, None));
    let answer = ours(&mut browser, &confirm, &fields).await;
    assert_eq!(goes_to(&answer), "/account", "a RelayState that is no path of ours leads home");
    assert_eq!(who(&app, &browser).await.as_deref(), Some("Ann <Lee>"));
    // An answer to a request cannot be passed off as one that nobody asked for.
    let asked = begin(&mut browser, C).await;
    let answer = post(&mut browser, C, &idp.response(&Says::to(C, Some(&asked.id))), "").await;
    assert_eq!(refused(&app, &answer), "saml_unknown_request");
    // One of our paths is followed.
    let response = idp.response(&Says { ids: ("_r2", "_a2"), ..Says::to(C, None) });
    let answer = unsolicited(&mut browser, &response, "/account/passkeys").await;
    assert_eq!(goes_to(&answer), "/account/passkeys");
}

#[tokio::test]
async fn a_used_answer_is_used_on_every_node_and_after_a_restart() {
    let (app, idp) = app_with(|settings| settings.allow_unsolicited = true).await;
    let response = idp.response(&Says::to(C, None));
    assert_eq!(goes_to(&unsolicited(&mut app.browser(), &response, "").await), "/account");
    for mut browser in [app.browser(), another_node(&app)] {
        let answer = unsolicited(&mut browser, &response, "").await;
        assert_eq!(refused(&app, &answer), "saml_replayed");
        assert_eq!(who(&app, &browser).await, None);
    }
    // The id of a response that is not signed by itself can be changed; that of its assertion cannot.
    let renamed = idp.response(&Says { ids: ("_other", "_assertion1"), ..Says::to(C, None) });
    assert_eq!(refused(&app, &unsolicited(&mut another_node(&app), &renamed, "").await), "saml_replayed");
    let again = idp.response(&Says { ids: ("_response1", "_other"), ..Says::to(C, None) });
    assert_eq!(refused(&app, &unsolicited(&mut app.browser(), &again, "").await), "saml_replayed");
    // When it is forgotten it has long been too old.
    app.later(MINUTE * 7);
    app.store.purge(app.now()).await.unwrap();
    assert_eq!(refused(&app, &post(&mut app.browser(), C, &response, "").await), "saml_expired");
}

#[tokio::test]
async fn a_person_who_was_cut_off_is_not_signed_in_by_what_was_issued_before() {
    let (app, idp) = app_with(|settings| settings.allow_unsolicited = true).await;
    let mut browser = app.browser();
    unsolicited(&mut browser, &idp.response(&Says::to(C, None)), "").await;
    let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    let second = idp.response(&Says { ids: ("_r2", "_a2"), ..Says::to(C, None) });
    app.later(MINUTE);
    let subject = sallyport_storage::RevocationSubject::User(me.person.id);
    app.store.revoke(&subject, app.now()).await.unwrap();
    app.later(MINUTE);
    assert_eq!(refused(&app, &unsolicited(&mut browser, &second, "").await), "revoked_meanwhile");
    assert_eq!(who(&app, &browser).await, None);
}

#[tokio::test]
async fn an_encrypted_assertion_is_read() {
    let (app, idp) = app_with(|_| {}).await;
    let mut browser = app.browser();
    let answer = sign_in(&idp, &mut browser, C, |says| says.sealed = true).await;
    assert_eq!(goes_to(&answer), "/oauth/authorize?request=1");
    assert_eq!(who(&app, &browser).await.as_deref(), Some("Ann <Lee>"));
}

#[tokio::test]
async fn a_transient_name_needs_an_attribute_that_stays() {
    let (app, idp) = app_with(|settings| settings.subject_attribute = Some("urn:oid:uid".into())).await;
    let transient = |says: &mut Says, ids, name, uid: Vec<&'static str>| {
        (says.format, says.ids, says.name) = (name_id_format::TRANSIENT, ids, name);
        says.attributes.push(("urn:oid:uid", None, uid));
    };
    let mut people = Vec::new();
    for (ids, name) in [(("_r1", "_a1"), "_t1"), (("_r2", "_a2"), "_t2")] {
        let mut browser = app.browser();
        let answer = sign_in(&idp, &mut browser, C, |says| transient(says, ids, name, vec!["u-1"])).await;
        goes_to(&answer);
        let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
        let link = app.store.links(&me.person.id).await.unwrap().remove(0);
        assert_eq!(link.subject, "%attribute urn:oid:uid - u-1");
        assert!(!link.asserted.contains(name), "{}", link.asserted);
        people.push(me.person.id);
    }
    assert_eq!(people[0], people[1]);
    for (uid, code) in [(vec![], "saml_attribute_missing"), (vec!["a", "b"], "saml_attribute_ambiguous")] {
        let ids = if uid.is_empty() { ("_r3", "_a3") } else { ("_r4", "_a4") };
        let answer = sign_in(&idp, &mut app.browser(), C, |says| transient(says, ids, "_t3", uid)).await;
        assert_eq!(refused(&app, &answer), code);
        assert!(answer.text.contains("urn:oid:uid"), "{}", answer.text);
    }
}

#[tokio::test]
async fn two_tenants_at_one_provider_do_not_mix() {
    let (app, idp) = app_with(|settings| settings.allow_unsolicited = true).await;
    connect(&app, "c-globex", "globex", &SamlSettings { allow_unsolicited: true, ..idp.settings() }).await;
    let (mut here, mut there) = (app.browser(), app.browser());
    // An answer for acme at globex, by its address and inside.
    let anns = begin(&mut here, C).await;
    let response = idp.response(&Says::to(C, Some(&anns.id)));
    assert_eq!(refused(&app, &post(&mut here, "c-globex", &response, &anns.handle).await), "provider_mix_up");
    let asked = begin(&mut there, "c-globex").await;
    let bent = Says {
        recipient: format!("{ORIGIN}/signin/saml/c-globex/acs"),
        destination: format!("{ORIGIN}/signin/saml/c-globex/acs"),
        ..Says::to(C, Some(&asked.id))
    };
    let answer = post(&mut there, "c-globex", &idp.response(&bent), &asked.handle).await;
    assert_eq!(refused(&app, &answer), "saml_wrong_audience");
    assert_eq!(refused(&app, &post(&mut there, "c-globex", &idp.response(&Says::to(C, None)), "").await), {
        "saml_wrong_destination"
    });
    // The same name at both is two people; the same ids at both are two messages.
    goes_to(&sign_in(&idp, &mut here, C, |_| {}).await);
    goes_to(&sign_in(&idp, &mut there, "c-globex", |_| {}).await);
    let of = |browser: &Browser| browser.header_map();
    let ann = app.identity.current(&of(&here)).await.unwrap().unwrap().person;
    let other = app.identity.current(&of(&there)).await.unwrap().unwrap().person;
    assert_eq!((ann.tenant.as_str(), other.tenant.as_str()), ("acme", "globex"));
    assert_ne!(ann.id, other.id);
}

#[tokio::test]
async fn a_connection_that_is_off_or_unknown_takes_nothing() {
    let (app, idp) = app_with(|_| {}).await;
    let mut browser = app.browser();
    let asked = begin(&mut browser, C).await;
    let mut off = connect(&app, C, "acme", &idp.settings()).await;
    off.enabled = false;
    app.store.put_connection(&off).await.unwrap();
    let response = idp.response(&Says::to(C, Some(&asked.id)));
    assert_eq!(refused(&app, &post(&mut browser, C, &response, &asked.handle).await), "connection_off");
    assert_eq!(refused(&app, &browser.get(&format!("/signin/sso/{C}")).await), "connection_off");
    let before = app.log.events.lock().unwrap().len();
    let mut answers = vec![post(&mut browser, "nobody", &response, &asked.handle).await];
    for path in ["metadata", "slo?SAMLRequest=x"] {
        answers.push(browser.get(&format!("/signin/saml/nobody/{path}")).await);
    }
    for answer in answers {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.text.contains("connection_unknown"), "{}", answer.text);
    }
    assert_eq!(app.log.events.lock().unwrap().len(), before, "strangers are counted, not written out");
}

#[tokio::test]
async fn demands_go_out_with_the_request_and_are_held_against_the_answer() {
    let refeds = "https://refeds.org/profile/mfa";
    let demands = Demands { acr: vec![refeds.into()], mfa: true, max_age_seconds: Some(600), ..Demands::default() };
    let (app, idp) = app_with(|settings| settings.demands = demands).await;
    let mut browser = app.browser();
    let asked = begin(&mut browser, C).await;
    assert!(asked.xml.contains(&format!("<saml:AuthnContextClassRef>{refeds}<")), "{}", asked.xml);
    assert!(!asked.xml.contains("ForceAuthn"), "{}", asked.xml);
    let weak = idp.response(&Says::to(C, Some(&asked.id)));
    let answer = post(&mut browser, C, &weak, &asked.handle).await;
    assert_eq!(refused(&app, &answer), "saml_context_unmet");
    assert!(answer.text.contains(refeds) && answer.text.contains(PASSWORD_CONTEXT), "{}", answer.text);
    // Too old: she is sent to prove it anew, once.
    let asked = begin(&mut browser, C).await;
    let old = |id: &str, ids| Says { context: refeds, authenticated: 700, ids, ..Says::to(C, Some(id)) };
    let answer = post(&mut browser, C, &idp.response(&old(&asked.id, ("_r2", "_a2"))), &asked.handle).await;
    let again = sent(goes_to(&answer));
    assert!(again.xml.contains("ForceAuthn=\"true\""), "{}", again.xml);
    assert_eq!(who(&app, &browser).await, None);
    let answer = post(&mut browser, C, &idp.response(&old(&again.id, ("_r3", "_a3"))), &again.handle).await;
    assert_eq!(refused(&app, &answer), "saml_login_too_old");
    let asked = begin(&mut browser, C).await;
    let good = Says { context: refeds, ids: ("_r4", "_a4"), ..Says::to(C, Some(&asked.id)) };
    goes_to(&post(&mut browser, C, &idp.response(&good), &asked.handle).await);
    let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.session.methods, ["mfa"]);

    let (app, _) = app_with(|settings| settings.demands.max_age_seconds = Some(0)).await;
    assert!(begin(&mut app.browser(), C).await.xml.contains("ForceAuthn=\"true\""));
}

#[tokio::test]
async fn a_missing_group_says_which_attribute_to_release() {
    let (app, idp) =
        app_with(|settings| settings.mapping = Mapping { admitted: vec!["staff".into()], ..Mapping::saml() }).await;
    let answer = sign_in(&idp, &mut app.browser(), C, |says| says.attributes.truncate(2)).await;
    assert_eq!(refused(&app, &answer), "group_missing");
    assert!(answer.text.contains("release that attribute"), "{}", answer.text);
}
