//! Lists: filters, order, pages, searches (RFC 7644 §3.4.2, §3.4.3).

use serde_json::json;

use super::{Client, GROUP, USER, body, id, listed, refusal};

async fn people(client: &Client, names: &[&str]) {
    for name in names {
        let title = if name.len() > 3 { json!(name.to_uppercase()) } else { json!(null) };
        let sent = json!({
            "schemas": [USER], "userName": name, "title": title,
            "emails": [{ "value": format!("{name}@second.example") }, { "value": format!("{name}@x"), "primary": true }],
        });
        id(&client.post("/Users", &sent).await);
    }
}

#[tokio::test]
async fn pages_cover_everything_once_and_in_one_order() {
    let client = Client::new();
    let names: Vec<String> = (0..23).map(|n| format!("user{n}")).collect();
    people(&client, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for suffix in ["", "&filter=userName sw \"user\"", "&sortBy=userName", "&sortBy=meta.created&sortOrder=descending"]
    {
        let mut seen = Vec::new();
        for start in [1, 11, 21, 31] {
            let page = client.get(&format!("/Users?startIndex={start}&count=10{suffix}")).await;
            assert_eq!(body(&page)["totalResults"], 23);
            assert_eq!(body(&page)["startIndex"], start);
            assert_eq!(body(&page)["itemsPerPage"], listed(&page, "id").len());
            seen.extend(listed(&page, "userName"));
        }
        let whole = listed(&client.get(&format!("/Users?count=200{suffix}")).await, "userName");
        assert_eq!(seen, whole, "{suffix}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 23, "{suffix}");
    }
}

#[tokio::test]
async fn start_and_count_are_read_as_section_3_4_2_4_says() {
    let mut client = Client::new();
    people(&client, &["a", "b", "c"]).await;
    for (query, start, on_page) in
        [("", 1, 3), ("?startIndex=0", 1, 3), ("?startIndex=-5&count=2", 1, 2), ("?count=0", 1, 0), ("?count=-1", 1, 0)]
    {
        let page = client.get(&format!("/Users{query}")).await;
        let numbers = (&body(&page)["startIndex"], &body(&page)["itemsPerPage"], &body(&page)["totalResults"]);
        assert_eq!(numbers, (&json!(start), &json!(on_page), &json!(3)), "{query}");
    }
    client.service.limits.page = 2;
    assert_eq!(body(&client.get("/Users?count=100000").await)["itemsPerPage"], 2, "the most there is");
    for query in ["startIndex=x", "count=1.5", "count=1&count=2", "sortOrder=up"] {
        assert_eq!(refusal(&client.get(&format!("/Users?{query}")).await), (400, Some("invalidValue")), "{query}");
    }
}

#[tokio::test]
async fn an_order_is_by_type_with_the_absent_last() {
    let client = Client::new();
    people(&client, &["Zoey", "adam", "Bob", "Ann"]).await;
    let sorted = |query: &str| {
        let (client, target) = (client.clone(), format!("/Users?{query}"));
        async move { listed(&client.get(&target).await, "userName") }
    };
    assert_eq!(sorted("sortBy=userName").await, ["adam", "Ann", "Bob", "Zoey"], "regardless of case");
    assert_eq!(sorted("sortBy=username&sortOrder=descending").await, ["Zoey", "Bob", "Ann", "adam"]);
    assert_eq!(sorted("sortBy=title").await[..2], ["adam", "Zoey"]);
    assert_eq!(sorted("sortBy=title&sortOrder=descending").await[2..], ["Zoey", "adam"]);
    assert_eq!(sorted("sortBy=emails").await, ["adam", "Ann", "Bob", "Zoey"], "by the primary value");
    assert_eq!(sorted("sortBy=meta.created").await, ["Zoey", "adam", "Bob", "Ann"]);
    assert_eq!(refusal(&client.get("/Users?sortBy=name").await), (400, Some("invalidFilter")));
    assert_eq!(refusal(&client.get("/Users?sortBy=nothing").await), (400, Some("invalidFilter")));
}

#[tokio::test]
async fn an_index_is_used_where_there_is_one() {
    let client = Client::new();
    people(&client, &["ann", "bob"]).await;
    let ann = listed(&client.get("/Users?filter=userName eq \"ann\"").await, "id").remove(0);
    let group = client.group("g", &[&ann]).await;
    for (target, expected) in [
        (format!("/Users?filter=id eq \"{ann}\""), &ann),
        ("/Users?filter=userName eq \"ANN\" and active eq true".to_owned(), &ann),
        (format!("/Users?filter={USER}:userName eq \"ann\""), &ann),
        ("/Groups?filter=displayName eq \"G\"".to_owned(), &group),
        (format!("/Groups?filter=members eq \"{ann}\""), &group),
        (format!("/Groups?filter=members[value eq \"{ann}\"]"), &group),
        (format!("/Groups?filter=members.value eq \"{ann}\" and displayName sw \"g\""), &group),
    ] {
        client.directory.store().calls.clear();
        assert_eq!(listed(&client.get(&target).await, "id"), [expected.as_str()], "{target}");
        assert_eq!(client.directory.store().calls.get("list"), None, "{target}");
    }
    // An index never widens the answer, and `or` never uses one.
    assert_eq!(listed(&client.get("/Users?filter=userName eq \"ann\" and active eq false").await, "id"), [""; 0]);
    let both = client.get("/Users?filter=userName eq \"ann\" or userName eq \"bob\"").await;
    assert_eq!(body(&both)["totalResults"], 2);
}

#[tokio::test]
async fn membership_can_be_filtered_by_from_both_ends() {
    let client = Client::new();
    let (ann, bob) = (client.user("ann").await, client.user("bob").await);
    let (one, two) = (client.group("one", &[&ann]).await, client.group("two", &[&ann, &bob]).await);
    let groups = |filter: String| {
        let client = client.clone();
        async move {
            let mut ids = listed(&client.get(&format!("/Groups?filter={filter}")).await, "id");
            ids.sort();
            ids
        }
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(groups(format!("members.value eq \"{bob}\"")).await, [two.as_str()]);
    assert_eq!(groups(format!("not (members.value eq \"{bob}\")")).await, [one.as_str()]);
    assert_eq!(groups(format!("members eq \"{ann}\" or members eq \"{bob}\"")).await, sorted(vec![one, two.clone()]));
    assert_eq!(groups(format!("members.value ne \"{ann}\"")).await, [two.as_str()], "one value differs");
    assert_eq!(groups("members[type eq \"Group\"]".into()).await, [""; 0]);
    let users = client.get("/Users?filter=groups.display eq \"TWO\" and groups[type eq \"direct\"]").await;
    assert_eq!(sorted(listed(&users, "id")), sorted(vec![ann, bob.clone()]));
    let users = client.get(&format!("/Users?filter=userName eq \"bob\" and groups eq \"{two}\"")).await;
    assert_eq!(listed(&users, "id"), [bob.as_str()]);
}

#[tokio::test]
async fn a_search_of_the_root_sees_both_kinds() {
    let client = Client::new();
    client.user("smith").await;
    client.group("Smith Family", &[]).await;
    let schemas = json!(["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]);
    // RFC 7644 figure 4, with a filter that both kinds can answer.
    let message = json!({
        "schemas": schemas, "attributes": ["displayName", "userName"],
        "filter": "displayName sw \"smith\" or userName sw \"smith\"", "startIndex": 1, "count": 10,
    });
    let both = client.post("/.search", &message).await;
    assert_eq!(body(&both)["totalResults"], 2);
    assert_eq!(listed(&both, "userName"), ["smith", ""]);
    assert_eq!(listed(&both, "displayName"), ["", "Smith Family"]);
    assert_eq!(body(&client.get("/").await)["totalResults"], 2);
    assert_eq!(listed(&client.get("/?startIndex=2").await, "displayName"), ["Smith Family"]);
    let only = client.get("/?filter=meta.resourceType eq \"Group\"").await;
    assert_eq!(listed(&only, "displayName"), ["Smith Family"]);
    assert_eq!(body(&only)["Resources"][0]["schemas"], json!([GROUP]));
    let users = client.post("/Users/.search", &json!({ "schemas": schemas, "sortBy": "userName" })).await;
    assert_eq!(listed(&users, "userName"), ["smith"]);
    let unknown = json!({ "schemas": schemas, "filter": "not (usrname pr)" });
    assert_eq!(refusal(&client.post("/.search", &unknown).await), (400, Some("invalidFilter")));
    for wrong in [json!({ "schemas": ["urn:x"] }), json!({ "count": "x" }), json!({ "attributes": [5] })] {
        assert_eq!(client.post("/.search", &wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_would_cost_too_much_is_too_many() {
    let mut client = Client::new();
    people(&client, &["a", "b", "c", "d", "e", "f"]).await;
    client.service.limits.scan = 5;
    assert_eq!(refusal(&client.get("/Users?filter=title pr").await), (400, Some("tooMany")));
    assert_eq!(refusal(&client.get("/Users?sortBy=title").await), (400, Some("tooMany")));
    assert_eq!(client.get("/Users?filter=userName eq \"a\"").await.status, 200);
    assert_eq!(client.get("/Users").await.status, 200);
    let users = listed(&client.get("/Users").await, "id");
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let large = client.group("large", &ids).await;
    client.group("small", &ids[..2]).await;
    client.service.limits.members = 4;
    assert_eq!(refusal(&client.get(&format!("/Groups/{large}")).await), (400, Some("tooMany")));
    assert_eq!(client.get(&format!("/Groups/{large}?excludedAttributes=members")).await.status, 200);
    client.service.limits.members = 6;
    let page = client.get("/Groups").await;
    assert_eq!((&body(&page)["totalResults"], &body(&page)["itemsPerPage"]), (&json!(2), &json!(1)), "a shorter page");
}
