//! Making streams at a transmitter, and removing them.

use http::StatusCode;
use sallyport_identity::ssf::{
    settings::StreamSettings,
    setup::{SetupFault, SignalSetup, push_url},
};
use sallyport_storage::SignalDelivery;
use serde_json::json;

use crate::ssf_transmitter::{AUDIENCE, CAEP, Made, Scene, acme, iss_sub, loopback};

#[tokio::test]
async fn a_stream_is_made_there_and_here() {
    let scene = Scene::new().await;
    let asked = scene.transmitter.is().streams[0].clone();
    assert_eq!(asked["delivery"]["method"], json!("urn:ietf:rfc:8935"));
    assert_eq!(asked["delivery"]["endpoint_url"], json!(push_url("https://gate.example", &scene.stream)));
    assert_eq!(asked["description"], json!("for a test"));
    assert_eq!(scene.bearer.len(), 43);
    let kept = scene.kept().await;
    let settings = StreamSettings::of(&kept).unwrap();
    assert_eq!(
        (settings.stream_id.as_deref(), settings.audience.as_slice()),
        (Some("stream-0"), &[AUDIENCE.into()][..])
    );
    assert_eq!(
        (kept.delivery, kept.connection, kept.verified_at),
        (SignalDelivery::Push, Some(scene.connection), None)
    );
    assert!(!kept.settings.contains(&scene.bearer), "what the transmitter presents is kept as a digest alone");
}

#[tokio::test]
async fn what_the_transmitter_refuses_leaves_nothing_behind() {
    let scene = Scene::new().await;
    scene.transmitter.is().refuses = Some(409);
    let providers = loopback();
    let setup = SignalSetup {
        providers: &providers,
        store: scene.app.store.as_ref(),
        rng: scene.app.rng.as_ref(),
        now: scene.app.now(),
        origin: "https://gate.example",
    };
    let metadata = setup.metadata(&scene.transmitter.issuer).await.unwrap();
    let fault = setup.add(&metadata, scene.new_stream(&Made::default())).await.unwrap_err();
    assert!(matches!(fault, SetupFault::Signal(_)) && fault.remedy().is_some(), "{fault}");
    assert_eq!(scene.app.store.streams(Some(&acme())).await.unwrap().len(), 1);
    scene.transmitter.is().refuses = None;
    let here = SignalSetup { store: scene.failing.as_ref(), ..setup };
    scene.failing.refuse(&["put_stream"]);
    assert!(here.add(&metadata, scene.new_stream(&Made::default())).await.is_err());
    assert_eq!(scene.transmitter.is().streams.len(), 1, "nothing is made there that cannot be kept here");
    let wrong = setup_of_another_issuer(&here, &scene).await;
    assert!(matches!(wrong, SetupFault::Signal(_)), "{wrong}");
}

async fn setup_of_another_issuer(setup: &SignalSetup<'_>, scene: &Scene) -> SetupFault {
    setup.metadata(&format!("{}/", scene.transmitter.issuer)).await.unwrap_err()
}

#[tokio::test]
async fn a_removed_stream_is_gone_there_and_here() {
    let mut scene = Scene::new().await;
    let providers = loopback();
    let setup = SignalSetup {
        providers: &providers,
        store: scene.app.store.as_ref(),
        rng: scene.app.rng.as_ref(),
        now: scene.app.now(),
        origin: "https://gate.example",
    };
    assert!(setup.remove(&scene.kept().await).await.unwrap().is_none());
    assert_eq!(scene.transmitter.asked("DELETE /stream"), 1);
    let event = format!("{CAEP}session-revoked");
    assert_eq!(scene.tell("e1", &event, &json!({}), &iss_sub("ann")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stream_is_gone_here_even_if_its_transmitter_is() {
    let scene = Scene::new().await;
    scene.transmitter.is().down = true;
    let providers = loopback();
    let setup = SignalSetup {
        providers: &providers,
        store: scene.app.store.as_ref(),
        rng: scene.app.rng.as_ref(),
        now: scene.app.now(),
        origin: "https://gate.example",
    };
    assert!(setup.remove(&scene.kept().await).await.unwrap().is_some());
    assert!(scene.app.store.streams(Some(&acme())).await.unwrap().is_empty());
}
