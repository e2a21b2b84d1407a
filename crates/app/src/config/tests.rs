//! What a configuration may say, and how it is told what it may not.

use std::path::Path;

use super::{Config, ConfigError};

const GOOD: &str = r#"
[server]
listen = "127.0.0.1:8080"
public_url = "http://127.0.0.1:8080"
[data]
directory = "/tmp/x"
[[tenants]]
id = "acme"
name = "Acme"
[[upstreams]]
name = "files"
url = "http://127.0.0.1:9000/mcp"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("sallyport.toml"), &[])
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_small_file_is_enough() {
    let config = parse(GOOD).unwrap();
    assert!(!config.oauth.dynamic_registration && config.identity.local_directory);
    assert_eq!(config.server.origin(), "http://127.0.0.1:8080");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
    let text = GOOD.replace("listen =", "lisen =");
    let message = refused(&text);
    assert!(message.starts_with("sallyport.toml:3:1: unknown field `lisen`"), "{message}");
    assert!(message.contains("did you mean `listen`?"), "{message}");
}

#[test]
fn listening_to_the_world_without_tls_is_refused_and_names_the_option() {
    let message = refused(&GOOD.replace("listen = \"127.0.0.1:8080\"", "listen = \"0.0.0.0:8080\""));
    assert!(message.contains("server.listen") && message.contains("server.tls"), "{message}");
}

#[test]
fn plain_http_under_a_foreign_name_is_refused() {
    assert!(refused(&GOOD.replace("http://127.0.0.1:8080", "http://mcp.example.com")).contains("use https"));
}

#[test]
fn an_upstream_is_a_url_or_a_command_and_its_tenants_are_ids() {
    assert!(refused(&format!("{GOOD}command = \"x\"\n")).contains("both there"));
    assert!(refused(&GOOD.replace("url = \"http://127.0.0.1:9000/mcp\"", "")).contains("neither"));
    assert!(refused(&format!("{GOOD}tenants = [\"Other\"]\n")).contains("not a valid tenant id"));
    assert!(parse(&format!("{GOOD}tenants = [\"made-by-command\"]\n")).is_ok());
}

#[test]
fn the_environment_overrides_a_scalar() {
    let environment = [("SALLYPORT_OAUTH_DYNAMIC_REGISTRATION".to_owned(), "true".to_owned())];
    let config = Config::parse(GOOD, Path::new("x"), &environment).unwrap();
    assert!(config.oauth.dynamic_registration);
    let wrong = [("SALLYPORT_OAUTH_NONSENSE".to_owned(), "1".to_owned())];
    assert!(Config::parse(GOOD, Path::new("x"), &wrong).unwrap_err().to_string().contains("nonsense"));
}

#[test]
fn a_minimum_score_is_a_score_and_a_schedule_is_a_period() {
    let with = |section: &str| format!("{GOOD}[admission]\n{section}\n");
    let none = parse(GOOD).unwrap().admission;
    assert_eq!((none.minimum_score, none.reassess_every()), (None, None), "nothing is demanded unless it is written");
    let config = parse(&with("minimum_score = 12\nreassess_every = \"7d\"")).unwrap();
    assert_eq!(config.admission.minimum_score, Some(12));
    assert_eq!(config.admission.reassess_every().unwrap().as_secs(), 7 * 24 * 3600);
    assert_eq!(parse(&with("minimum_score = 0")).unwrap().admission.minimum_score, Some(0));
    assert!(refused(&with("minimum_score = 21")).contains("0 to 20"));
    for wrong in ["minimum_score = -1", "minimum_score = \"12\"", "minimum_score = 12.5", "minimum_score = 300"] {
        assert!(refused(&with(wrong)).starts_with("sallyport.toml:"), "{wrong}");
    }
    assert!(refused(&with("reassess_every = \"7 days\"")).contains("such as `7d`"));
    for wrong in ["0h", "0d", "400d"] {
        assert!(refused(&with(&format!("reassess_every = \"{wrong}\""))).contains("reassess_every"), "{wrong}");
    }
    assert!(refused(&with("minimum = 12")).contains("did you mean `minimum_score`?"));
    let environment = [("SALLYPORT_ADMISSION_MINIMUM_SCORE".to_owned(), "16".to_owned())];
    let config = Config::parse(GOOD, Path::new("x"), &environment).unwrap();
    assert_eq!(config.admission.minimum_score, Some(16));
}

#[test]
fn an_owner_is_somebody() {
    let config = parse(&format!("{GOOD}owner = \"platform team\"\n")).unwrap();
    assert_eq!(config.upstreams[0].owner.as_deref(), Some("platform team"));
    assert!(refused(&format!("{GOOD}owner = \" \"\n")).contains("name somebody"));
}

#[test]
fn the_file_that_config_init_writes_is_good() {
    let text = include_str!("../../assets/sallyport.toml");
    parse(text).unwrap();
}

#[test]
fn every_key_is_in_the_reference() {
    fn keys(node: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        match node {
            serde_json::Value::Object(members) => {
                if let Some(serde_json::Value::Object(properties)) = members.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                members.values().for_each(|member| keys(member, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }
    let mut found = std::collections::BTreeSet::new();
    keys(&Config::schema(), &mut found);
    assert!(found.len() > 40, "{found:?}");
    let reference = include_str!("../../../../docs/config.md");
    // A section stands there as `[name]` or `[[name]]`, every other key as `name`.
    let missing: Vec<&String> = found
        .iter()
        .filter(|key| !reference.contains(&format!("`{key}`")) && !reference.contains(&format!("[{key}]")))
        .collect();
    assert!(missing.is_empty(), "docs/config.md says nothing about {missing:?}");
}
