//! Clients known by the document at their URL.

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use sallyport_model::EventKind;
use serde_json::{Value, json};

use crate::app::*;

const ID: &str = "https://app.example/client.json";
const REDIRECT: &str = "https://app.example/cb";

fn document() -> Value {
    json!({"client_id": ID, "client_name": "The App", "redirect_uris": [REDIRECT, "http://127.0.0.1/cb"]})
}

fn publish(app: &App, document: &Value, max_age: Option<u64>) {
    let entry = (document.to_string(), max_age.map(Duration::from_secs));
    app.documents.at.lock().unwrap().insert(ID.into(), entry);
}

#[tokio::test]
async fn a_client_known_by_its_document_goes_through_the_whole_flow() {
    let app = App::new().await;
    publish(&app, &document(), Some(3600));
    let mut alice = app.alice();
    let page = alice.authorize(&request(ID, REDIRECT)).await;
    assert!(page.body.contains("described by") && page.body.contains("app.example"));
    assert!(page.body.contains("chose its name itself"));
    let code = alice.decide(&page, "allow").await.answered("code").unwrap();
    let tokens = app.token(&redeem(ID, REDIRECT, &code)).await;
    assert_eq!(app.verify(&tokens.text("access_token"), FILES).unwrap().client.as_str(), ID);
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 1, "fetched once");
    assert_eq!(app.log.of(EventKind::ClientRegistered).len(), 1);
}

#[tokio::test]
async fn a_document_is_believed_between_five_minutes_and_a_day() {
    for (max_age, fresh, stale) in
        [(Some(0), 299, 301), (None, 299, 301), (Some(3600), 3599, 3601), (Some(1 << 40), 86399, 86401)]
    {
        let app = App::new().await;
        publish(&app, &document(), max_age);
        app.alice().authorize(&request(ID, REDIRECT)).await;
        app.clock.advance(Duration::from_secs(fresh));
        app.alice().authorize(&request(ID, REDIRECT)).await;
        assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 1, "{max_age:?}");
        app.clock.advance(Duration::from_secs(stale - fresh));
        app.alice().authorize(&request(ID, REDIRECT)).await;
        assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 2, "{max_age:?}");
    }
}

#[tokio::test]
async fn a_document_that_does_not_speak_for_its_url_is_an_error_page() {
    for (field, value) in [
        ("client_id", json!("https://app.example/other.json")),
        ("client_secret", json!("x")),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("redirect_uris", json!(["https://evil.example/cb"])),
        ("redirect_uris", json!([])),
        ("client_name", json!(null)),
    ] {
        let app = App::new().await;
        let mut wrong = document();
        wrong[field] = value;
        publish(&app, &wrong, None);
        let answer = app.alice().authorize(&request(ID, REDIRECT)).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "{field}");
    }
    let app = App::new().await;
    let answer = app.alice().authorize(&request(ID, REDIRECT)).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "not there");
}

#[tokio::test]
async fn a_url_out_of_form_is_never_fetched() {
    let app = App::new().await;
    for id in [
        "http://app.example/c",
        "https://app.example",
        "https://app.example/a/../c",
        "https://u:p@app.example/c",
        "https://app.example/c#x",
        "https://APP.example/c",
        "file:///etc/passwd",
    ] {
        assert_eq!(app.alice().authorize(&request(id, REDIRECT)).await.status, StatusCode::BAD_REQUEST, "{id}");
    }
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn switched_off_no_document_is_fetched_or_believed() {
    let app = App::with(|config| config.client_documents = false).await;
    publish(&app, &document(), None);
    assert_eq!(app.alice().authorize(&request(ID, REDIRECT)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_changed_document_counts_once_it_is_stale() {
    let app = App::new().await;
    publish(&app, &document(), None);
    app.alice().code(&request(ID, REDIRECT)).await;
    let mut changed = document();
    changed["redirect_uris"] = json!(["https://app.example/new"]);
    publish(&app, &changed, None);
    app.clock.advance(Duration::from_secs(301));
    assert_eq!(app.alice().authorize(&request(ID, REDIRECT)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.log.of(EventKind::ClientRegistered).len(), 2, "the change is recorded");
}

#[tokio::test]
async fn a_document_that_failed_is_not_fetched_again_for_a_minute() {
    let app = App::new().await;
    for _ in 0..10 {
        assert_eq!(app.alice().authorize(&request(ID, REDIRECT)).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 1);
    publish(&app, &document(), None);
    app.clock.advance(Duration::from_secs(59));
    assert_eq!(app.alice().authorize(&request(ID, REDIRECT)).await.status, StatusCode::BAD_REQUEST);
    app.clock.advance(Duration::from_secs(1));
    app.alice().code(&request(ID, REDIRECT)).await;
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_address_makes_us_fetch_only_so_often() {
    let app = App::with(|config| config.rates.document_fetches_per_minute = 3).await;
    for n in 0..10 {
        let id = format!("https://victim.example/{n}");
        let answer = app.browser().authorize(&request(&id, REDIRECT)).await;
        let expected = if n < 3 { StatusCode::BAD_REQUEST } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(answer.status, expected, "{n}");
    }
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nobody_waits_long_for_other_peoples_fetches() {
    let app = App::new().await;
    publish(&app, &document(), None);
    app.documents.stuck.store(true, Ordering::SeqCst);
    let stuck: Vec<_> = (0..8)
        .map(|n| {
            let app = app.clone();
            tokio::spawn(async move {
                app.browser().authorize(&request(&format!("https://slow.example/{n}"), REDIRECT)).await
            })
        })
        .collect();
    while app.documents.fetched.load(Ordering::SeqCst) < 8 {
        tokio::task::yield_now().await;
    }
    let begun = std::time::Instant::now();
    let answer = app.browser().authorize(&request(ID, REDIRECT)).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(app.documents.fetched.load(Ordering::SeqCst), 8);
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
    app.documents.stuck.store(false, Ordering::SeqCst);
    for one in stuck {
        assert!(one.await.unwrap_err().is_cancelled());
    }
    app.alice().code(&request(ID, REDIRECT)).await;
}
