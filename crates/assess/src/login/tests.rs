//! Every control of the lab on, then each one off alone: the check that looks at it says so, and no other.

use std::{collections::BTreeMap, sync::Arc};

use sallyport_model::{Secret, assessment::CheckResult};
use tokio::sync::mpsc;
use url::Url;

use super::lab::Server;
use super::walk::{Browser, walk};
use crate::{
    access::{Access, TestUser},
    bench::Bench,
    probes::{agent, audience, forged, scopes, sessions, sign_in, tokens},
    wire::Ask,
};

async fn assess(bench: &Bench) -> BTreeMap<&'static str, CheckResult> {
    super::run(bench).await;
    sign_in::run(bench).await;
    tokens::run(bench).await;
    sessions::run(bench).await;
    scopes::run(bench).await;
    audience::run(bench).await;
    forged::with_person(bench).await;
    agent::run(bench).await;
    bench.findings.all().into_iter().map(|(check, finding)| (check, finding.result)).collect()
}

fn told(bench: &Bench) -> String {
    let all = bench.findings.all();
    all.iter().map(|(check, finding)| format!("{check}: {:?}: {}\n", finding.result, finding.observed)).collect()
}

/// The checks that did not pass.
async fn failing(off: &[&'static str]) -> Vec<(&'static str, CheckResult)> {
    let lab = Server::start(off).await;
    let bench = lab.bench();
    let found = assess(&bench).await;
    println!("{off:?}, {} exchanges\n{}", bench.wire.exchanges().len(), told(&bench));
    found.into_iter().filter(|(_, result)| *result != CheckResult::Pass).collect()
}

use CheckResult::{Fail, NotApplicable, NotAssessable};

type Outcome = (&'static str, CheckResult);
/// What is switched off, and what must not pass then.
type Case = (&'static [&'static str], Vec<Outcome>);

/// A sound server as far as the lab goes: it signs people in by itself, and serves one resource.
const SOUND: [(&str, CheckResult); 2] = [("audience-checked", NotAssessable), ("sso-federated", Fail)];

#[tokio::test]
async fn a_sound_server_passes() {
    assert_eq!(failing(&[]).await, SOUND);
}

#[tokio::test]
async fn people_who_sign_in_elsewhere_are_federated() {
    assert_eq!(failing(&["own-sign-in"]).await, [SOUND[0]]);
}

#[tokio::test]
async fn each_control_that_is_off_is_found_by_its_own_check() {
    let cases: [Case; 27] = [
        (&["pkce"], vec![("pkce-required", Fail)]),
        (&["verifier"], vec![("pkce-verified", Fail)]),
        (&["redirect"], vec![("redirect-exact", Fail)]),
        (&["redirect-bound"], vec![("redirect-bound", Fail)]),
        (&["single-use"], vec![("code-single-use", Fail)]),
        (&["no-implicit"], vec![("no-implicit", Fail)]),
        (&["no-password"], vec![("no-password-grant", Fail)]),
        (&["iss"], vec![("issuer-in-response", Fail)]),
        (&["header-only"], vec![("token-not-in-query", Fail)]),
        (&["lifetime"], vec![("agent-lifetime", Fail), ("token-expires", Fail), ("token-short", Fail)]),
        (&["short"], vec![("agent-lifetime", Fail), ("token-short", Fail)]),
        (&["expiry"], vec![("agent-lifetime", Fail), ("token-expires", Fail), ("token-short", Fail)]),
        (&["refresh"], vec![("refresh-reuse-refused", NotApplicable), ("refresh-rotates", NotApplicable)]),
        (&["reuse"], vec![("refresh-reuse-refused", Fail)]),
        (&["rotation"], vec![("refresh-reuse-refused", Fail), ("refresh-rotates", Fail)]),
        (&["revocation"], vec![("revocation-works", Fail)]),
        (&["revocation-endpoint"], vec![("revocation-works", Fail)]),
        (&["session-auth"], vec![("session-not-credential", Fail)]),
        (&["session-owner"], vec![("session-bound", Fail)]),
        (&["random"], vec![("session-unpredictable", Fail)]),
        (
            &["sessions"],
            vec![
                ("session-bound", NotApplicable),
                ("session-not-credential", NotApplicable),
                ("session-unpredictable", NotApplicable),
            ],
        ),
        (&["scopes"], vec![("scope-enforced", Fail), ("step-up-challenge", NotAssessable)]),
        (
            &["agents"],
            vec![
                ("agent-distinct", NotAssessable),
                ("agent-lifetime", NotAssessable),
                ("agent-scoped", NotAssessable),
                ("agent-signs-in", Fail),
            ],
        ),
        (&["agent-distinct"], vec![("agent-distinct", Fail)]),
        (&["agent-short"], vec![("agent-lifetime", Fail)]),
        (&["agent-scope"], vec![("agent-scoped", Fail)]),
        (&["type"], vec![("type-checked", Fail)]),
    ];
    // A run is held to twenty requests a second: side by side they take no longer than one.
    let found = futures::future::join_all(cases.iter().map(|(off, _)| Box::pin(failing(off)))).await;
    for ((off, expected), found) in cases.into_iter().zip(found) {
        let mut all: Vec<_> = SOUND.into_iter().chain(expected).collect();
        all.sort_by_key(|(check, _)| *check);
        assert_eq!(found, all, "{off:?}");
    }
}

#[tokio::test]
async fn tokens_for_other_resources_and_altered_ones_are_told_apart() {
    let (unseen, federated) = (SOUND[0], SOUND[1]);
    let (checked, forged, unsigned) =
        (("audience-checked", Fail), ("forged-refused", Fail), ("unsigned-refused", Fail));
    let cases: [Case; 8] = [
        // The authorization server serves others too, and the target looks.
        (&["strict-resource"], vec![federated]),
        (&["strict-resource", "audience"], vec![checked, federated]),
        // It refuses unknown ones, but its metadata lists a neighbour.
        (&["alone"], vec![federated]),
        (&["alone", "audience"], vec![checked, federated]),
        (&["resource"], vec![("audience-bound", Fail), unseen, federated]),
        (&["signature"], vec![unseen, forged, federated, unsigned]),
        (&["alg"], vec![unseen, federated, unsigned]),
        (&["jwk"], vec![unseen, forged, federated]),
    ];
    let offs: Vec<_> = cases.iter().map(|(off, _)| Box::pin(failing(off))).collect();
    for (found, (off, expected)) in futures::future::join_all(offs).await.into_iter().zip(&cases) {
        assert_eq!(&found, expected, "{off:?}");
    }
}

#[tokio::test]
async fn a_tool_that_is_hidden_but_served_is_found() {
    let expected = [SOUND[0], ("scope-enforced", Fail), SOUND[1], ("step-up-challenge", NotAssessable)];
    assert_eq!(failing(&["hidden-calls"]).await, expected);
}

#[tokio::test]
async fn without_an_identity_only_what_needs_none_is_decided() {
    let lab = Server::start(&[]).await;
    let bench = lab.bench_with(Access::default());
    let found = assess(&bench).await;
    println!("{}", told(&bench));
    let decided: Vec<_> =
        found.iter().filter(|(_, result)| **result == CheckResult::Pass).map(|(check, _)| *check).collect();
    assert_eq!(decided, ["issuer-in-response", "no-implicit", "no-password-grant", "redirect-exact"]);
    assert!(!found.values().any(|result| *result == Fail));
}

#[tokio::test]
async fn a_given_token_stands_for_the_person_where_nothing_has_to_be_spent() {
    let lab = Server::start(&[]).await;
    let bench = lab.bench();
    super::run(&bench).await;
    let token = bench.seen.person.get().unwrap().access_token.clone();
    let bench = lab.bench_with(Access { token: Some(token), ..Access::default() });
    let found = assess(&bench).await;
    println!("{}", told(&bench));
    for check in [
        "token-expires",
        "token-short",
        "token-not-in-query",
        "session-not-credential",
        "forged-refused",
        "unsigned-refused",
    ] {
        assert_eq!(found[check], CheckResult::Pass, "{check}");
    }
    for check in ["revocation-works", "refresh-rotates", "pkce-verified", "scope-enforced", "audience-bound"] {
        assert_eq!(found[check], NotAssessable, "{check}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_typed_once() {
    let lab = Server::start(&[]).await;
    let user = TestUser { name: "alice".into(), password: Secret::new("wrong") };
    let bench = lab.bench_with(Access { user: Some(user), ..Access::default() });
    let found = assess(&bench).await;
    println!("{}", told(&bench));
    assert_eq!(lab.asked("/login"), 1, "an account must not be locked");
    assert_eq!(found["pkce-verified"], NotAssessable);
    assert!(bench.findings.all()["pkce-verified"].observed.contains("not accepted"));
    assert!(!bench.wire.exchanges().iter().any(|exchange| exchange.request_body.contains("wrong")));
}

/// The operator at her browser: she signs in wherever she is sent, and her browser opens the client's address.
async fn operator(bench: Bench, mut shown: mpsc::UnboundedReceiver<Url>) {
    let mut browser = Browser::default();
    let alice = TestUser { name: "alice".into(), password: Secret::new("alice-pw") };
    while let Some(url) = shown.recv().await {
        let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1;
        let ends = [Url::parse(&redirect).unwrap()];
        let walked = walk(&bench, "sso-federated", &mut browser, url, Some(&alice), &ends).await.unwrap();
        bench.wire.send("sso-federated", Ask::get(walked.returned().unwrap().clone())).await.unwrap();
    }
}

#[tokio::test]
async fn an_operator_signs_in_by_hand() {
    let lab = Server::start(&["own-sign-in"]).await;
    let (show, shown) = mpsc::unbounded_channel();
    tokio::spawn(operator(lab.bench_with(Access::default()), shown));
    let browser: crate::access::Browser = Arc::new(move |url: &Url| drop(show.send(url.clone())));
    let bench = lab.bench_with(Access { browser: Some(browser), ..Access::default() });
    let found = assess(&bench).await;
    println!("{}", told(&bench));
    for check in [
        "sso-federated",
        "pkce-verified",
        "code-single-use",
        "refresh-rotates",
        "revocation-works",
        "scope-enforced",
        "audience-bound",
    ] {
        assert_eq!(found[check], CheckResult::Pass, "{check}");
    }
    assert!(!found.values().any(|result| *result == Fail));
}
