//! Trails that are good, partial and lying.

use sallyport_model::Timestamp;
use serde_json::{Value, json};

use super::*;

const START: u64 = 1_795_435_200_000;

fn bout(from: u64, served: usize, refused: usize) -> Bout {
    Bout { span: (START + from, START + from + 200), served, refused, exchanges: vec![1] }
}

fn bouts() -> Bouts {
    Bouts {
        began: Timestamp::from_millis(START),
        tool: "read_ticket".to_owned(),
        subject: vec!["ann".to_owned()],
        plain: bout(0, 3, 0),
        announced: bout(3000, 2, 0),
        stranger: bout(4500, 0, 1),
        refused: bout(6000, 0, 1),
        no_tool: "sallyport_no_such_tool_1".to_owned(),
        secret_call: bout(9000, 1, 0),
        secret: "ghp_abcdefghijkmnpqrstuvwxyzABCDEFGHabcd".to_owned(),
        secret_tool: "echo".to_owned(),
        secret_argument: "text".to_owned(),
        marker: "sallyport-m".to_owned(),
        agent: Some(bout(12_000, 1, 0)),
    }
}

fn entry(at: u64, who: &str, kind: &str, tool: &str, status: &str) -> Value {
    json!({"time": Timestamp::from_millis(START + at).to_string(), "user": who, "actor": {"type": kind}, "tool": tool,
           "arguments": {"id": 1}, "status": status})
}

fn good() -> Vec<Value> {
    let mut all: Vec<Value> =
        [10, 60, 110, 3010, 3060].iter().map(|at| entry(*at, "ann", "human", "read_ticket", "ok")).collect();
    all.push(entry(6100, "ann", "human", "sallyport_no_such_tool_1", "refused"));
    all.push(entry(9010, "ann", "human", "echo", "ok"));
    all.push(entry(12_010, "nightly", "agent", "read_ticket", "ok"));
    all
}

fn judged(entries: &[Value]) -> Vec<(&'static str, Option<bool>)> {
    judged_with(&bouts(), entries)
}

fn judged_with(bouts: &Bouts, entries: &[Value]) -> Vec<(&'static str, Option<bool>)> {
    let text = Value::Array(entries.to_vec()).to_string();
    let judgement = Judgement::of(bouts, &Trail::read(text.as_bytes()), text.as_bytes());
    judgement.verdicts.into_iter().map(|(check, verdict)| (check, verdict.held)).collect()
}

fn held(entries: &[Value], check: &str) -> Option<bool> {
    judged(entries).into_iter().find(|(id, _)| *id == check).and_then(|(_, held)| held)
}

#[test]
fn a_good_trail_holds_in_everything() {
    assert!(judged(&good()).iter().all(|(_, held)| *held == Some(true)), "{:?}", judged(&good()));
    let text = Value::Array(good()).to_string();
    assert!(Judgement::of(&bouts(), &Trail::read(text.as_bytes()), text.as_bytes()).is_settled());
}

#[test]
fn times_cut_to_seconds_still_hold() {
    let cut: Vec<Value> = good()
        .into_iter()
        .map(|mut entry| {
            let time = entry["time"].as_str().unwrap().split('.').next().unwrap().to_owned() + "Z";
            // Every bout of this test begins at a whole second.
            entry["time"] = json!(time);
            entry
        })
        .collect();
    assert!(judged(&cut).iter().all(|(_, held)| *held == Some(true)), "{:?}", judged(&cut));
}

#[test]
fn a_trail_that_shows_only_what_announced_itself_is_seen() {
    let lying: Vec<Value> = good().into_iter().skip(3).collect();
    assert_eq!(held(&lying, "audit-calls"), Some(true));
    assert_eq!(held(&lying, "audit-complete"), Some(false));
    // Two entries a call do not hide it.
    let twice: Vec<Value> = lying.iter().chain(&lying).cloned().collect();
    assert_eq!(held(&twice, "audit-complete"), Some(false));
    let mut most = good();
    most.remove(0);
    assert_eq!(held(&most, "audit-complete"), Some(false));
}

