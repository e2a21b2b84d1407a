//! Whatever a stranger writes: no panic, within the bounds, and what is kept keeps its promises.

use proptest::prelude::*;
use sallyport_scim::{Filter, MAX_LENGTH, Method, PatchPath};
use serde_json::{Value, json};

use super::{Client, body, id};

/// Pieces of filters, so that random texts get past the first byte.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" ".to_owned()),
        prop::sample::select(vec![
            "userName",
            "emails",
            "members",
            "value",
            "type",
            "not",
            "and",
            "or",
            "eq",
            "co",
            "pr",
            "gt",
            "(",
            ")",
            "[",
            "]",
            ".",
            "\"",
            "\\",
            "\"x\"",
            "\"a\\\"b\"",
            "5",
            "-1e9",
            "true",
            "null",
            "urn:a:2.0:User:",
            "meta.created",
            "$ref",
            "é",
            "\u{0}",
            "\t",
            ":",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn paths() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "userName",
        "externalId",
        "active",
        "title",
        "name",
        "name.givenName",
        "emails",
        "emails.value",
        "emails.primary",
        "emails[type eq \"work\"]",
        "emails[type eq \"work\"].value",
        "emails[primary eq true].display",
        "emails[value sw \"a\"]",
        "roles[primary eq \"True\"].value",
        "addresses[type eq \"home\"].country",
        "groups",
        "id",
        "password",
        "schemas",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        "urn:x:1:User:tag",
        "urn:x:1:User",
        "x509Certificates",
        "members",
        "nothing",
    ])
    .prop_map(str::to_owned)
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec!["", "a@x", "work", "True", "false", "x"]).prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "value",
        "type",
        "primary",
        "display",
        "givenName",
        "userName",
        "active",
        "emails",
        "name.familyName",
        "tag",
        "id",
    ]);
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn operations() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["add", "Replace", "remove"]);
    let operation = (op, prop::option::of(paths()), prop::option::of(values())).prop_map(|(op, path, value)| {
        let mut operation = json!({ "op": op });
        if let Some(path) = path {
            operation["path"] = json!(path);
        }
        if let Some(value) = value {
            operation["value"] = value;
        }
        operation
    });
    prop::collection::vec(operation, 1..6).prop_map(Value::from)
}

fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What every stored user fulfils, whatever was asked.
fn check_user(user: &Value) {
    assert!(user["userName"].as_str().is_some_and(|name| !name.is_empty()), "{user}");
    assert!(user.get("active").is_none_or(Value::is_boolean), "{user}");
    assert!(user.get("externalId").is_none_or(Value::is_string), "{user}");
    assert!(user.get("password").is_none() && user.get("groups").is_none(), "{user}");
    for (key, value) in user.as_object().unwrap() {
        assert!(!value.is_null() && *value != json!([]) && *value != json!({}), "{key} in {user}");
        let items = value.as_array().into_iter().flatten();
        assert!(items.filter(|item| item["primary"] == true).count() <= 1, "{key} in {user}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_parses_within_bounds_or_is_refused(text in prop_oneof![fragments(), ".{0,200}"]) {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert!(text.len() <= MAX_LENGTH);
            let written = filter.to_string();
            prop_assert_eq!(Filter::parse(&written).unwrap(), filter, "{}", written);
        }
        if let Ok(path) = PatchPath::parse(&text) {
            prop_assert_eq!(PatchPath::parse(&path.to_string()).unwrap(), path);
        }
    }

    #[test]
    fn a_query_is_answered_or_refused(filter in fragments(), sort in ".{0,12}", start in any::<i64>(), count in ".{0,5}") {
        now(async {
            let client = Client::new();
            let user = client.user("a").await;
            client.group("g", &[&user]).await;
            let mut request = sallyport_scim::Request::new(Method::Get, &[]);
            request.query = vec![
                ("filter".into(), filter), ("sortBy".into(), sort), ("startIndex".into(), start.to_string()),
                ("count".into(), count),
            ];
            request.query.retain(|(_, value)| !value.is_empty());
            let answer = client.send(&request).await;
            assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
        });
    }

    #[test]
    fn any_body_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..300), path in 0..5usize) {
        now(async {
            let client = Client::new();
            let paths: [&[&str]; 5] = [&["Users"], &["Groups"], &["Bulk"], &[".search"], &["Users", "x"]];
            let mut request = sallyport_scim::Request::new(Method::Post, paths[path]);
            request.body = bytes.into();
            assert!((400..500).contains(&client.send(&request).await.status));
        });
    }

    #[test]
    fn a_patch_keeps_the_resource_whole(steps in prop::collection::vec(operations(), 1..5)) {
        now(async {
            let client = Client::new();
            let sent = json!({
                "userName": "a", "emails": [{ "value": "a@x", "type": "work", "primary": true }, { "value": "b@x" }],
                "name": { "givenName": "A" },
            });
            let path = format!("/Users/{}", id(&client.post("/Users", &sent).await));
            let mut before = body(&client.get(&path).await).clone();
            for step in steps {
                let answer = client.patch(&path, &step).await;
                let after = body(&client.get(&path).await).clone();
                check_user(&after);
                match answer.status {
                    200 => assert_eq!(body(&answer), &after),
                    400 => assert_eq!(before, after, "{step}"),
                    other => panic!("{other} for {step}"),
                }
                before = after;
            }
        });
    }

    #[test]
    fn a_put_keeps_the_resource_whole(value in values(), user_name in "[a-z]{0,3}") {
        now(async {
            let client = Client::new();
            let path = format!("/Users/{}", client.user("a").await);
            let mut sent = match value {
                Value::Object(members) => Value::Object(members),
                other => json!({ "title": other.clone(), "emails": other.clone(), "active": other }),
            };
            sent["userName"] = json!(user_name);
            let answer = client.put(&path, &sent).await;
            assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
            let shown = body(&client.get(&path).await).clone();
            check_user(&shown);
        });
    }

    /// The efficient way of changing members comes to the same as doing it on the whole list.
    #[test]
    fn members_come_out_as_if_the_list_were_edited(
        start in prop::collection::btree_set(0..6usize, 0..6),
        steps in prop::collection::vec((0..4usize, prop::collection::btree_set(0..6usize, 0..4)), 1..6),
    ) {
        now(async {
            let client = Client::new();
            let mut users = Vec::new();
            for n in 0..6 {
                users.push(client.user(&format!("u{n}")).await);
            }
            let ids = |set: &std::collections::BTreeSet<usize>| set.iter().map(|n| users[*n].as_str()).collect::<Vec<_>>();
            let group = client.group("g", &ids(&start)).await;
            let mut expected = start;
            let mut operations = Vec::new();
            for (kind, set) in &steps {
                let value: Vec<Value> = ids(set).iter().map(|id| json!({ "value": id })).collect();
                match kind {
                    0 => {
                        operations.push(json!({ "op": "add", "path": "members", "value": value }));
                        expected.extend(set);
                    }
                    1 => {
                        operations.push(json!({ "op": "remove", "path": "members", "value": value }));
                        expected.retain(|n| !set.contains(n));
                    }
                    2 => {
                        operations.push(json!({ "op": "replace", "value": { "Members": value } }));
                        expected = set.clone();
                    }
                    _ => {
                        let either: Vec<String> = ids(set).iter().map(|id| format!("value eq \"{id}\"")).collect();
                        if !either.is_empty() {
                            let path = format!("members[{}]", either.join(" or "));
                            operations.push(json!({ "op": "remove", "path": path }));
                            expected.retain(|n| !set.contains(n));
                        }
                    }
                }
            }
            if !operations.is_empty() {
                assert_eq!(client.patch(&format!("/Groups/{group}"), &json!(operations)).await.status, 204);
            }
            let mut wanted: Vec<String> = expected.iter().map(|n| users[*n].clone()).collect();
            wanted.sort();
            assert_eq!(client.members_of(&group).await, wanted, "{operations:?}");
        });
    }
}
