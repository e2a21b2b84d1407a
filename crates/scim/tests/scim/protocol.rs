//! Reading, creating, changing and discovering, by the letter of RFC 7643 and 7644.

use sallyport_scim::Method;
use serde_json::{Value, json};

use super::{BASE, Client, ENTERPRISE, GROUP, USER, body, id, refusal};

#[tokio::test]
async fn a_created_resource_has_an_id_a_location_and_a_version() {
    let client = Client::new();
    let sent = json!({ "schemas": [USER], "id": "mine", "userName": "bjensen", "meta": { "created": "1999" } });
    let created = client.post("/Users", &sent).await;
    let user = id(&created);
    assert_ne!(user, "mine");
    let shown = body(&created);
    let location = format!("{BASE}/Users/{user}");
    assert_eq!(created.location.as_deref(), Some(location.as_str()));
    assert_eq!(created.etag.as_deref(), Some("W/\"1\""));
    assert_eq!(shown["meta"]["location"], json!(location));
    assert_eq!(shown["meta"]["version"], "W/\"1\"");
    assert_eq!(shown["meta"]["created"], "2023-11-14T22:13:20.001Z");
    assert_eq!(shown["active"], true, "a new user is active unless the client says otherwise");
    let quiet = client.post("/Users", &json!({ "userName": "off", "active": false })).await;
    assert_eq!(body(&quiet)["active"], false);
}

#[tokio::test]
async fn preconditions_are_held() {
    let client = Client::new();
    let path = format!("/Users/{}", client.user("a").await);
    let with = |method, header: &str, value: &str, body: &Value| {
        let mut request = Client::request(method, &path, &body.to_string());
        match header {
            "If-Match" => request.if_match = Some(value.to_owned()),
            _ => request.if_none_match = Some(value.to_owned()),
        }
        request
    };
    let fresh = client.send(&with(Method::Get, "If-None-Match", "W/\"1\"", &Value::Null)).await;
    assert_eq!((fresh.status, fresh.etag.as_deref()), (304, Some("W/\"1\"")));
    assert_eq!(client.send(&with(Method::Get, "If-None-Match", "W/\"0\"", &Value::Null)).await.status, 200);
    let put = json!({ "schemas": [USER], "userName": "b" });
    let stale = client.send(&with(Method::Put, "If-Match", "W/\"0\"", &put)).await;
    assert_eq!(refusal(&stale), (412, None));
    assert_eq!(client.send(&with(Method::Put, "If-Match", "W/\"1\"", &put)).await.etag.as_deref(), Some("W/\"2\""));
    assert_eq!(client.send(&with(Method::Delete, "If-Match", "W/\"1\"", &Value::Null)).await.status, 412);
    assert_eq!(client.send(&with(Method::Delete, "If-Match", "*", &Value::Null)).await.status, 204);
}

#[tokio::test]
async fn a_change_in_between_is_read_again_or_refused() {
    let client = Client::new();
    let path = format!("/Users/{}", client.user("a").await);
    let title = json!([{ "op": "add", "path": "title", "value": "Guide" }]);
    client.directory.store().conflicts = 2;
    assert_eq!(client.patch(&path, &title).await.status, 200, "applied to the latest");
    client.directory.store().conflicts = 99;
    let other = json!([{ "op": "add", "path": "title", "value": "Other" }]);
    assert_eq!(refusal(&client.patch(&path, &other).await), (409, None));
    client.directory.store().conflicts = 1;
    let now = client.get(&path).await.etag.unwrap();
    let mut request = Client::request(Method::Patch, &path, &json!({ "Operations": other }).to_string());
    request.if_match = Some(now);
    assert_eq!(refusal(&client.send(&request).await), (412, None), "the client meant the one that it had read");
}

#[tokio::test]
async fn what_changes_nothing_leaves_the_resource_alone() {
    let client = Client::new();
    let user = client.user("a").await;
    let group = client.group("g", &[&user]).await;
    let (user_path, group_path) = (format!("/Users/{user}"), format!("/Groups/{group}"));
    client.patch(&user_path, &json!([{ "op": "replace", "path": "active", "value": true }])).await;
    client.put(&user_path, &json!({ "schemas": [USER], "userName": "a", "active": true })).await;
    client.patch(&group_path, &json!([{ "op": "add", "path": "members", "value": [{ "value": user }] }])).await;
    client.patch(&group_path, &json!([{ "op": "remove", "path": "members[value eq \"nobody\"]" }])).await;
    client.patch(&group_path, &json!([{ "op": "replace", "path": "members", "value": [{ "value": user }] }])).await;
    assert_eq!(client.directory.store().calls.get("replace"), None);
    assert_eq!(client.get(&user_path).await.etag.as_deref(), Some("W/\"1\""));
}