#[test]
fn two_entries_a_call_are_as_good_as_one() {
    let twice: Vec<Value> = good().iter().chain(&good()).cloned().collect();
    assert!(judged(&twice).iter().all(|(_, held)| *held == Some(true)));
}

#[test]
fn each_thing_that_is_missing_fails_its_own_check() {
    assert_eq!(held(&[], "audit-calls"), Some(false));
    assert_eq!(held(&good()[..3], "audit-calls"), Some(false), "of another time");
    let without = |tool: &str| good().into_iter().filter(|entry| entry["tool"] != tool).collect::<Vec<_>>();
    assert_eq!(held(&without("sallyport_no_such_tool_1"), "audit-refusals"), Some(false));
    assert_eq!(held(&without("echo"), "audit-sanitised"), None);
    let mut leaky = good();
    leaky[6]["arguments"] = json!({"text": "sallyport-m token=ghp_abcdefghijkmnpqrstuvwxyzABCDEFGHabcd"});
    assert_eq!(held(&leaky, "audit-sanitised"), Some(false));
    let mut same = good();
    same[7]["actor"] = json!({"type": "human"});
    assert_eq!(held(&same, "audit-human-agent"), Some(false));
    let poor: Vec<Value> =
        good().into_iter().map(|entry| json!({"time": entry["time"], "tool": entry["tool"]})).collect();
    assert_eq!(held(&poor, "audit-fields"), Some(false));
}

#[test]
fn a_strangers_refusal_stands_for_nobody_elses() {
    let refusal = |at: u64, who: Value| {
        let mut some: Vec<Value> = good().into_iter().filter(|e| e["tool"] != "sallyport_no_such_tool_1").collect();
        let time = Timestamp::from_millis(START + at).to_string();
        some.push(json!({"time": time, "event": "request", "user": who, "status": 403, "count": 1}));
        some
    };
    assert_eq!(held(&refusal(4550, Value::Null), "audit-refusals"), Some(false), "of the token that is none");
    assert_eq!(held(&refusal(6050, Value::Null), "audit-refusals"), Some(false), "of the time of her call, not hers");
    assert_eq!(held(&refusal(6050, json!("ann")), "audit-refusals"), Some(true), "without the tool");
    let nobody = Bouts { subject: Vec::new(), ..bouts() };
    assert!(judged_with(&nobody, &refusal(6050, Value::Null)).contains(&("audit-refusals", Some(true))));
    let served = Bouts { refused: bout(6000, 1, 0), ..bouts() };
    assert!(judged_with(&served, &refusal(4550, Value::Null)).contains(&("audit-refusals", Some(true))));
    assert!(judged_with(&served, &refusal(6050, json!("ann"))).contains(&("audit-refusals", Some(false))));
}

#[test]
fn a_call_without_its_parameters_is_seen() {
    let mut bare = good();
    for entry in &mut bare {
        entry["arguments"] = json!({});
        entry["request_bytes"] = json!(91);
    }
    assert_eq!(held(&bare, "audit-fields"), Some(false), "the call of `echo` had one");
    bare[6]["arguments"] = json!({"text": "sallyport-m token=[key]"});
    assert_eq!(held(&bare, "audit-fields"), Some(true));
}

#[test]
fn without_an_agent_a_mark_on_the_person_is_enough() {
    let alone = Bouts { agent: None, ..bouts() };
    let mark = |entries: &[Value]| {
        judged_with(&alone, entries).into_iter().find(|(id, _)| *id == "audit-human-agent").and_then(|(_, h)| h)
    };
    assert_eq!(mark(&good()), Some(true));
    let bare: Vec<Value> = good()
        .into_iter()
        .map(|mut entry| {
            entry["actor"] = json!({"id": 7});
            entry
        })
        .collect();
    assert_eq!(mark(&bare), Some(false));
}
