use proptest::prelude::*;
use sallyport_mcp::envelope;
use serde_json::json;

use super::*;

/// A line that a process may write, sane or not. `to` names a call by the id that the process saw.
fn line() -> impl Strategy<Value = Value> {
    let to = 0i64..6;
    prop_oneof![
        to.clone().prop_map(|to| json!({"jsonrpc": "2.0", "id": to, "result": {"to": to}})),
        to.clone().prop_map(|to| json!({"jsonrpc": "2.0", "id": to.to_string(), "result": {"to": to}})),
        to.clone().prop_map(|to| json!({"jsonrpc": "2.0", "id": to, "error": {"code": to, "message": "m"}})),
        to.clone().prop_map(|to| {
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": to, "to": to}})
        }),
        to.clone().prop_map(|to| {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": to});
            json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": meta, "to": to}})
        }),
        to.clone().prop_map(|to| {
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": to, "to": to}})
        }),
        to.prop_map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"})),
        Just(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "private"}})),
        Just(json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": "m"}})),
        Just(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": {}}})),
        Just(json!({"jsonrpc": "2.0", "method": "notifications/progress"})),
    ]
}

fn mux(shareable: bool, era: Era) -> (Arc<Mux>, mpsc::Receiver<Vec<u8>>) {
    let (input, written) = mpsc::channel(1024);
    let mux = Arc::new(Mux::new(input, shareable, 64));
    mux.speaks(era);
    (mux, written)
}

/// Each session's request has the same id and the same token.
fn request() -> Request {
    let meta = json!({"_meta": {"progressToken": "mine"}});
    Request::new(1, "tools/call", meta.as_object().cloned())
}

/// To whom a delivered message was addressed, if it says so.
fn addressee(message: &Message) -> Option<i64> {
    match message {
        Message::Response(Response { outcome: Outcome::Result(result), .. }) => result.get("to")?.as_i64(),
        Message::Response(Response { outcome: Outcome::Error(error), .. }) => Some(error.code),
        Message::Notification(notification) => notification.param("to")?.as_i64(),
        Message::Request(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a process writes, a caller gets what is addressed to its own call, under its own names,
    /// and nothing after its answer; of a shared process nobody gets what belongs to no call.
    #[test]
    fn no_message_reaches_another_caller(
        lines in proptest::collection::vec(line(), 0..40), shareable: bool, modern: bool, cancel in 0i64..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let era = if modern { Era::Modern } else { Era::Legacy };
        let (mux, _written) = mux(shareable, era);
        let mut calls: Vec<Started> = (1..=4).map(|session| mux.start(session, request()).unwrap()).collect();
        mux.abandon(cancel, None);
        runtime.block_on(async {
            for line in lines {
                mux.take(envelope::parse_one(line.to_string().as_bytes(), 64).unwrap()).await;
            }
        });
        for call in &mut calls {
            let mut answered = false;
            while let Ok(item) = call.receiver.try_recv() {
                let delivered = item.unwrap();
                let message = delivered.message().unwrap();
                prop_assert!(!answered && call.id != cancel);
                match addressee(message) {
                    // A legacy server takes its own request back, by an id of its own.
                    Some(_) if message.method() == Some("notifications/cancelled") && !modern => {}
                    Some(to) => prop_assert_eq!(to, call.id),
                    None => prop_assert!(!shareable, "{:?}", message),
                }
                match message {
                    Message::Response(response) => {
                        answered = true;
                        prop_assert_eq!(&response.id, &Some(1.into()));
                    }
                    Message::Notification(note) if note.method == "notifications/progress" => {
                        prop_assert_eq!(note.param("progressToken"), Some(&json!("mine")));
                    }
                    Message::Notification(note) if note.method == "notifications/x" => {
                        prop_assert_eq!(meta::subscription_id(note.params.as_ref().unwrap()), Some(1.into()));
                    }
                    Message::Request(_) => prop_assert!(!modern),
                    Message::Notification(_) => {}
                }
            }
        }
    }
}

/// A client may hold its answer back until the response to its call has begun.
#[tokio::test]
async fn a_question_goes_to_the_one_call_it_can_be_about() {
    let (mux, _written) = mux(false, Era::Legacy);
    let mut own = mux.listen(1).unwrap();
    let mut first = mux.start(1, request()).unwrap();
    mux.take(Request::new(1, "elicitation/create", None).into()).await;
    assert!(first.receiver.try_recv().is_ok());
    assert!(own.try_recv().is_err());

    let mut second = mux.start(1, request()).unwrap();
    mux.take(Request::new(2, "elicitation/create", None).into()).await;
    assert!(first.receiver.try_recv().is_err() && second.receiver.try_recv().is_err());
    assert!(own.try_recv().is_ok());
}

#[tokio::test]
async fn what_nobody_takes_is_bounded_and_requests_are_refused_beyond() {
    let (mux, mut written) = mux(false, Era::Legacy);
    for id in 0..40 {
        mux.take(Request::new(id, "roots/list", None).into()).await;
        mux.take(Notification::new("notifications/tools/list_changed", None).into()).await;
    }
    let mut refused = 0;
    while let Ok(line) = written.try_recv() {
        let Ok(Message::Response(Response { outcome: Outcome::Error(_), .. })) = envelope::parse_one(&line, 8) else {
            panic!("not a refusal")
        };
        refused += 1;
    }
    let mut own = mux.listen(1).unwrap();
    let mut kept = 0;
    while own.try_recv().is_ok() {
        kept += 1;
    }
    assert!(kept <= PARKED && refused >= 40 - PARKED, "{kept} kept, {refused} refused");
}

#[tokio::test]
async fn an_answer_has_its_place_however_full_the_queue_is() {
    let (mux, _written) = mux(false, Era::Legacy);
    let mut call = mux.start(1, request()).unwrap();
    for n in 0..10 * QUEUE {
        let params = json!({"progressToken": call.id, "progress": n});
        mux.take(Notification::new("notifications/progress", params.as_object().cloned()).into()).await;
    }
    mux.take(Response::result(call.id, Object::new()).into()).await;
    let mut last = None;
    while let Ok(item) = call.receiver.try_recv() {
        last = Some(item.unwrap());
    }
    assert!(matches!(last.unwrap().message(), Some(Message::Response(_))));
}

#[tokio::test]
async fn leaving_cancels_calls_and_refuses_what_was_asked() {
    let (mux, mut written) = mux(false, Era::Legacy);
    let call = mux.start(1, request()).unwrap();
    mux.take(Request::new("ask", "roots/list", None).into()).await;
    mux.leave(1);
    let lines: Vec<Message> =
        std::iter::from_fn(|| written.try_recv().ok()).map(|l| envelope::parse_one(&l, 8).unwrap()).collect();
    assert!(matches!(&lines[0], Message::Notification(n) if n.param("requestId") == Some(&json!(call.id))));
    assert!(matches!(&lines[1], Message::Response(r) if r.id == Some("ask".into())));
    assert!(mux.idle_for().is_some() && !mux.may_answer(1, &"ask".into()));
}
