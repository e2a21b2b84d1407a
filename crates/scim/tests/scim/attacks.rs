//! What a hostile or confused client must not achieve.

use sallyport_scim::{MAX_DEPTH, MAX_LENGTH, MAX_NODES, MAX_OPERATIONS, Method};
use serde_json::{Value, json};

use super::{Client, GROUP, USER, body, id, listed, refusal};

#[tokio::test]
async fn another_tenants_resources_do_not_exist() {
    let acme = Client::new();
    let evil = acme.tenant("evil");
    let user = acme.user("ann").await;
    let group = acme.group("staff", &[&user]).await;
    let mine = evil.user("ann").await;
    let my_group = evil.group("staff", &[&mine]).await;
    for target in [format!("/Users/{user}"), format!("/Groups/{group}")] {
        let put = json!({ "userName": "x", "displayName": "x" });
        let operation = json!([{ "op": "replace", "path": "externalId", "value": "x" }]);
        assert_eq!(refusal(&evil.get(&target).await), (404, None));
        assert_eq!(refusal(&evil.put(&target, &put).await), (404, None));
        assert_eq!(refusal(&evil.patch(&target, &operation).await), (404, None));
        assert_eq!(refusal(&evil.delete(&target).await), (404, None));
    }
    for filter in [format!("id eq \"{user}\""), "userName eq \"ann\"".into(), "userName pr".into()] {
        assert!(!listed(&evil.get(&format!("/?filter={filter}")).await, "id").contains(&user), "{filter}");
    }
    assert!(listed(&evil.get(&format!("/Groups?filter=members eq \"{user}\"")).await, "id").is_empty());
    // No foreign member, by any way in.
    let members = json!([{ "value": user }]);
    let add = evil
        .patch(&format!("/Groups/{my_group}"), &json!([{ "op": "add", "path": "members", "value": members }]))
        .await;
    assert_eq!(refusal(&add), (400, Some("invalidValue")));
    let post = evil.post("/Groups", &json!({ "schemas": [GROUP], "displayName": "g", "members": members })).await;
    assert_eq!(refusal(&post), (400, Some("invalidValue")));
    let put = evil.put(&format!("/Groups/{my_group}"), &json!({ "displayName": "g", "members": members })).await;
    assert_eq!(refusal(&put), (400, Some("invalidValue")));
    let bulk = json!({ "Operations": [{ "method": "DELETE", "path": format!("/Users/{user}") }] });
    assert_eq!(body(&evil.post("/Bulk", &bulk).await)["Operations"][0]["status"], "404");
    assert_eq!(acme.members_of(&group).await, [user.as_str()]);
    assert_eq!(evil.members_of(&my_group).await, [mine.as_str()]);
}

#[tokio::test]
async fn a_clients_id_is_never_taken() {
    let client = Client::new();
    let ann = client.user("ann").await;
    let sent =
        json!({ "schemas": [USER], "userName": "eve", "ID": ann, "meta": { "location": "https://evil.example" } });
    let eve = id(&client.post("/Users", &sent).await);
    assert_ne!(eve, ann);
    let put = json!({ "schemas": [USER], "id": ann, "userName": "eve2" });
    assert_eq!(body(&client.put(&format!("/Users/{eve}"), &put).await)["id"], json!(eve));
    assert_eq!(body(&client.get(&format!("/Users/{ann}")).await)["userName"], "ann");
}

#[tokio::test]
async fn one_name_in_two_cases_is_one_name() {
    let client = Client::new();
    client.user("Ann").await;
    client.group("Staff", &[]).await;
    let bob = client.user("bob").await;
    assert_eq!(refusal(&client.post("/Users", &json!({ "userName": "ANN" })).await), (409, Some("uniqueness")));
    assert_eq!(refusal(&client.post("/Groups", &json!({ "displayName": "STAFF" })).await), (409, Some("uniqueness")));
    let rename = json!([{ "op": "replace", "path": "userName", "value": "aNN" }]);
    assert_eq!(refusal(&client.patch(&format!("/Users/{bob}"), &rename).await), (409, Some("uniqueness")));
    let put = client.put(&format!("/Users/{bob}"), &json!({ "userName": "ann" })).await;
    assert_eq!(refusal(&put), (409, Some("uniqueness")));
}

