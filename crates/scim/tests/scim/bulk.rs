//! Bulk requests (RFC 7644 §3.7).

use serde_json::{Value, json};

use super::{BASE, Client, ENTERPRISE, GROUP, USER, body, listed, refusal};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

fn request(operations: Value) -> Value {
    json!({ "schemas": [BULK], "Operations": operations })
}

fn statuses(answer: &sallyport_scim::Response) -> Vec<String> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let results = body(answer)["Operations"].as_array().unwrap();
    results.iter().map(|result| result["status"].as_str().unwrap().to_owned()).collect()
}

/// RFC 7644 §3.7.2: Alice and her group, and Bob whose manager she is.
#[tokio::test]
async fn a_bulk_id_stands_for_what_is_created_in_the_same_request() {
    let client = Client::new();
    let answer = client
        .post(
            "/Bulk",
            &request(json!([
                { "method": "POST", "path": "/Groups", "bulkId": "ytrewq", "data": {
                    "schemas": [GROUP], "displayName": "Tour Guides",
                    "members": [{ "type": "User", "value": "bulkId:qwerty" }],
                } },
                { "method": "POST", "path": "/Users", "bulkId": "qwerty",
                  "data": { "schemas": [USER], "userName": "Alice" } },
                { "method": "POST", "path": "/Users", "bulkId": "bob", "data": {
                    "schemas": [USER, ENTERPRISE], "userName": "Bob",
                    (ENTERPRISE): { "employeeNumber": "11250", "manager": { "value": "bulkId:qwerty" } },
                } },
                { "method": "PATCH", "path": "/Users/bulkId:bob",
                  "data": { "Operations": [{ "op": "add", "path": "title", "value": "Guide" }] } },
            ])),
        )
        .await;
    assert_eq!(statuses(&answer), ["201", "201", "201", "200"]);
    let results = &body(&answer)["Operations"];
    assert_eq!((&results[0]["bulkId"], &results[0]["version"]), (&json!("ytrewq"), &json!("W/\"1\"")));
    let alice = listed(&client.get("/Users?filter=userName eq \"alice\"").await, "id").remove(0);
    assert_eq!(results[1]["location"], json!(format!("{BASE}/Users/{alice}")));
    let group = listed(&client.get("/Groups").await, "id").remove(0);
    assert_eq!(client.members_of(&group).await, [alice.as_str()]);
    let bob = client.get("/Users?filter=userName eq \"bob\"").await;
    let bob = &body(&bob)["Resources"][0];
    assert_eq!(bob[ENTERPRISE]["manager"]["value"], json!(alice));
    assert_eq!(bob["title"], "Guide");
}

/// RFC 7644 §3.7.1.
#[tokio::test]
async fn groups_that_hold_each_other_are_both_created() {
    let client = Client::new();
    let group = |id: &str, name: &str, other: &str| {
        json!({ "method": "POST", "path": "/Groups", "bulkId": id, "data": {
            "schemas": [GROUP], "displayName": name, "members": [{ "type": "Group", "value": format!("bulkId:{other}") }],
        } })
    };
    let answer = client
        .post("/Bulk", &request(json!([group("qwerty", "Group A", "ytrewq"), group("ytrewq", "Group B", "qwerty")])))
        .await;
    assert_eq!(statuses(&answer), ["201", "201"]);
    let all = client.get("/Groups?sortBy=displayName").await;
    let ids = listed(&all, "id");
    assert_eq!(client.members_of(&ids[0]).await, [ids[1].as_str()]);
    assert_eq!(client.members_of(&ids[1]).await, [ids[0].as_str()]);
    // A circle through managers cannot be broken.
    let user = |id: &str, other: &str| {
        json!({ "method": "POST", "path": "/Users", "bulkId": id, "data": {
            "userName": id, (ENTERPRISE): { "manager": { "value": format!("bulkId:{other}") } },
        } })
    };
    let answer = client.post("/Bulk", &request(json!([user("a", "b"), user("b", "a")]))).await;
    assert_eq!(statuses(&answer)[0], "409");
    assert_eq!(body(&client.get("/Users").await)["totalResults"], 0);
}