#[tokio::test]
async fn adding_one_to_a_large_group_reads_no_members() {
    let client = Client::new();
    let mut members = Vec::new();
    for n in 0..60 {
        members.push(client.user(&format!("u{n}")).await);
    }
    let group = client.group("large", &members[1..].iter().map(String::as_str).collect::<Vec<_>>()).await;
    client.directory.store().calls.clear();
    let swap = json!([
        { "op": "add", "path": "members", "value": [{ "value": members[0] }] },
        { "op": "remove", "path": format!("members[value eq \"{}\" or value eq \"{}\"]", members[5], members[6]) },
    ]);
    assert_eq!(client.patch(&format!("/Groups/{group}"), &swap).await.status, 204);
    assert_eq!(client.directory.store().calls.get("members"), None);
    assert_eq!(client.members_of(&group).await.len(), 58);
}

#[tokio::test]
async fn a_put_neither_gives_nor_takes_access_by_silence() {
    let client = Client::new();
    let path = format!("/Users/{}", client.user("a").await);
    let silent = json!({ "schemas": [USER], "userName": "a", "title": "x" });
    assert_eq!(body(&client.put(&path, &silent).await)["active"], true);
    client.patch(&path, &json!([{ "op": "replace", "path": "active", "value": false }])).await;
    assert_eq!(body(&client.put(&path, &silent).await)["active"], false);
}

#[tokio::test]
async fn removing_active_ends_access() {
    let client = Client::new();
    let user = client.user("a").await;
    let shown = client.patch(&format!("/Users/{user}"), &json!([{ "op": "remove", "path": "active" }])).await;
    assert!(body(&shown).get("active").is_none());
    assert_eq!(client.directory.store().acts, [format!("deactivated {user}")]);
}

#[tokio::test]
async fn patch_follows_section_3_5_2() {
    let client = Client::new();
    let path = format!("/Users/{}", client.user("a").await);
    let steps = [
        (
            json!({ "op": "add", "path": "emails", "value": [{ "value": "a@x", "type": "work", "primary": true }] }),
            json!([{ "value": "a@x", "type": "work", "primary": true }]),
        ),
        // A new primary value resets the old one; one that is there already is not added again.
        (
            json!({ "op": "add", "value": { "emails": [{ "value": "b@x", "type": "home", "primary": true }] } }),
            json!([{ "value": "a@x", "type": "work", "primary": false }, { "value": "b@x", "type": "home", "primary": true }]),
        ),
        (
            json!({ "op": "add", "path": "emails", "value": { "value": "b@x", "type": "home", "primary": true } }),
            json!([{ "value": "a@x", "type": "work", "primary": false }, { "value": "b@x", "type": "home", "primary": true }]),
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\"].primary", "value": true }),
            json!([{ "value": "a@x", "type": "work", "primary": true }, { "value": "b@x", "type": "home", "primary": false }]),
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\"]", "value": { "value": "c@x" } }),
            json!([{ "value": "c@x", "type": "work" }, { "value": "b@x", "type": "home", "primary": false }]),
        ),
        (
            json!({ "op": "remove", "path": "emails[type eq \"home\"].primary" }),
            json!([{ "value": "c@x", "type": "work" }, { "value": "b@x", "type": "home" }]),
        ),
        (json!({ "op": "remove", "path": "emails[value eq \"c@x\"]" }), json!([{ "value": "b@x", "type": "home" }])),
        (
            json!({ "op": "add", "path": "emails.display", "value": "B" }),
            json!([{ "value": "b@x", "type": "home", "display": "B" }]),
        ),
        (json!({ "op": "replace", "path": "EMAILS", "value": [{ "VALUE": "d@x" }] }), json!([{ "value": "d@x" }])),
        (json!({ "op": "remove", "path": "emails", "value": [{ "value": "d@x" }] }), Value::Null),
    ];
    for (step, expected) in steps {
        let answer = client.patch(&path, &json!([step])).await;
        assert_eq!(body(&answer)["emails"], expected, "{step}");
    }
    let name = json!([
        { "op": "add", "path": "name", "value": { "givenName": "A", "familyName": "B" } },
        { "op": "replace", "path": "name", "value": { "familyName": "C" } },
        { "op": "replace", "path": format!("{USER}:name.middleName"), "value": "M" },
        { "op": "remove", "path": "name.givenName" },
        { "op": "replace", "path": ENTERPRISE, "value": { "department": "Tour", "manager": { "value": "m" } } },
        { "op": "replace", "path": format!("{ENTERPRISE}:costCenter"), "value": "4130" },
    ]);
    let answer = client.patch(&path, &name).await;
    assert_eq!(body(&answer)["name"], json!({ "familyName": "C", "middleName": "M" }), "the other parts stay");
    assert_eq!(
        body(&answer)[ENTERPRISE],
        json!({ "department": "Tour", "manager": { "value": "m" }, "costCenter": "4130" })
    );
    let gone = client.patch(&path, &json!([{ "op": "remove", "path": ENTERPRISE }])).await;
    assert_eq!(body(&gone)["schemas"], json!([USER]));
}

