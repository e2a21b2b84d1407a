//! Single logout, asked for by the provider and offered here.

use http::StatusCode;
use sallyport_model::{EventKind, SessionId, SystemRng};
use sallyport_saml::{
    Binding, IdpMetadata, Leaving, LogoutOutcome, NameId, Outgoing, SpKey, logout_request, logout_response,
    name_id_format, read_logout_request, read_logout_response,
};

use crate::{
    saml_provider::{Idp, MINUTE, ORIGIN, Says, begin, connect, foreign_key, goes_to, idp_key, ours, post, refused},
    support::{Answer, Browser, TestApp},
};

const C: &str = "c";

async fn app() -> (TestApp, Idp) {
    let app = TestApp::with_providers().await;
    let idp = Idp::serving(&app).await;
    connect(&app, C, "acme", &idp.settings()).await;
    (app, idp)
}

/// Us, as the provider knows us.
fn us(binding: Binding) -> IdpMetadata {
    let at = |end: &str| format!("{ORIGIN}/signin/saml/{C}/{end}");
    let signing = vec![foreign_key().certificate().clone()];
    let (acs, slo) = (at("acs"), at("slo"));
    IdpMetadata::by_hand(&at("metadata"), (binding, &acs), Some((binding, &slo)), signing).unwrap()
}

fn request(idp: &Idp, key: SpKey, binding: Binding, name: &str, index: Option<&str>) -> Outgoing {
    let (format, sp_name_qualifier) = (Some(name_id_format::PERSISTENT.to_owned()), Some(us(binding).entity_id));
    // Spelt out where the assertion left it to the default: it is the same person.
    let name_id =
        NameId { value: name.to_owned(), format, name_qualifier: Some(idp.entity_id.clone()), sp_name_qualifier };
    let leaving = Leaving { name_id: &name_id, session_index: index, relay_state: Some("theirs") };
    logout_request(&idp.as_sender(key), &us(binding), &leaving, idp.now(), &SystemRng).unwrap().outgoing
}

/// The provider's page sends somebody's browser, or anybody's, to us.
async fn ask(browser: &mut Browser, outgoing: &Outgoing) -> Answer {
    match outgoing {
        Outgoing::Redirect { url } => browser.get(url.strip_prefix(ORIGIN).unwrap()).await,
        Outgoing::Post { url, fields } => {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            browser.post(url.strip_prefix(ORIGIN).unwrap(), &fields).await
        }
    }
}

async fn signed_in(app: &TestApp, idp: &Idp, says: Says) -> (Browser, SessionId) {
    let mut browser = app.browser();
    let asked = begin(&mut browser, C).await;
    let says = Says { in_response_to: Some(asked.id), ..says };
    goes_to(&post(&mut browser, C, &idp.response(&says), &asked.handle).await);
    let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    (browser, me.session.id)
}

async fn lives(app: &TestApp, browser: &Browser) -> bool {
    app.identity.current(&browser.header_map()).await.unwrap().is_some()
}

fn says(ids: (&'static str, &'static str), name: &'static str, index: Option<&'static str>) -> Says {
    Says { ids, name, index, ..Says::to(C, None) }
}

