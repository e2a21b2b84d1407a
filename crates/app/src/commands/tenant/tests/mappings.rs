//! Who becomes whom: changed and previewed.

use super::*;

use std::{path::PathBuf, time::Duration};

use sallyport_identity::settings::ConnectionSettings;
use serde_json::json;

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.connected("beta", "idp").await;
    bench
}

impl Bench {
    fn file(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("claims.json");
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[tokio::test]
async fn a_mapping_changes_in_what_was_given_and_shows_before_and_after() {
    let bench = bench().await;
    let typed = "tenant set-mapping beta idp --admit-group staff --administrator-group ops --rename-group 0af3=ops \
                 --email-claim upn --scim-match sub=externalId --no-create";
    let answer = bench.json(typed).await;
    assert_eq!(answer["before"]["email"], json!(["email"]));
    assert_eq!(
        answer["after"],
        json!({
            "email": ["upn"], "email_verified": "email_verified", "name": ["name", "preferred_username"],
            "groups": ["groups"], "rename_groups": { "0af3": "ops" }, "administrators": ["ops"], "admitted": ["staff"],
            "scim": { "claim": "sub", "attribute": "external_id" }, "create": false, "link_by_email": false,
        })
    );
    let event = bench.noticed().await;
    assert_eq!((&event.facts["action"], &event.facts["after"]), (&json!("tenant.set_mapping"), &answer["after"]));
    let again = bench.json("tenant set-mapping beta idp --link-by-email").await;
    assert_eq!((&again["before"], &again["after"]["email"]), (&answer["after"], &json!(["upn"])));
    let reset = bench.json("tenant set-mapping beta idp --reset").await;
    assert_eq!((&reset["after"]["email"], &reset["after"]["create"]), (&json!(["email"]), &json!(true)));
    let kept = bench.store.connections(&id("beta")).await.unwrap().remove(0);
    let ConnectionSettings::Oidc(settings) = ConnectionSettings::of(&kept).unwrap() else { panic!() };
    assert_eq!((json!(settings.mapping), settings.client_secret.as_deref()), (reset["after"].clone(), Some(SECRET)));
}

#[tokio::test]
async fn a_mapping_that_cannot_work_is_refused() {
    let bench = bench().await;
    for (options, why) in [
        ("", "nothing is to change"),
        ("--admit-group +", "it is empty"),
        ("--rename-group a=b --rename-group a=c", "`a` would be called both `b` and `c`"),
        ("--no-create --no-scim-match", "nobody new could ever sign in"),
        (&format!("--name-claim {}", "x".repeat(257)), "longer than 256"),
    ] {
        bench.refused(&format!("tenant set-mapping beta idp {options}"), why).await;
    }
    bench.refused("tenant set-mapping gamma idp --no-create", "gamma has no connection `idp`; it has: none").await;
}

#[tokio::test]
async fn a_preview_shows_what_was_asserted_last_and_what_becomes_of_it() {
    let bench = bench().await;
    bench.refused("tenant preview beta idp", "nobody has signed in by idp yet").await;
    bench.person("beta", "ann", PersonOrigin::External).await;
    bench.person("beta", "eve", PersonOrigin::External).await;
    bench.person("gamma", "gil", PersonOrigin::External).await;
    let ann =
        json!({ "email": ["ann@beta.example"], "email_verified": ["true"], "groups": ["0af3"], "locale": ["de"] });
    bench.linked("beta", "ann", "idp", &ann, NOW.minus(Duration::from_secs(60))).await;
    bench.linked("beta", "eve", "idp", &json!({ "email": ["eve@beta.example"] }), NOW).await;
    assert_eq!(bench.json("tenant preview beta idp").await["source"], json!({ "user": "eve", "at": NOW.to_string() }));
    bench.done("tenant set-mapping beta idp --admit-group ops --rename-group 0af3=ops --administrator-group ops").await;
    let answer = bench.json("tenant preview beta idp --user ann@beta.example").await;
    assert_eq!(answer["asserted"], ann);
    assert_eq!(
        answer["profile"],
        json!({
            "email": "ann@beta.example", "email_verified": true, "display_name": "ann@beta.example", "groups": ["ops"],
            "role": "administrator", "admitted": true, "missing": ["a name (name, preferred_username)"],
            "unused": ["locale"],
        })
    );
    let answer = bench.run("tenant preview beta idp --user eve").await.unwrap();
    assert_eq!((answer.end, &answer.json["profile"]["admitted"]), (crate::End::No, &json!(false)));
    bench.refused("tenant preview beta idp --user gil", "beta has nobody `gil`").await;
    let notices = bench.store.notices(100).await.unwrap();
    assert_eq!(notices.len(), 2, "a preview changes nothing: connect, set-mapping");
}

#[tokio::test]
async fn a_preview_of_a_file_takes_texts_and_lists_of_them() {
    let bench = bench().await;
    let path = bench.file(r#"{"email":"a@b.example","email_verified":true,"groups":["x",7],"address":{"city":"Ulm"}}"#);
    let answer = bench.done(&format!("tenant preview beta idp --asserted {}", path.display())).await;
    assert_eq!(
        answer.json["asserted"],
        json!({ "email": ["a@b.example"], "email_verified": ["true"], "groups": ["x", "7"] })
    );
    assert_eq!(answer.remarks, ["left out, being neither text nor a list of texts: address"]);
    for (text, why) in [("[1]", "it is no JSON object"), ("{", "it is no JSON object")] {
        let path = bench.file(text);
        bench.refused(&format!("tenant preview beta idp --asserted {}", path.display()), why).await;
    }
    bench.refused("tenant preview beta idp --asserted /nowhere/x.json", "/nowhere/x.json").await;
}
