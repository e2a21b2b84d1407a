//! What the clients that exist send, from their own documents:
//!
//! - ENTRA: Microsoft, "Tutorial: Develop and plan provisioning for a SCIM endpoint in Microsoft Entra ID"
//!   (learn.microsoft.com, use-scim-to-provision-users-and-groups), and "Known issues and resolutions with
//!   SCIM 2.0 protocol compliance" (application-provisioning-config-problem-scim-compatibility), and
//!   "Customize user provisioning attribute-mappings" (customize-application-attributes).
//! - OKTA: Okta, "Okta and SCIM Version 2.0" (developer.okta.com/docs/reference/scim/scim-20).
//! - CANAILLE: as its SCIM client sends them, a POST on creation, a PUT with `active: false` on a lock date,
//!   a DELETE.

use serde_json::{Value, json};

use super::{Client, ENTERPRISE, GROUP, USER, body, id, listed, refusal};

/// ENTRA, "Create User".
fn entra_user() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "active": true,
        "emails": [{
            "primary": true, "type": "work",
            "value": "Test_User_11bb11bb-cc22-dd33-ee44-55ff55ff55ff@testuser.com",
        }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName" },
        "roles": [],
    })
}

#[tokio::test]
async fn entra_creates_reads_and_queries_a_user() {
    let entra = Client::new();
    let created = entra.post("/Users", &entra_user()).await;
    let user = id(&created);
    let shown = body(&created);
    assert_eq!(shown["schemas"], json!([USER]), "the enterprise extension was named and is empty");
    assert_eq!(shown["active"], true);
    assert!(shown.get("roles").is_none());
    assert_eq!(shown["meta"]["resourceType"], "User");
    assert_eq!(body(&entra.get(&format!("/Users/{user}")).await), shown);
    // "Get User by query", and the filter on an e-mail address that section "/Users" demands.
    for filter in [
        r#"userName eq "Test_User_00aa00aa-bb11-cc22-dd33-44ee44ee44ee""#,
        r#"externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef""#,
        r#"emails[type eq "work"].value eq "Test_User_11bb11bb-cc22-dd33-ee44-55ff55ff55ff@testuser.com""#,
    ] {
        assert_eq!(listed(&entra.get(&format!("/Users?filter={filter}")).await, "id"), [user.as_str()], "{filter}");
    }
    let none = entra.get(r#"/Users?filter=userName eq "non-existent user""#).await;
    assert_eq!((body(&none)["totalResults"].as_u64(), &body(&none)["Resources"]), (Some(0), &json!([])));
    assert_eq!(refusal(&entra.get("/Users/5171a35d82074e068ce2").await), (404, None));
}

#[tokio::test]
async fn entra_updates_a_user() {
    let entra = Client::new();
    let user = format!("/Users/{}", id(&entra.post("/Users", &entra_user()).await));
    // "Update User [Multi-valued properties]" and "[Single-valued properties]".
    let updated = entra
        .patch(
            &user,
            &json!([
                { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updatedEmail@microsoft.com" },
                { "op": "Replace", "path": "name.familyName", "value": "updatedFamilyName" },
                { "op": "Replace", "path": "userName", "value": "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com" },
            ]),
        )
        .await;
    assert_eq!(updated.status, 200);
    let shown = body(&updated);
    assert_eq!(shown["emails"], json!([{ "primary": true, "type": "work", "value": "updatedEmail@microsoft.com" }]));
    assert_eq!(shown["name"]["familyName"], "updatedFamilyName");
    assert_eq!(shown["name"]["givenName"], "givenName");
    assert_eq!(shown["userName"], "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com");
}

/// ENTRA, known issues, "Requests to replace multiple attributes", without and with the flag.
#[tokio::test]
async fn entra_replaces_several_attributes_in_both_dialects() {
    let entra = Client::new();
    let user = format!("/Users/{}", entra.user("someone").await);
    let without = json!([
        { "op": "Replace", "path": "displayName", "value": "Pvlo" },
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "TestBcwqnm@test.microsoft.com" },
        { "op": "Replace", "path": "name.givenName", "value": "Gtfd" },
        { "op": "Replace", "path": "name.familyName", "value": "Pkqf" },
        { "op": "Replace", "path": "externalId", "value": "Eqpj" },
        { "op": "Replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "Eqpj" },
    ]);
    let shown = body(&entra.patch(&user, &without).await).clone();
    // The address did not exist: the path describes it.
    assert_eq!(shown["emails"], json!([{ "type": "work", "value": "TestBcwqnm@test.microsoft.com" }]));
    assert_eq!(shown["name"], json!({ "givenName": "Gtfd", "familyName": "Pkqf" }));
    assert_eq!((&shown["externalId"], &shown["displayName"]), (&json!("Eqpj"), &json!("Pvlo")));
    assert_eq!(shown["schemas"], json!([USER, ENTERPRISE]), "implied by the path");
    let with = json!([
        { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "TestMhvaes@test.microsoft.com" },
        { "op": "replace", "value": {
            "displayName": "Bjfe", "name.givenName": "Kkom", "name.familyName": "Unua",
            (format!("{ENTERPRISE}:employeeNumber")): "Aklq",
        } },
    ]);
    let shown = body(&entra.patch(&user, &with).await).clone();
    assert_eq!(shown["emails"], json!([{ "type": "work", "value": "TestMhvaes@test.microsoft.com" }]));
    assert_eq!(shown["name"], json!({ "givenName": "Kkom", "familyName": "Unua" }));
    assert_eq!(shown[ENTERPRISE], json!({ "employeeNumber": "Aklq" }));
    assert_eq!(shown["displayName"], "Bjfe");
}

/// ENTRA, "Disable User", and known issues, "Requests made to disable users".
#[tokio::test]
async fn entra_disables_and_restores_a_user_in_both_dialects() {
    let entra = Client::new();
    let user = id(&entra.post("/Users", &entra_user()).await);
    let path = format!("/Users/{user}");
    for (value, active) in [(json!("False"), false), (json!("True"), true), (json!(false), false), (json!(true), true)]
    {
        let shown = entra.patch(&path, &json!([{ "op": "Replace", "path": "active", "value": value }])).await;
        assert_eq!(body(&shown)["active"], active, "always a boolean");
        assert_eq!(body(&entra.get(&path).await)["active"], active, "shown whether active or not");
    }
    assert_eq!(entra.directory.store().acts, vec![format!("deactivated {user}"); 2]);
    assert_eq!(entra.delete(&path).await.status, 204);
    assert_eq!(refusal(&entra.get(&path).await), (404, None));
}

/// ENTRA without its flag gives a single value as a list of one; managers come as bare ids.
#[tokio::test]
async fn entra_wraps_values() {
    let entra = Client::new();
    let boss = entra.user("boss").await;
    let user = format!("/Users/{}", entra.user("someone").await);
    let manager = format!("{ENTERPRISE}:manager");
    let shown = entra
        .patch(
            &user,
            &json!([
                { "op": "Add", "path": "displayName", "value": [{ "$ref": null, "value": "Babs" }] },
                { "op": "Add", "path": "nickName", "value": "Babs" },
                { "op": "Add", "path": manager, "value": [{ "$ref": null, "value": boss }] },
            ]),
        )
        .await;
    assert_eq!(body(&shown)["displayName"], "Babs");
    assert_eq!(body(&shown)[ENTERPRISE]["manager"], json!({ "value": boss }));
    let bare = entra.patch(&user, &json!([{ "op": "Replace", "path": manager, "value": "another" }])).await;
    assert_eq!(body(&bare)[ENTERPRISE]["manager"], json!({ "value": "another" }));
    let gone = entra.patch(&user, &json!([{ "op": "Replace", "path": manager, "value": "" }])).await;
    assert_eq!(body(&gone)["schemas"], json!([USER]));
}

/// ENTRA, customise, "Provisioning a role to a SCIM app".
#[tokio::test]
async fn entra_sets_roles_and_custom_attributes() {
    let entra = Client::new();
    let user = format!("/Users/{}", entra.user("alias@contoso.OnMicrosoft.com").await);
    let role = "{\"id\":\"06b07648-ecfe-589f-9d2f-6325724a46ee\",\"value\":\"25\",\"displayName\":\"Role1234\"}";
    let shown = entra.patch(&user, &json!([{ "op": "Add", "path": "roles", "value": [{ "value": role }] }])).await;
    assert_eq!(body(&shown)["roles"], json!([{ "value": role }]));
    let paths = json!([
        { "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "Admin" },
        { "op": "Add", "path": "roles[primary eq \"True\"].type", "value": "WindowsAzureActiveDirectoryRole" },
    ]);
    let shown = entra.patch(&user, &paths).await;
    assert_eq!(
        body(&shown)["roles"][1],
        json!({ "primary": true, "value": "Admin", "type": "WindowsAzureActiveDirectoryRole" })
    );
    let all =
        json!([{ "primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "Test", "value": "Test" }]);
    let shown = entra.patch(&user, &json!([{ "op": "replace", "path": "roles", "value": all }])).await;
    assert_eq!(body(&shown)["roles"], all);
    // The schema of a custom extension is not declared by a PATCH: its path does.
    let custom = "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User";
    let path = format!("{custom}:CustomAttribute");
    let shown = entra.patch(&user, &json!([{ "op": "Add", "path": path, "value": "701984" }])).await;
    assert_eq!(body(&shown)[custom], json!({ "CustomAttribute": "701984" }));
    assert_eq!(body(&shown)["schemas"], json!([USER, custom]));
    let found = entra.get(&format!("/Users?filter={custom}:customattribute eq \"701984\"")).await;
    assert_eq!(body(&found)["totalResults"], 1);
    let shown = entra.patch(&user, &json!([{ "op": "Remove", "path": path }])).await;
    assert_eq!(body(&shown)["schemas"], json!([USER]));
}

/// ENTRA, "Group Operations".
#[tokio::test]
async fn entra_keeps_groups() {
    let entra = Client::new();
    let created = entra
        .post(
            "/Groups",
            &json!({
                "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
                "displayName": "displayName",
                "meta": { "resourceType": "Group" },
            }),
        )
        .await;
    let group = id(&created);
    let path = format!("/Groups/{group}");
    let (a, b) = (entra.user("a").await, entra.user("b").await);
    for user in [&a, &b] {
        let add = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": user }] }]);
        assert_eq!(entra.patch(&path, &add).await.status, 204);
    }
    assert_eq!(entra.members_of(&group).await.len(), 2);
    let without = entra.get(&format!("{path}?excludedAttributes=members")).await;
    assert!(body(&without).get("members").is_none());
    let found = entra.get("/Groups?excludedAttributes=members&filter=displayName eq \"DISPLAYNAME\"").await;
    assert_eq!(listed(&found, "id"), [group.as_str()]);
    // "Requests to determine whether a reference attribute has a certain value".
    let has =
        |user: &str| format!("/Groups?excludedAttributes=members&filter=id eq \"{group}\" and members eq \"{user}\"");
    assert_eq!(listed(&entra.get(&has(&a)).await, "id"), [group.as_str()]);
    // "Update Group [Remove Members]", and the same with the flag.
    let by_value = json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": a }] }]);
    assert_eq!(entra.patch(&path, &by_value).await.status, 204);
    assert_eq!(entra.members_of(&group).await, [b.as_str()]);
    assert_eq!(listed(&entra.get(&has(&a)).await, "id"), [""; 0]);
    let by_path = json!([{ "op": "remove", "path": format!("members[value eq \"{b}\"]") }]);
    assert_eq!(entra.patch(&path, &by_path).await.status, 204);
    assert_eq!(entra.members_of(&group).await, [""; 0]);
    let renamed = json!([{ "op": "Replace", "path": "displayName", "value": "updatedDisplayName" }]);
    assert_eq!(entra.patch(&path, &renamed).await.status, 204);
    assert_eq!(body(&entra.get(&path).await)["displayName"], "updatedDisplayName");
    assert_eq!(entra.delete(&path).await.status, 204);
}

/// OKTA, "Create the User".
fn okta_user() -> Value {
    json!({
        "schemas": [USER],
        "userName": "test.user@okta.local",
        "name": { "givenName": "Test", "familyName": "User" },
        "emails": [{ "primary": true, "value": "test.user@okta.local", "type": "work" }],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true,
    })
}

#[tokio::test]
async fn okta_looks_creates_updates_and_deactivates() {
    let okta = Client::new();
    let look = r#"/Users?filter=userName eq "test.user@okta.local"&startIndex=1&count=100"#;
    let none = okta.get(look).await;
    assert_eq!(body(&none)["totalResults"], 0);
    assert_eq!((&body(&none)["startIndex"], &body(&none)["itemsPerPage"]), (&json!(1), &json!(0)));
    let created = okta.post("/Users", &okta_user()).await;
    let user = id(&created);
    let path = format!("/Users/{user}");
    assert!(!body(&created).to_string().contains("1mz050nq"), "the password is never returned");
    assert_eq!(listed(&okta.get(look).await, "id"), [user.as_str()]);
    assert_eq!(refusal(&okta.post("/Users", &okta_user()).await), (409, Some("uniqueness")));
    // "Update a specific User (PUT)": what was read, changed, and sent back whole.
    let put = json!({
        "schemas": [USER], "id": user, "userName": "test.user@okta.local",
        "name": { "givenName": "Another", "middleName": "Excited", "familyName": "User" },
        "emails": [{ "primary": true, "value": "test.user@okta.local", "type": "work", "display": "test.user@okta.local" }],
        "active": true, "groups": [], "meta": { "resourceType": "User" },
    });
    let updated = okta.put(&path, &put).await;
    assert_eq!(updated.status, 200);
    assert_eq!(body(&updated)["name"]["middleName"], "Excited");
    assert!(body(&updated).get("displayName").is_none(), "what a PUT leaves out is cleared");
    // "Update a specific User (PATCH)": deactivation without a path.
    let off = json!([{ "op": "replace", "value": { "active": false } }]);
    let answer = okta.patch(&path, &off).await;
    assert_eq!((answer.status, &body(&answer)["active"]), (200, &json!(false)));
    assert_eq!(okta.directory.store().acts, [format!("deactivated {user}")]);
    // Custom applications deactivate by PUT.
    let on = json!([{ "op": "replace", "value": { "active": true } }]);
    okta.patch(&path, &on).await;
    let mut put = put;
    put["active"] = json!(false);
    assert_eq!(body(&okta.put(&path, &put).await)["active"], false);
}

/// OKTA, "SCIM Group operations".
#[tokio::test]
async fn okta_pushes_groups() {
    let okta = Client::new();
    let (a, b, c) = (okta.user("a").await, okta.user("b").await, okta.user("c").await);
    let created =
        okta.post("/Groups", &json!({ "schemas": [GROUP], "displayName": "Test SCIMv2", "members": [] })).await;
    let group = id(&created);
    let path = format!("/Groups/{group}");
    let rename = json!([{ "op": "replace", "value": { "id": group, "displayName": "Test SCIMv20" } }]);
    assert_eq!(okta.patch(&path, &rename).await.status, 204);
    assert_eq!(body(&okta.get(&path).await)["displayName"], "Test SCIMv20");
    let push = json!([{ "op": "replace", "path": "members", "value": [
        { "value": a, "display": "test.user@okta.local" }, { "value": b, "display": "test.user@okta.local" },
    ] }]);
    assert_eq!(okta.patch(&path, &push).await.status, 204);
    assert_eq!(okta.members_of(&group).await.len(), 2);
    let swap = json!([
        { "op": "remove", "path": format!("members[value eq \"{a}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": c, "display": "test.user@okta.local" }] },
    ]);
    assert_eq!(okta.patch(&path, &swap).await.status, 204);
    let mut members = okta.members_of(&group).await;
    members.sort();
    let mut expected = [b.clone(), c.clone()];
    expected.sort();
    assert_eq!(members, expected);
    let pathless = json!([{ "op": "replace", "value": { "members": [{ "value": a }] } }]);
    assert_eq!(okta.patch(&path, &pathless).await.status, 204);
    assert_eq!(okta.members_of(&group).await, [a.as_str()]);
    let page = okta.get("/Groups?startIndex=1&count=100").await;
    assert_eq!(listed(&page, "displayName"), ["Test SCIMv20"]);
    // Custom applications send the whole group.
    let put = json!({ "schemas": [GROUP], "id": group, "displayName": "Whole", "members": [{ "value": b }] });
    assert_eq!(body(&okta.put(&path, &put).await)["members"][0]["value"], json!(b));
    assert_eq!(okta.delete(&path).await.status, 204);
}

/// CANAILLE builds its messages from `/Schemas`: it looks for these names and fails without them.
#[tokio::test]
async fn canaille_finds_the_names_that_it_builds_from() {
    let canaille = Client::new();
    let schemas = canaille.get("/Schemas").await;
    let schemas = body(&schemas)["Resources"].as_array().unwrap().clone();
    let parts = |schema: &str, attribute: &str| -> Vec<String> {
        let schema = schemas.iter().find(|s| s["name"] == schema).unwrap();
        let attribute = schema["attributes"].as_array().unwrap().iter().find(|a| a["name"] == attribute).unwrap();
        let parts = attribute["subAttributes"].as_array().into_iter().flatten();
        parts.map(|part| part["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(parts("Group", "members"), ["value", "$ref", "display", "type"]);
    assert_eq!(parts("User", "groups"), ["value", "$ref", "display", "type"]);
    assert_eq!(parts("EnterpriseUser", "employeeNumber"), [""; 0]);
}

#[tokio::test]
async fn canaille_creates_locks_and_deletes() {
    let canaille = Client::new();
    let person = |active: bool| {
        json!({
            "schemas": [USER, ENTERPRISE], "externalId": "bob", "userName": "bob",
            "name": { "formatted": "Bob", "familyName": "B", "givenName": "Bob" },
            "displayName": "Bob", "emails": [{ "value": "bob@example.org", "primary": true }], "active": active,
            "groups": [{ "value": "admins", "display": "admins" }],
        })
    };
    let user = id(&canaille.post("/Users", &person(true)).await);
    let path = format!("/Users/{user}");
    let found = canaille.get("/Users?filter=externalId eq \"bob\"").await;
    assert_eq!(listed(&found, "id"), [user.as_str()]);
    assert!(body(&found)["Resources"][0].get("groups").is_none(), "nobody joins a group by saying so");
    let mut locked = person(false);
    locked["id"] = json!(user);
    let answer = canaille.put(&path, &locked).await;
    assert_eq!((answer.status, &body(&answer)["active"]), (200, &json!(false)));
    assert_eq!(canaille.delete(&path).await.status, 204);
    assert_eq!(canaille.directory.store().acts, [format!("deactivated {user}"), format!("removed {user}")]);
}