#[tokio::test]
async fn the_providers_word_ends_the_session_that_it_names() {
    for binding in [Binding::Redirect, Binding::Post] {
        let (app, idp) = app().await;
        let (ann, session) = signed_in(&app, &idp, says(("_r1", "_a1"), "ann", Some("_i1"))).await;
        let (elsewhere, _) = signed_in(&app, &idp, says(("_r2", "_a2"), "ann", Some("_i2"))).await;
        let (nameless, _) = signed_in(&app, &idp, says(("_r3", "_a3"), "ann", None)).await;
        let (bob, _) = signed_in(&app, &idp, says(("_r4", "_a4"), "bob", Some("_i1"))).await;
        app.later(MINUTE);
        let outgoing = request(&idp, idp_key(), binding, "ann", Some("_i1"));
        // From a browser that carries nothing of ours: a front channel from any site.
        let answer = ask(&mut app.browser(), &outgoing).await;
        assert!(!lives(&app, &ann).await && !lives(&app, &nameless).await);
        assert!(lives(&app, &elsewhere).await, "another session of hers");
        assert!(lives(&app, &bob).await, "a SessionIndex is nobody's alone");
        let event = app.log.last();
        assert_eq!((event.kind, event.facts["by"].as_str()), (EventKind::Revoked, Some("saml_logout")));
        assert_eq!(event.facts["sessions"].as_array().unwrap().len(), 2);
        assert_eq!(event.facts["sessions"][0], session.as_str());
        assert!(event.who.is_some());
        // The signed answer goes back by redirect, so that the provider can go on to others.
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let query = answer.location().split_once('?').unwrap();
        assert_eq!(query.0, format!("{}/slo", idp.url));
        assert!(query.1.contains("RelayState=theirs"));
        let id = match &outgoing {
            Outgoing::Redirect { url } => crate::saml_provider::sent(url).id,
            Outgoing::Post { fields, .. } => {
                use base64::Engine as _;
                let xml = base64::engine::general_purpose::STANDARD.decode(&fields[0].1).unwrap();
                String::from_utf8(xml).unwrap().split(" ID=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
            }
        };
        let carried = sallyport_saml::Carried::Redirect { raw_query: query.1 };
        let (them, skew) = (idp.as_sender(idp_key()), MINUTE);
        let read = read_logout_response(&them, &us(binding), &carried, &id, app.now(), skew).unwrap();
        assert_eq!(read, LogoutOutcome::Done);
        // Once.
        assert_eq!(refused(&app, &ask(&mut app.browser(), &outgoing).await), "saml_replayed");
        // Without an index: all of hers.
        ask(&mut app.browser(), &request(&idp, idp_key(), binding, "ann", None)).await;
        assert!(!lives(&app, &elsewhere).await && lives(&app, &bob).await);
    }
}

#[tokio::test]
async fn nobody_else_can_sign_people_out() {
    for binding in [Binding::Redirect, Binding::Post] {
        let (app, idp) = app().await;
        let (ann, _) = signed_in(&app, &idp, says(("_r1", "_a1"), "ann", Some("_i1"))).await;
        let answer = ask(&mut app.browser(), &request(&idp, foreign_key(), binding, "ann", None)).await;
        assert_eq!(refused(&app, &answer), "saml_wrong_certificate");
        let unsigned = match request(&idp, idp_key(), binding, "ann", None) {
            Outgoing::Redirect { url } => Outgoing::Redirect { url: url.split("&Signature=").next().unwrap().into() },
            Outgoing::Post { url, fields } => {
                use base64::{Engine as _, engine::general_purpose::STANDARD};
                let xml = String::from_utf8(STANDARD.decode(&fields[0].1).unwrap()).unwrap();
                let (from, to) = (xml.find("<ds:Signature ").unwrap(), xml.find("</ds:Signature>").unwrap() + 15);
                let bare = STANDARD.encode(format!("{}{}", &xml[..from], &xml[to..]));
                Outgoing::Post { url, fields: vec![(fields[0].0, bare)] }
            }
        };
        assert_eq!(refused(&app, &ask(&mut app.browser(), &unsigned).await), "saml_unsigned");
        let late = request(&idp, idp_key(), binding, "ann", None);
        app.later(MINUTE * 7);
        assert_eq!(refused(&app, &ask(&mut app.browser(), &late).await), "saml_expired");
        assert!(lives(&app, &ann).await);
        // Of another tenant's connection it ends nothing here.
        connect(&app, "c-globex", "globex", &idp.settings()).await;
        let Outgoing::Redirect { url } = request(&idp, idp_key(), Binding::Redirect, "ann", None) else { panic!() };
        let elsewhere = Outgoing::Redirect { url: url.replace("/saml/c/", "/saml/c-globex/") };
        assert_eq!(refused(&app, &ask(&mut app.browser(), &elsewhere).await), "saml_wrong_destination");
        assert!(lives(&app, &ann).await);
    }
}

#[tokio::test]
async fn an_assertion_from_before_a_logout_is_worth_nothing_after_it() {
    let (app, idp) = app().await;
    let mut browser = app.browser();
    let (first, second) = (begin(&mut browser, C).await, begin(&mut browser, C).await);
    let held = |request: &str, ids, index| Says { in_response_to: Some(request.to_owned()), ..says(ids, "ann", index) };
    let kept = idp.response(&held(&first.id, ("_r1", "_a1"), Some("_i1")));
    let other = idp.response(&held(&second.id, ("_r2", "_a2"), Some("_i2")));
    ask(&mut app.browser(), &request(&idp, idp_key(), Binding::Redirect, "ann", Some("_i1"))).await;
    assert_eq!(refused(&app, &post(&mut browser, C, &kept, &first.handle).await), "saml_logged_out");
    goes_to(&post(&mut browser, C, &other, &second.handle).await);
    // Whoever signs in again there is let in here, in the same session of hers too.
    app.later(MINUTE);
    ask(&mut app.browser(), &request(&idp, idp_key(), Binding::Redirect, "ann", Some("_i1"))).await;
    app.later(MINUTE);
    signed_in(&app, &idp, says(("_r3", "_a3"), "ann", Some("_i1"))).await;
    ask(&mut app.browser(), &request(&idp, idp_key(), Binding::Redirect, "ann", None)).await;
    app.later(MINUTE);
    signed_in(&app, &idp, says(("_r4", "_a4"), "ann", Some("_i2"))).await;
}

#[tokio::test]
async fn who_is_known_by_an_attribute_is_signed_out_by_her_name() {
    let (app, idp) = app().await;
    let mut settings = idp.settings();
    settings.subject_attribute = Some("urn:oid:uid".into());
    connect(&app, C, "acme", &settings).await;
    let with_uid = |ids, name, uid| {
        let mut says = says(ids, name, Some("1"));
        says.attributes.push(("urn:oid:uid", None, vec![uid]));
        says
    };
    let (ann, _) = signed_in(&app, &idp, with_uid(("_r1", "_a1"), "_t1", "u-ann")).await;
    let (bob, _) = signed_in(&app, &idp, with_uid(("_r2", "_a2"), "_t2", "u-bob")).await;
    ask(&mut app.browser(), &request(&idp, idp_key(), Binding::Redirect, "_t1", Some("1"))).await;
    assert!(!lives(&app, &ann).await && lives(&app, &bob).await);
}

#[tokio::test]
async fn signing_out_here_offers_to_sign_out_there() {
    for binding in [Binding::Redirect, Binding::Post] {
        let (app, idp) = app().await;
        let (mut ann, _) = signed_in(&app, &idp, says(("_r1", "_a1"), "ann", Some("_i1"))).await;
        let csrf = ann.get("/account").await.field("csrf");
        let page = ours(&mut ann, "/signout", &[("csrf", &csrf)]).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("You are signed out") && page.text.contains("Also sign out at acme staff"));
        assert!(!lives(&app, &ann).await, "that is done already");
        assert_eq!(app.log.last().kind, EventKind::SignedOut);
        let link = page.text.split("class=\"button full\" href=\"").nth(1).unwrap().split('"').next().unwrap();
        let link = link.replace("&amp;", "&");
        let (to, query) = link.split_once('?').unwrap();
        assert_eq!(to, format!("{}/slo", idp.url));
        // The provider reads our request, and answers it.
        let carried = sallyport_saml::Carried::Redirect { raw_query: query };
        let them = idp.as_sender(idp_key());
        let read = read_logout_request(&them, &us(binding), &carried, app.now(), MINUTE).unwrap();
        assert_eq!((read.name_id.value.as_str(), read.session_indexes.as_slice()), ("ann", &["_i1".to_owned()][..]));
        assert_eq!(read.name_id.format.as_deref(), Some(name_id_format::PERSISTENT));
        let request = sallyport_saml::LogoutRequest { binding, ..read };
        let outcome = LogoutOutcome::Partial;
        let outgoing = logout_response(&them, &us(binding), &request, outcome, app.now(), &SystemRng).unwrap();
        let mut other = app.browser();
        let mut answer = ask(if binding == Binding::Post { &mut other } else { &mut ann }, &outgoing).await;
        if binding == Binding::Post {
            let (message, state) = (answer.field("SAMLResponse"), answer.field("RelayState"));
            let fields = [("SAMLResponse", message.as_str()), ("RelayState", &state)];
            answer = ours(&mut ann, &answer.attribute("action"), &fields).await;
        }
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert!(answer.text.contains("could not sign you out of everything"), "{}", answer.text);
        let again = ask(&mut ann, &outgoing).await;
        if binding == Binding::Redirect {
            assert_eq!(refused(&app, &again), "sign_in_ended");
        }
    }
}

#[tokio::test]
async fn an_answer_to_a_sign_out_is_no_sign_in_nor_the_other_way_round() {
    let (app, idp) = app().await;
    let (mut ann, _) = signed_in(&app, &idp, says(("_r1", "_a1"), "ann", Some("_i1"))).await;
    let csrf = ann.get("/account").await.field("csrf");
    let page = ours(&mut ann, "/signout", &[("csrf", &csrf)]).await;
    let link = page.text.split("class=\"button full\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let asked = crate::saml_provider::sent(&link.replace("&amp;", "&"));
    let response = idp.response(&Says { ids: ("_r2", "_a2"), ..Says::to(C, Some(&asked.id)) });
    assert_eq!(refused(&app, &post(&mut ann, C, &response, &asked.handle).await), "sign_in_ended");
    let asked = begin(&mut ann, C).await;
    let answer = ann.get(&format!("/signin/saml/{C}/slo?SAMLResponse=x&RelayState={}", asked.handle)).await;
    assert_eq!(refused(&app, &answer), "sign_in_ended");
    let nothing = ann.get(&format!("/signin/saml/{C}/slo")).await;
    assert_eq!(refused(&app, &nothing), "saml_bad_query");
}
