//! A session or a token ends under a call in progress: whoever waits is told so, in HTTP and in JSON-RPC.

use std::time::Duration;

use http::StatusCode;
use sallyport_mcp::Era;
use sallyport_model::{EventKind, TokenId, event::OutcomeStatus};
use sallyport_storage::RevocationSubject;
use serde_json::{Value, json};

use crate::rig::{
    Rig,
    client::{Client, Reply},
    http_offer,
    upstream::Upstream,
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// A call of `tool` that has said nothing when `meanwhile` begins; its answer.
async fn under<F: Future>(client: &Client<'_>, id: i64, tool: &str, meanwhile: F) -> Reply {
    let body = client.message(Some(id), "tools/call", json!({"name": tool, "arguments": {}}));
    let mut sent = Box::pin(client.post(&body));
    assert!(tokio::time::timeout(Duration::from_millis(150), &mut sent).await.is_err(), "nothing comes by itself");
    tokio::join!(sent, meanwhile).0
}

/// How the calls of `tool` ended in the log, with the code of the reason.
fn ends(rig: &Rig, tool: &str) -> Vec<(OutcomeStatus, Option<String>)> {
    let closed = rig.log.of(EventKind::CallClosed).into_iter();
    let named = closed.filter(|event| event.call.as_ref().is_some_and(|call| call.name.as_deref() == Some(tool)));
    named.map(|event| event.outcome.unwrap()).map(|outcome| (outcome.status, outcome.code)).collect()
}

fn refused(answer: &Value, id: i64, reason: &str) {
    assert_eq!((&answer["id"], &answer["error"]["data"]["reason"]), (&json!(id), &json!(reason)), "{answer}");
    assert!(answer.get("result").is_none(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_session_ends_under_it_is_told_so() {
    for server in ERAS {
        let (_, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", Era::Legacy).await;
        let id = client.id();
        let reply = under(&client, id, "slow", async {
            assert_eq!(client.verb("DELETE", &[]).await.status, StatusCode::OK);
        })
        .await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::NOT_FOUND, "application/json"));
        refused(&reply.json().await, id, "session_ended");
        assert_eq!(ends(&rig, "slow"), [(OutcomeStatus::Cancelled, Some("session_ended".to_owned()))], "{server:?}");
        // The next request meets the same status: the session is gone.
        let late = client.open("tools/list", json!({})).await;
        assert_eq!(late.status, StatusCode::NOT_FOUND);

        // On a stream that has begun the error is the stream's last message.
        let client = Client::connect(&rig, "up", Era::Legacy).await;
        client.request("logging/setLevel", json!({"level": "debug"})).await;
        let id = client.id();
        let body = client.message(Some(id), "tools/call", json!({"name": "hold", "arguments": {}}));
        let mut held = client.post(&body).await;
        assert_eq!(held.next().await.unwrap()["method"], "notifications/message");
        assert_eq!(client.verb("DELETE", &[]).await.status, StatusCode::OK);
        refused(&held.next().await.unwrap(), id, "session_ended");
        assert_eq!(held.next().await, None);
    }
}

/// The sweep ends the sessions of who was revoked, and each call looks for itself: whichever comes first, the answer
/// is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_token_is_revoked_under_it_is_told_so_in_both_eras() {
    for server in ERAS {
        for era in ERAS {
            let (_, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            for round in 1..=4_i64 {
                let client = Client::connect(&rig, "up", era).await;
                // The upstream keeps in mind which ids were cancelled.
                let id = 1000 + round;
                // At another point of the sweep each time.
                tokio::time::sleep(Duration::from_millis(130 * round.unsigned_abs())).await;
                let token = TokenId::new(claim(&client.token, "jti")).unwrap();
                let reply = under(&client, id, "slow", rig.revoke(RevocationSubject::Token(token))).await;
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{era:?} {server:?}");
                let challenge = reply.header("www-authenticate").to_owned();
                assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
                refused(&reply.json().await, id, "token_revoked");
            }
            let want = (OutcomeStatus::Refused, Some("token_revoked".to_owned()));
            assert_eq!(ends(&rig, "slow"), vec![want; 4], "{era:?} {server:?}");
        }
    }
}

/// Who cancels waits for no answer; it still gets the form that a request's answer has.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_its_client_cancelled_ends_in_a_stream_without_a_message() {
    for server in ERAS {
        let (_, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", Era::Legacy).await;
        let id = client.id();
        let mut reply =
            under(&client, id, "slow", client.notify("notifications/cancelled", json!({"requestId": id}))).await;
        assert!(reply.status == StatusCode::OK && reply.is_stream());
        assert_eq!(reply.next().await, None);
        assert_eq!(ends(&rig, "slow"), [(OutcomeStatus::Cancelled, Some("by the client".to_owned()))]);
        assert_eq!(client.call("echo", json!({})).await.status, StatusCode::OK, "the session lives");
    }
}

fn claim(token: &str, name: &str) -> String {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&bytes).unwrap();
    claims[name].as_str().unwrap().to_owned()
}
