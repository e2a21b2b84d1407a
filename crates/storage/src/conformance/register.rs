//! The register of assessed upstreams: it only grows, in one order, and is read a part at a time.

use std::sync::Arc;

use sallyport_model::{UpstreamName, assessment::Band};

use super::samples::*;
use crate::{Admission, AdmissionDecision, Assessed, AssessmentOrigin, RegisterEntry, RegisterEvent, Standing, Store};

fn upstream(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn assessed(name: &str, total: Option<u8>) -> Assessed {
    Assessed {
        upstream: upstream(name),
        assessed_at: NOW,
        recorded_at: NOW.plus(HOUR),
        origin: AssessmentOrigin::Recorded,
        target: HOSTILE.into(),
        target_differs: Some(HOSTILE.into()),
        total,
        low: 7,
        high: 20,
        band: total.map(Band::of),
        definitions: total.map(|_| digest(7)),
        counts: true,
    }
}

fn decision(name: &str, decided: Admission) -> AdmissionDecision {
    AdmissionDecision {
        upstream: upstream(name),
        decided,
        by: HOSTILE.into(),
        reason: HOSTILE.into(),
        owner: (decided == Admission::Accepted).then(|| HOSTILE.into()),
        until: (decided == Admission::Accepted).then(|| NOW.plus(DAY)),
        at: NOW,
        definitions: digest(8),
    }
}

pub(super) async fn grows(store: Arc<dyn Store>) {
    let (files, mail) = (upstream("files"), upstream("mail"));
    assert_eq!(store.standing(&files).await.unwrap(), Standing::default());
    assert_eq!(store.register_number().await.unwrap(), 0);
    let good = assessed("files", Some(17));
    let open = Assessed { origin: AssessmentOrigin::Scheduled, ..assessed("files", None) };
    let (held, accepted) = (decision("files", Admission::Held), decision("files", Admission::Accepted));
    let document = format!("{{\"text\":{}}}", serde_json::json!(HOSTILE));
    assert_eq!(store.record_assessment(&good, &document).await.unwrap(), 1);
    assert_eq!(store.decide_admission(&held).await.unwrap(), 2);
    assert_eq!(store.record_assessment(&assessed("mail", Some(3)), "{}").await.unwrap(), 3);
    assert_eq!(store.decide_admission(&accepted).await.unwrap(), 4);
    assert_eq!(store.record_assessment(&open, "[]").await.unwrap(), 5);
    assert_eq!(store.register_number().await.unwrap(), 5);
    let newest =
        Standing { assessed: Some(open.clone()), decided: Some(accepted.clone()), last_assessed_at: Some(NOW) };
    assert_eq!(store.standing(&files).await.unwrap(), newest, "the newest of each, and of this upstream");
    assert_eq!(store.standing(&mail).await.unwrap().decided, None);
    assert_eq!((good.score(), open.score()), (17, 7), "without a total the low end counts");

    let entry = |number, event| RegisterEntry { number, event };
    let whole = [
        entry(5, RegisterEvent::Assessed(open)),
        entry(4, RegisterEvent::Decided(accepted)),
        entry(2, RegisterEvent::Decided(held)),
        entry(1, RegisterEvent::Assessed(good)),
    ];
    assert_eq!(store.history(&files, 10).await.unwrap(), whole, "newest first");
    assert_eq!(store.history(&files, 3).await.unwrap(), whole[..3], "no more than asked");
    let numbers = async |after, limit| -> Vec<u64> {
        store.register_after(after, limit).await.unwrap().iter().map(|entry| entry.number).collect()
    };
    assert_eq!(numbers(0, 10).await, [1, 2, 3, 4, 5], "of all upstreams, in order");
    assert_eq!(numbers(1, 2).await, [2, 3], "both kinds, the first ones");
    assert!(numbers(5, 10).await.is_empty());
    assert_eq!(store.assessment_document(1).await.unwrap(), Some(document));
    assert_eq!(store.assessment_document(2).await.unwrap(), None, "a decision has no document");
    assert_eq!(store.assessment_document(u64::MAX).await.unwrap(), None);
    let partial = Assessed { counts: false, assessed_at: NOW.plus(DAY), ..assessed("mail", None) };
    store.record_assessment(&partial, "{}").await.unwrap();
    let mails = store.standing(&mail).await.unwrap();
    assert_eq!(mails.assessed, Some(assessed("mail", Some(3))), "what does not count does not take its place");
    assert_eq!(mails.last_assessed_at, Some(NOW.plus(DAY)));
    store.purge(NOW.plus(10_000 * DAY)).await.unwrap();
    assert_eq!(store.history(&files, 10).await.unwrap().len(), 4, "nothing of it is ever purged");
}

pub(super) async fn logged(store: Arc<dyn Store>) {
    assert_eq!(store.register_logged().await.unwrap(), 0);
    store.note_register_logged(7).await.unwrap();
    store.note_register_logged(3).await.unwrap();
    assert_eq!(store.register_logged().await.unwrap(), 7, "it never goes back");
}

pub(super) async fn concurrent(store: Arc<dyn Store>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            if n % 2 == 0 {
                store.decide_admission(&decision("files", Admission::Held)).await
            } else {
                store.record_assessment(&assessed("files", Some(1)), "{}").await
            }
        });
    }
    let mut numbers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        numbers.push(done.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>(), "each number once, and no gap");
}
