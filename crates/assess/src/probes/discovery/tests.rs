use sallyport_model::assessment::CheckResult::{self, Fail, NotAssessable, Pass};

use super::{
    fixture::{Shop, outcome},
    *,
};
use crate::access::Access;

const CHECKS: [&str; 6] =
    ["auth-required", "challenge-401", "challenge-metadata", "resource-metadata", "server-metadata", "scope-challenge"];

/// Runs discovery and metadata against `shop`, and gives the outcomes of `CHECKS`.
async fn assessed(shop: Shop) -> (Bench, [CheckResult; 6]) {
    let bench = shop.open(Access::default()).await;
    run(&bench).await;
    super::super::metadata::run(&bench).await;
    let results = CHECKS.map(|check| outcome(&bench, check).0);
    (bench, results)
}

#[tokio::test]
async fn a_sound_server_passes_everything() {
    let (bench, results) = assessed(Shop::default()).await;
    assert_eq!(results, [Pass; 6]);
    let all = bench.findings.all();
    assert!(all.values().all(|finding| finding.result == Pass), "{all:#?}");
    let discovery = bench.seen.discovery.get().unwrap();
    assert_eq!(discovery.challenge.as_ref().unwrap().params["scope"], "tickets.read");
    assert!(discovery.issuer.as_deref().unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!(discovery.servers.len(), 1);
}

#[tokio::test]
async fn each_defect_shows_where_it_is() {
    for (shop, expected) in [
        (Shop { open: true, ..Shop::default() }, [Fail, Fail, Fail, Pass, Pass, Fail]),
        (Shop { lists_openly: true, ..Shop::default() }, [Fail, Fail, Fail, Pass, Pass, Fail]),
        (Shop { forbids: true, ..Shop::default() }, [Pass, Fail, Pass, Pass, Pass, Pass]),
        (Shop { bare: true, ..Shop::default() }, [Pass, Fail, Fail, Pass, Pass, Fail]),
        (Shop { no_resource: true, ..Shop::default() }, [Pass, Pass, Fail, Fail, Pass, Pass]),
        (Shop { no_server: true, ..Shop::default() }, [Pass, Pass, Pass, Pass, Fail, Pass]),
        (Shop { asks_for_everything: true, ..Shop::default() }, [Pass, Pass, Pass, Pass, Pass, Fail]),
    ] {
        let words = format!("{shop:?}");
        let (_, results) = assessed(shop).await;
        assert_eq!(results, expected, "{words}");
    }
}

#[tokio::test]
async fn without_any_metadata_what_depends_on_it_fails() {
    let shop = Shop { no_resource: true, no_server: true, bare: true, ..Shop::default() };
    let (bench, _) = assessed(shop).await;
    for check in
        ["server-issuer", "server-endpoints-tls", "pkce-advertised", "registration-path", "resource-identifier"]
    {
        let (result, observed) = outcome(&bench, check);
        assert_eq!(result, Fail, "{check}: {observed}");
    }
    assert!(outcome(&bench, "server-metadata").1.contains("404"), "it says where it looked");
    assert_eq!(outcome(&bench, "agent-grant").0, NotAssessable, "there is a server somewhere, and nobody sees it");
    let shop = Shop { no_resource: true, no_server: true, open: true, ..Shop::default() };
    assert_eq!(outcome(&assessed(shop).await.0, "agent-grant").0, Fail);
}

#[tokio::test]
async fn metadata_of_another_resource_is_told() {
    let (bench, _) = assessed(Shop { points_astray: true, ..Shop::default() }).await;
    assert_eq!(outcome(&bench, "resource-identifier").0, Fail);
}

#[tokio::test]
async fn a_target_that_does_not_answer_decides_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let clock = std::sync::Arc::new(sallyport_model::SystemClock);
    let rng = std::sync::Arc::new(sallyport_model::SeededRng::new(1));
    let bench = Bench::new(crate::Target::Http(url), Access::default(), clock, rng).unwrap();
    run(&bench).await;
    assert_eq!(outcome(&bench, "auth-required").0, NotAssessable);
    assert_eq!(bench.findings.all().len(), 1, "nothing else was guessed");
    assert!(bench.seen.discovery.get().is_none());
}

#[test]
fn a_first_challenge_is_small_or_not() {
    let published = ["a", "b", "c"];
    for (asked, held) in [
        (Some("a"), true),
        (Some("a b"), true),
        (Some("a b c"), false),
        (Some("*"), false),
        (Some(" "), false),
        (None, false),
    ] {
        assert_eq!(small_scope(asked, &published).0, held, "{asked:?}");
    }
    assert!(small_scope(Some("only"), &["only"]).0, "one scope is the smallest set there is");
}

#[test]
fn a_strangers_text_cannot_write_on_the_page() {
    assert_eq!(shown("a\u{1b}[2Jb\nc\u{202e}d\u{e0041}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
    assert_eq!(shown(&"x".repeat(500)).chars().count(), 161);
}