#[tokio::test]
async fn a_patch_that_cannot_be_is_refused_whole() {
    let client = Client::new();
    let path = format!("/Users/{}", client.user("a").await);
    let before = body(&client.get(&path).await).clone();
    for (operation, keyword) in [
        (json!({ "op": "remove" }), "noTarget"),
        (json!({ "op": "move", "path": "title" }), "invalidSyntax"),
        (json!({ "op": "add", "path": "title" }), "invalidValue"),
        (json!({ "op": "add", "value": "x" }), "invalidValue"),
        (json!({ "op": "add", "path": "titel", "value": "x" }), "invalidPath"),
        (json!({ "op": "add", "path": "emails[", "value": "x" }), "invalidPath"),
        (json!({ "op": "add", "path": 5, "value": "x" }), "invalidPath"),
        (json!({ "op": "add", "path": "title[value eq \"x\"]", "value": "x" }), "invalidPath"),
        (json!({ "op": "add", "path": "emails[kind eq \"x\"].value", "value": "x" }), "invalidFilter"),
        (json!({ "op": "replace", "path": "emails[type eq \"x\"]", "value": { "value": "x" } }), "noTarget"),
        (json!({ "op": "replace", "path": "emails[value sw \"x\"].type", "value": "x" }), "noTarget"),
        (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "x" }] }), "mutability"),
        (json!({ "op": "replace", "path": "meta.created", "value": "x" }), "mutability"),
        (json!({ "op": "remove", "path": "userName" }), "mutability"),
        (json!({ "op": "replace", "path": "userName", "value": null }), "mutability"),
        (json!({ "op": "replace", "path": "userName", "value": "" }), "invalidValue"),
        (json!({ "op": "replace", "path": "externalId", "value": 5 }), "invalidValue"),
        (json!({ "op": "replace", "path": "active", "value": "maybe" }), "invalidValue"),
        (json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager.displayName"), "value": "x" }), "mutability"),
    ] {
        let operations = json!([{ "op": "add", "path": "title", "value": "half done" }, operation]);
        assert_eq!(refusal(&client.patch(&path, &operations).await), (400, Some(keyword)), "{operation}");
    }
    assert_eq!(refusal(&client.patch(&path, &json!([])).await), (400, Some("invalidSyntax")));
    assert_eq!(body(&client.get(&path).await), &before, "nothing was half done");
    let group = format!("/Groups/{}", client.group("g", &[]).await);
    for operation in [
        json!({ "op": "replace", "path": "members[value eq \"x\"].value", "value": "y" }),
        json!({ "op": "add", "path": "members.value", "value": "y" }),
        json!({ "op": "remove", "path": "displayName" }),
    ] {
        assert_eq!(refusal(&client.patch(&group, &json!([operation])).await), (400, Some("mutability")), "{operation}");
    }
}

#[tokio::test]
async fn members_are_selected_by_other_filters_too() {
    let client = Client::new();
    let user = client.user("a").await;
    let inner = client.group("inner", &[]).await;
    let outer = client.group("outer", &[&user, &inner]).await;
    let path = format!("/Groups/{outer}");
    let shown = client.get(&path).await;
    let kinds: Vec<_> = body(&shown)["members"].as_array().unwrap().iter().map(|m| m["type"].clone()).collect();
    assert!(kinds.contains(&json!("User")) && kinds.contains(&json!("Group")));
    client.patch(&path, &json!([{ "op": "remove", "path": "members[type eq \"Group\"]" }])).await;
    assert_eq!(client.members_of(&outer).await, [user.as_str()]);
    let shown = client.get(&format!("/Users/{user}")).await;
    assert_eq!(
        body(&shown)["groups"],
        json!([{ "value": outer, "$ref": format!("{BASE}/Groups/{outer}"), "display": "outer", "type": "direct" }])
    );
    let answer =
        client.patch(&format!("{path}?attributes=members"), &json!([{ "op": "remove", "path": "members" }])).await;
    assert_eq!((answer.status, body(&answer).get("members")), (200, None), "`attributes` asks for the resource");
}