/// RFC 7644 §3.7.3.
#[tokio::test]
async fn each_operation_has_its_result_and_errors_are_counted() {
    let client = Client::new();
    let (one, two, three) = (client.user("one").await, client.user("two").await, client.user("three").await);
    let operations = json!([
        { "method": "POST", "path": "/Users", "bulkId": "q", "data": { "schemas": [USER], "userName": "" } },
        { "method": "PUT", "path": format!("/Users/{one}"), "version": "W/\"9\"", "data": { "userName": "Bob" } },
        { "method": "patch", "path": format!("/Users/{two}"), "version": "W/\"1\"",
          "data": { "Operations": [{ "op": "add", "path": "title", "value": "x" }] } },
        { "method": "DELETE", "path": format!("/Users/{three}") },
        { "method": "DELETE", "path": "/Users/nobody" },
        { "method": "POST", "path": "/Users", "bulkId": "z", "data": { "userName": "z",
          (ENTERPRISE): { "manager": { "value": "bulkId:q" } } } },
        { "method": "DELETE", "path": "/Robots/5" },
    ]);
    let answer = client.post("/Bulk", &request(operations.clone())).await;
    assert_eq!(statuses(&answer), ["400", "412", "200", "204", "404", "400", "404"]);
    let results = &body(&answer)["Operations"];
    assert!(results[0].get("location").is_none(), "a failed POST has none");
    assert_eq!(results[0]["response"]["scimType"], "invalidValue");
    assert_eq!(results[1]["location"], json!(format!("{BASE}/Users/{one}")));
    assert_eq!(results[3]["location"], json!(format!("{BASE}/Users/{three}")));
    assert_eq!(results[4]["response"]["status"], "404");
    let mut limited = request(operations);
    limited["failOnErrors"] = json!(2);
    assert_eq!(statuses(&client.post("/Bulk", &limited).await), ["400", "412"], "no more after the second error");
}

#[tokio::test]
async fn limits_and_malformed_requests() {
    let mut client = Client::new();
    let delete = json!({ "method": "DELETE", "path": "/Users/x" });
    let many = request(Value::Array(vec![delete.clone(); 101]));
    let answer = client.post("/Bulk", &many).await;
    assert_eq!(answer.status, 413);
    assert!(body(&answer)["detail"].as_str().unwrap().contains("maxOperations (100)"));
    assert_eq!(statuses(&client.post("/Bulk", &request(Value::Array(vec![delete; 100]))).await).len(), 100);
    let post = |id: Value| json!({ "method": "POST", "path": "/Users", "bulkId": id, "data": { "userName": "a" } });
    for wrong in [
        json!({ "schemas": ["urn:x"], "Operations": [] }),
        json!({ "schemas": [BULK] }),
        request(json!([post(json!("a")), post(json!("a"))])),
        request(json!([post(Value::Null)])),
        request(json!([post(json!(5))])),
        request(json!([{ "method": "GET", "path": "/Users/x" }])),
        request(json!([{ "method": "PUT", "path": "/Users/x" }])),
        request(json!([{ "method": "DELETE" }])),
        request(json!([5])),
    ] {
        assert_eq!(refusal(&client.post("/Bulk", &wrong).await), (400, Some("invalidSyntax")), "{wrong}");
    }
    let nested = request(json!([
        { "method": "POST", "path": "/Bulk", "bulkId": "b", "data": request(json!([])) },
        { "method": "POST", "path": "/Users/.search", "bulkId": "c", "data": {} },
    ]));
    assert_eq!(statuses(&client.post("/Bulk", &nested).await), ["404", "400"], "resources only");
    client.service.limits.payload = 100;
    let answer = client.post("/Bulk", &many).await;
    assert_eq!(answer.status, 413);
    assert!(body(&answer)["detail"].as_str().unwrap().contains("maxPayloadSize (100)"));
}