#[tokio::test]
async fn a_number_is_never_somebodys_external_id() {
    let client = Client::new();
    let five = json!({ "userName": "five", "externalId": "5" });
    let user = id(&client.post("/Users", &five).await);
    for number in ["5", "5.0", "5e0", "true"] {
        let sent = format!(r#"{{"userName":"other","externalId":{number}}}"#);
        let answer = client.send(&Client::request(Method::Post, "/Users", &sent)).await;
        assert_eq!(refusal(&answer), (400, Some("invalidValue")), "{number}");
        let answer = client.get(&format!("/Users?filter=externalId eq {number}")).await;
        assert_eq!(refusal(&answer), (400, Some("invalidValue")), "{number}");
        let body = format!(r#"{{"Operations":[{{"op":"replace","path":"externalId","value":{number}}}]}}"#);
        let answer = client.send(&Client::request(Method::Patch, &format!("/Users/{user}"), &body)).await;
        assert_eq!(refusal(&answer), (400, Some("invalidValue")), "{number}");
    }
    assert_eq!(listed(&client.get("/Users?filter=externalId eq \"5\"").await, "id"), [user.as_str()]);
    assert_eq!(listed(&client.get("/Users?filter=externalId eq \"5.0\"").await, "id"), [""; 0]);
}

#[tokio::test]
async fn filter_bombs_are_invalid_filters_everywhere() {
    let client = Client::new();
    let user = client.user("a").await;
    let bombs = [
        format!("{}userName pr{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1)),
        format!("{}userName pr{}", "not (".repeat(400), ")".repeat(400)),
        vec!["title pr"; MAX_NODES + 1].join(" or "),
        format!("userName eq \"{}\"", "a".repeat(MAX_LENGTH)),
        "(".repeat(1_000_000),
        format!("emails[{}]", vec!["type pr"; MAX_NODES + 1].join(" and ")),
    ];
    for bomb in &bombs {
        assert_eq!(refusal(&client.get(&format!("/Users?filter={bomb}")).await), (400, Some("invalidFilter")));
        let search = json!({ "filter": bomb });
        assert_eq!(refusal(&client.post("/.search", &search).await), (400, Some("invalidFilter")));
        let operation = json!([{ "op": "remove", "path": format!("emails[{bomb}]") }]);
        assert_eq!(refusal(&client.patch(&format!("/Users/{user}"), &operation).await), (400, Some("invalidPath")));
    }
}

#[tokio::test]
async fn bodies_are_bounded_before_they_mean_anything() {
    let client = Client::new();
    let user = client.user("a").await;
    let path = format!("/Users/{user}");
    let send = |method, target: &str, body: String| {
        let (client, request) = (client.clone(), Client::request(method, target, &body));
        async move { client.send(&request).await }
    };
    let deep = format!("{}{}", "{\"a\":".repeat(5000), "1".to_owned() + &"}".repeat(5000));
    for (body, keyword) in [
        (deep, "invalidSyntax"),
        (r#"{"userName":"x","userName":"y"}"#.into(), "invalidSyntax"),
        (r#"{"userName":"x","active":false,"Active":true}"#.into(), "invalidSyntax"),
        ("[]".into(), "invalidSyntax"),
        ("\"x\"".into(), "invalidSyntax"),
        (String::new(), "invalidSyntax"),
        ("\u{0}".into(), "invalidSyntax"),
        (format!(r#"{{"userName":"x","title":"{}"}}"#, "x".repeat(70_000)), "invalidValue"),
    ] {
        assert_eq!(refusal(&send(Method::Post, "/Users", body.clone()).await), (400, Some(keyword)));
        assert_eq!(refusal(&send(Method::Put, &path, body).await), (400, Some(keyword)));
    }
    let large = " ".repeat(1024 * 1024 + 1);
    for target in ["/Users", "/Bulk", "/.search", "/Groups"] {
        assert_eq!(send(Method::Post, target, large.clone()).await.status, 413, "{target}");
    }
    let many = json!(vec![json!({ "op": "add", "path": "title", "value": "x" }); MAX_OPERATIONS + 1]);
    assert_eq!(refusal(&client.patch(&path, &many).await), (400, Some("invalidSyntax")));
    // Growth by many small steps ends at the same bounds.
    let emails: Vec<Value> =
        (0..300).map(|n| json!({ "op": "add", "path": "emails", "value": [{ "value": format!("{n}@x") }] })).collect();
    assert_eq!(refusal(&client.patch(&path, &json!(emails)).await), (400, Some("invalidValue")));
    let extensions: Vec<Value> =
        (0..9).map(|n| json!({ "op": "add", "path": format!("urn:e{n}:a"), "value": 1 })).collect();
    assert_eq!(refusal(&client.patch(&path, &json!(extensions)).await), (400, Some("invalidValue")));
    assert_eq!(client.get(&path).await.etag.as_deref(), Some("W/\"1\""));
}

#[tokio::test]
async fn a_password_is_nowhere_afterwards() {
    let client = Client::new();
    let secret = "t1meMa$heen";
    let sent = json!({ "userName": "a", "password": secret });
    let created = client.post("/Users", &sent).await;
    let path = format!("/Users/{}", id(&created));
    let put = client.put(&path, &sent).await;
    let operations = json!([
        { "op": "replace", "path": "password", "value": secret },
        { "op": "add", "value": { "PASSWORD": secret, (format!("{USER}:password")): secret } },
        { "op": "add", "path": format!("{USER}:Password"), "value": secret },
    ]);
    let patched = client.patch(&path, &operations).await;
    let asked = client.get(&format!("{path}?attributes=password")).await;
    for answer in [created, put, patched, asked] {
        assert!(answer.status < 300);
        assert!(!answer.body.unwrap().to_string().contains(secret));
    }
    let guess = client.get(&format!("/Users?filter=password eq \"{secret}\" or password pr")).await;
    assert_eq!(body(&guess)["totalResults"], 0, "no oracle");
    assert!(!format!("{:?}", client.directory.store()).contains(secret));
}

#[tokio::test]
async fn nobody_joins_a_group_through_a_user() {
    let client = Client::new();
    let group = client.group("admins", &[]).await;
    let groups = json!([{ "value": group }]);
    let created = client.post("/Users", &json!({ "userName": "eve", "groups": groups })).await;
    let path = format!("/Users/{}", id(&created));
    client.put(&path, &json!({ "userName": "eve", "GROUPS": groups })).await;
    client.patch(&path, &json!([{ "op": "add", "value": { "groups": groups, "title": "x" } }])).await;
    let explicit = client.patch(&path, &json!([{ "op": "add", "path": "groups", "value": groups }])).await;
    assert_eq!(refusal(&explicit), (400, Some("mutability")));
    assert_eq!(client.members_of(&group).await, [""; 0]);
    assert!(body(&client.get(&path).await).get("groups").is_none());
    let own = json!([{ "op": "add", "path": "members", "value": [{ "value": group }] }]);
    assert_eq!(refusal(&client.patch(&format!("/Groups/{group}"), &own).await), (400, Some("invalidValue")));
}

#[tokio::test]
async fn a_list_of_nobody_removes_nobody() {
    let client = Client::new();
    let user = client.user("a").await;
    let group = client.group("g", &[&user]).await;
    let path = format!("/Groups/{group}");
    let empty = json!([{ "op": "Remove", "path": "members", "value": [] }]);
    assert_eq!(client.patch(&path, &empty).await.status, 204);
    let null = json!([{ "op": "Remove", "path": "members", "value": null }]);
    assert_eq!(refusal(&client.patch(&path, &null).await), (400, Some("invalidValue")));
    assert_eq!(client.members_of(&group).await, [user.as_str()]);
    assert_eq!(client.patch(&path, &json!([{ "op": "Remove", "path": "members" }])).await.status, 204);
    assert_eq!(client.members_of(&group).await, [""; 0]);
}

#[tokio::test]
async fn a_store_that_is_down_changes_nothing_and_tells_nothing() {
    let client = Client::new();
    let path = format!("/Users/{}", client.user("a").await);
    client.directory.store().down = true;
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    for answer in [
        client.get(&path).await,
        client.patch(&path, &off).await,
        client.put(&path, &json!({ "userName": "b" })).await,
        client.delete(&path).await,
        client.post("/Users", &json!({ "userName": "c" })).await,
        client.get("/Users?filter=title pr").await,
        client.get("/Groups").await,
    ] {
        assert_eq!(refusal(&answer), (503, None));
        assert!(!body(&answer).to_string().contains("store is down"));
    }
    client.directory.store().down = false;
    assert_eq!(client.get(&path).await.etag.as_deref(), Some("W/\"1\""));
}

#[tokio::test]
async fn odd_ids_and_paths_are_not_found() {
    let client = Client::new();
    client.user("a").await;
    for segments in [
        vec!["Users", "../Groups"],
        vec!["Users", "a\0b"],
        vec!["Users", "%"],
        vec!["Users", "' or 1=1 --"],
        vec!["Users", "", "x"],
        vec!["Users", "a", ".search"],
        vec!["", "Users"],
        vec!["..", "Users"],
        vec!["Users\0"],
    ] {
        let request = sallyport_scim::Request::new(Method::Get, &segments);
        assert_eq!(refusal(&client.send(&request).await), (404, None), "{segments:?}");
    }
    let long = "x".repeat(100_000);
    assert_eq!(refusal(&client.get(&format!("/Users/{long}")).await), (404, None));
    assert!(body(&client.get(&format!("/Users/{long}")).await).to_string().len() < 400, "no echo of it all");
}

/// Each body is within the limit of a megabyte, and each was quadratic in some draft.
#[tokio::test]
async fn a_body_that_is_all_work_ends_soon() {
    let client = Client::new();
    let user = format!("/Users/{}", client.user("a").await);
    let mut members = Vec::new();
    for n in 0..200 {
        members.push(client.user(&format!("u{n}")).await);
    }
    let group = client.group("g", &members.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let group = format!("/Groups/{group}");
    let list = |count: usize, of: &dyn Fn(usize) -> Value| Value::Array((0..count).map(of).collect());
    let emails = |n: usize| list(90, &|m| json!({ "value": format!("{n}.{m}") }));
    let started = std::time::Instant::now();
    for (target, operations, status) in [
        (&user, list(500, &|n| json!({ "op": "add", "path": "emails", "value": emails(n) })), 400),
        (
            &user,
            list(1, &|_| json!({ "op": "add", "path": "urn:x:1:tags", "value": list(60_000, &|n| json!(n)) })),
            400,
        ),
        (&user, list(500, &|n| json!({ "op": "remove", "path": "emails", "value": emails(n) })), 200),
        (
            &user,
            list(500, &|n| json!({ "op": "add", "path": format!("emails[type eq \"{n}\"].value"), "value": "x" })),
            400,
        ),
        (&group, list(500, &|_| json!({ "op": "remove", "path": "members[type eq \"Group\"]" })), 400),
        (&group, list(500, &|_| json!({ "op": "replace", "path": "members", "value": [] })), 400),
        (
            &group,
            list(
                500,
                &|n| json!({ "op": "add", "path": "members", "value": list(80, &|m| json!(format!("{n}.{m}"))) }),
            ),
            400,
        ),
        (
            &group,
            list(
                500,
                &|n| json!({ "op": "remove", "path": "members", "value": list(80, &|m| json!(format!("{n}.{m}"))) }),
            ),
            204,
        ),
    ] {
        let body = json!({ "Operations": operations }).to_string();
        assert!(body.len() < 1024 * 1024, "{}", body.len());
        let answer = client.send(&Client::request(Method::Patch, target, &body)).await;
        assert_eq!(answer.status, status, "{:?}", answer.fault);
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}