#[tokio::test]
async fn unknown_extensions_are_kept_and_patched() {
    let client = Client::new();
    let urn = "urn:acme:2.0:User";
    let sent = json!({ "schemas": [USER, urn], "userName": "a", (urn): { "Cost": { "Code": 5 }, "tags": ["x"] } });
    let path = format!("/Users/{}", id(&client.post("/Users", &sent).await));
    let steps = json!([
        { "op": "replace", "path": format!("{urn}:cost.code"), "value": 6 },
        { "op": "add", "path": format!("{urn}:tags"), "value": ["y", "x"] },
        { "op": "add", "path": "urn:acme:2.0:Other", "value": { "a": true } },
        { "op": "replace", "value": { (urn): { "more": "z" } } },
    ]);
    let answer = client.patch(&path, &steps).await;
    assert_eq!(body(&answer)[urn], json!({ "Cost": { "Code": 6 }, "tags": ["x", "y"], "more": "z" }));
    assert_eq!(body(&answer)["urn:acme:2.0:Other"], json!({ "a": true }));
    assert_eq!(body(&answer)["schemas"], json!([USER, urn, "urn:acme:2.0:Other"]));
}

#[tokio::test]
async fn discovery_says_what_is_so() {
    let client = Client::new();
    let config = client.get("/ServiceProviderConfig").await;
    let config = body(&config);
    for (feature, supported) in [("patch", true), ("bulk", true), ("filter", true), ("sort", true), ("etag", true)] {
        assert_eq!(config[feature]["supported"], supported, "{feature}");
    }
    assert_eq!(config["changePassword"]["supported"], false);
    assert_eq!((&config["bulk"]["maxOperations"], &config["bulk"]["maxPayloadSize"]), (&json!(100), &json!(1_048_576)));
    assert_eq!(config["filter"]["maxResults"], 200);
    let types = client.get("/ResourceTypes").await;
    assert_eq!(body(&types)["totalResults"], 2);
    assert_eq!(body(&types)["Resources"][0]["schemaExtensions"], json!([{ "schema": ENTERPRISE, "required": false }]));
    let schemas = client.get("/schemas").await;
    for schema in body(&schemas)["Resources"].as_array().unwrap() {
        let one = client.get(&format!("/Schemas/{}", schema["id"].as_str().unwrap())).await;
        assert_eq!(body(&one), schema);
    }
    assert_eq!(body(&client.get("/ResourceTypes/Group").await)["schema"], GROUP);
    for nothing in ["/ResourceTypes/Robot", "/Schemas/urn:x", "/Robots", "/Users/a/b", "/Robots/1"] {
        assert_eq!(refusal(&client.get(nothing).await), (404, None), "{nothing}");
    }
    assert_eq!(refusal(&client.get("/Schemas?filter=id pr").await), (403, None));
    assert_eq!(refusal(&client.get("/Me").await), (501, None));
}

#[tokio::test]
async fn a_method_that_an_endpoint_lacks_is_405_with_what_it_has() {
    let client = Client::new();
    for (method, target, allow) in [
        (Method::Post, "/ServiceProviderConfig", "GET"),
        (Method::Delete, "/Schemas", "GET"),
        (Method::Put, "/Users", "GET, POST"),
        (Method::Post, "/Users/x", "GET, PUT, PATCH, DELETE"),
        (Method::Other, "/Users/x", "GET, PUT, PATCH, DELETE"),
        (Method::Get, "/Bulk", "POST"),
        (Method::Get, "/Users/.search", "POST"),
    ] {
        let answer = client.call(method, target, &Value::Null).await;
        assert_eq!((answer.status, answer.allow), (405, Some(allow)), "{target}");
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_returned() {
    let client = Client::new();
    let sent = json!({
        "schemas": [USER, ENTERPRISE], "userName": "a", "title": "T", "name": { "givenName": "G", "familyName": "F" },
        "emails": [{ "value": "a@x", "type": "work" }, { "value": "b@x" }],
        (ENTERPRISE): { "department": "D", "costCenter": "C" },
    });
    let user = id(&client.post("/Users", &sent).await);
    let path = format!("/Users/{user}");
    let shown = |target: String| {
        let client = client.clone();
        async move { body(&client.get(&target).await).clone() }
    };
    let schemas = json!([USER, ENTERPRISE]);
    assert_eq!(
        shown(format!("{path}?attributes=USERNAME, nothing")).await,
        json!({ "schemas": schemas, "id": user, "userName": "a" })
    );
    assert_eq!(
        shown(format!("{path}?attributes=name.givenName,emails.value,emails.type,{ENTERPRISE}:department")).await,
        json!({
            "schemas": schemas, "id": user, "name": { "givenName": "G" },
            "emails": [{ "value": "a@x", "type": "work" }, { "value": "b@x" }], (ENTERPRISE): { "department": "D" },
        })
    );
    let without = shown(format!("{path}?excludedAttributes=id,title,emails,name.givenName,meta,{ENTERPRISE}")).await;
    assert_eq!(
        without,
        json!({ "schemas": schemas, "id": user, "userName": "a", "name": { "familyName": "F" }, "active": true })
    );
    let both = client.get(&format!("{path}?attributes=title&excludedAttributes=name")).await;
    assert_eq!(refusal(&both), (400, Some("invalidValue")));
}
