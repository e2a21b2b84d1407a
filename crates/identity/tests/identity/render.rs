//! The pages as a person sees them. Set `SALLYPORT_RENDER` to a folder to keep them as files.

use sallyport_storage::Role;

use crate::{
    account::{consent, grant},
    support::{Answer, PASSWORD, TestApp, tenant},
};

/// What every page must have for keyboards and screen readers.
fn assert_accessible(answer: &Answer) {
    let text = &answer.text;
    assert!(text.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    assert_eq!(text.matches("<h1").count(), 1);
    assert_eq!(text.matches("<main").count(), 1);
    assert!(!text.contains("style=") && !text.contains("onclick"));
    for input in text.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap()) {
        if !input.contains("type=\"hidden\"") {
            let id = input.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(text.contains(&format!("<label for=\"{id}\"")), "{input}");
        }
    }
}

fn keep(name: &str, answer: &Answer) {
    let Ok(folder) = std::env::var("SALLYPORT_RENDER") else { return };
    let css = answer.text.split("href=\"/assets/").nth(1).unwrap().split('"').next().unwrap();
    let text = answer.text.replace(&format!("/assets/{css}"), "sallyport.css").replace(" hidden ", " ");
    std::fs::write(format!("{folder}/{name}.html"), text).unwrap();
}

#[tokio::test]
async fn pages_are_whole_and_accessible() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::Administrator).await;
    let mut browser = app.browser();
    let form = browser.get("/signin?continue_to=/oauth/authorize%3Fx=1").await;
    let wrong = browser.sign_in("ada", "wrong password", "/oauth/x").await;
    browser.sign_in("ada", PASSWORD, "").await;
    let empty = browser.get("/account").await;
    grant(&app, &ada, tenant(), "mcp-inspector").await;
    grant(&app, &ada, tenant(), "https://client.example/metadata/very/long/path/client.json").await;
    consent(&app, &ada, "mcp-inspector").await;
    let account = browser.get("/account?done=disconnected").await;
    let error = browser.post("/account/grants/revoke", &[("csrf", "x"), ("grant", "g")]).await;
    for (name, answer) in [("signin", form), ("wrong", wrong), ("empty", empty), ("account", account), ("error", error)]
    {
        assert_accessible(&answer);
        keep(name, &answer);
    }
}
