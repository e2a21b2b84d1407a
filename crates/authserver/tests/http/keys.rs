//! `GET /oauth/jwks` and the life of signing keys.

use std::time::Duration;

use sallyport_authserver::{PUBLISH_AFTER, PUBLISH_AHEAD, SIGN_PERIOD};
use serde_json::Value;

use crate::app::*;

async fn published(app: &App) -> Vec<String> {
    let jwks = app.get("/oauth/jwks").await.json();
    let keys = jwks["keys"].as_array().unwrap();
    for key in keys {
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
            (&Value::from("EC"), &Value::from("P-256"), &Value::from("ES256"), &Value::from("sig"))
        );
        assert!(key.get("d").is_none(), "a private key is published");
    }
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn signed_by(app: &std::sync::Arc<App>) -> String {
    let form =
        [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET), ("resource", FILES)];
    let token = app.token(&form).await.text("access_token");
    assert!(app.verify(&token, FILES).is_ok());
    sallyport_oauth::jws::Compact::parse(&token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn a_key_is_announced_before_it_signs_and_published_until_its_last_token_ended() {
    let app = App::new().await;
    let first = signed_by(&app).await;
    assert_eq!(published(&app).await, std::slice::from_ref(&first));
    app.clock.advance(SIGN_PERIOD - PUBLISH_AHEAD * 2);
    app.keys.refresh().await.unwrap();
    let both = published(&app).await;
    assert_eq!(both.len(), 2, "announced");
    assert_eq!(signed_by(&app).await, first, "and does not sign yet");
    app.keys.refresh().await.unwrap();
    assert_eq!(published(&app).await.len(), 2, "announced once");
    app.clock.advance(PUBLISH_AHEAD * 2);
    let second = signed_by(&app).await;
    assert_ne!(second, first);
    assert!(both.contains(&second));
    app.keys.refresh().await.unwrap();
    assert_eq!(published(&app).await.len(), 2, "the old one still verifies");
    app.clock.advance(PUBLISH_AFTER + Duration::from_secs(1));
    app.keys.refresh().await.unwrap();
    assert_eq!(published(&app).await, [second]);
}

#[tokio::test]
async fn an_early_rotation_takes_over_in_an_hour_and_old_tokens_stay_good() {
    let app = App::new().await;
    let first = signed_by(&app).await;
    let next = app.keys.rotate().await.unwrap();
    assert_eq!(signed_by(&app).await, first);
    app.clock.advance(PUBLISH_AHEAD - Duration::from_secs(10));
    let form =
        [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET), ("resource", FILES)];
    let old = app.token(&form).await.text("access_token");
    app.clock.advance(Duration::from_secs(10));
    app.keys.refresh().await.unwrap();
    assert_eq!(signed_by(&app).await, next.as_str());
    assert!(app.verify(&old, FILES).is_ok());
}

#[tokio::test]
async fn after_a_long_stop_a_key_signs_at_once() {
    let app = App::new().await;
    let first = signed_by(&app).await;
    app.clock.advance(SIGN_PERIOD * 3);
    let form =
        [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET), ("resource", FILES)];
    assert_eq!(app.token(&form).await.status, http::StatusCode::SERVICE_UNAVAILABLE, "nothing signs with a dead key");
    app.keys.refresh().await.unwrap();
    assert_ne!(signed_by(&app).await, first);
}
