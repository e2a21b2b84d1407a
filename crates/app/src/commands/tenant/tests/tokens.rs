//! Tokens of provisioning systems.

use super::*;

use std::time::Duration;

use sallyport_admin::tenancy::sha256;
use sallyport_storage::Provisioning as _;
use serde_json::json;

#[tokio::test]
async fn a_token_is_shown_once_kept_as_a_digest_and_ends() {
    let bench = Bench::new().await;
    let answer = bench.done("tenant scim-token add beta Okta+production --expires-days 30").await;
    let token = answer.json["token"].as_str().unwrap();
    assert!(token.starts_with("sps_") && token.len() == 47, "{token}");
    assert_eq!(answer.lines, ["base URL: https://gate.example/scim/v2".to_owned(), format!("token:    {token}")]);
    let kept = bench.store.scim_client(&sha256(token), NOW).await.unwrap().unwrap();
    assert_eq!((kept.tenant, kept.name.as_str()), (id("beta"), "Okta production"));
    let month = Duration::from_secs(30 * 24 * 3600);
    assert_eq!(kept.expires_at, Some(NOW.plus(month)));
    assert!(bench.store.scim_client(&sha256(token), NOW.plus(month)).await.unwrap().is_none());
    assert!(!bench.everything().await.contains(token));
    let listed = bench.json("tenant scim-token list beta").await;
    assert_eq!(
        listed,
        json!([{
            "id": kept.id, "name": "Okta production", "created_at": NOW.to_string(),
            "expires_at": NOW.plus(month).to_string(), "ended": false,
        }])
    );
    bench.refused(&format!("tenant scim-token remove gamma {}", kept.id), "gamma has no token").await;
    bench.refused("tenant scim-token add beta +", "it is empty").await;
    assert_eq!(bench.json(&format!("tenant scim-token remove beta {}", kept.id)).await["removed"], true);
    assert_eq!(bench.action().await, ("tenant.scim_token.remove".into(), Some("beta".into())));
    assert!(bench.store.scim_client(&sha256(token), NOW).await.unwrap().is_none());
}

#[tokio::test]
async fn two_tokens_live_side_by_side() {
    let bench = Bench::new().await;
    let old = bench.json("tenant scim-token add beta okta").await;
    let new = bench.json("tenant scim-token add beta okta").await;
    assert_ne!(old["token"], new["token"]);
    bench.json(&format!("tenant scim-token remove beta {}", old["id"].as_str().unwrap())).await;
    let kept = bench.store.scim_client(&sha256(new["token"].as_str().unwrap()), NOW).await.unwrap();
    assert!(kept.is_some_and(|kept| kept.expires_at.is_none()));
}
