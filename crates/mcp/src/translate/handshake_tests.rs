use proptest::prelude::*;

use super::*;

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("object")
}

fn initialized() -> Object {
    object(json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {
            "logging": {}, "completions": {}, "prompts": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": false}, "tools": {},
            "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}},
            "experimental": {"x": {"y": 1.0}}, "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["a"]}},
        },
        "serverInfo": {"name": "s", "version": "1", "icons": []},
        "instructions": "do", "_meta": {"vendor/x": 1}, "other": 2,
    }))
}

#[test]
fn initialize_results_become_discover_results() {
    let supported = [ProtocolVersion::V2026_07_28, ProtocolVersion::V2025_11_25];
    let discovered = discover_result(initialized(), &supported, 60_000, false).expect("translated");
    let mut capabilities = initialized()["capabilities"].clone();
    capabilities.as_object_mut().expect("object").shift_remove("tasks");
    let expected = json!({
        "supportedVersions": ["2026-07-28", "2025-11-25"], "capabilities": capabilities, "instructions": "do",
        "_meta": {"vendor/x": 1, "io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1", "icons": []}},
        "other": 2, "resultType": "complete", "ttlMs": 60000, "cacheScope": "private",
    });
    assert_eq!(Value::Object(discovered), expected);
    let with_tasks = discover_result(initialized(), &supported, 0, true).expect("translated");
    assert_eq!(with_tasks["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"], json!({}));
    assert!(discover_result(Object::new(), &supported, 0, true).is_err());
}

#[test]
fn discover_results_become_initialize_results() {
    let discovered = json!({
        "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 5, "cacheScope": "public",
        "capabilities": {"tools": {"listChanged": true}, "extensions": {"io.modelcontextprotocol/tasks": {}}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}},
    });
    let expected = json!({
        "protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}},
        "serverInfo": {"name": "s", "version": "1"},
    });
    let result = initialize_result(object(discovered), ProtocolVersion::V2025_06_18, false).expect("translated");
    assert_eq!(Value::Object(result), expected);
    let bare = initialize_result(object(json!({"capabilities": {}})), ProtocolVersion::V2025_11_25, false);
    assert_eq!(bare.expect("translated")["serverInfo"], json!({"name": "unnamed", "version": "0"}));
    assert!(initialize_result(object(json!({"capabilities": 1})), ProtocolVersion::V2025_11_25, false).is_err());
}

#[test]
fn handshakes_of_one_era_name_the_gates_versions() {
    let mut discovered = object(
        json!({"supportedVersions": ["2099-01-01"], "capabilities": {"x": 1.0}, "cacheScope": "public", "ttlMs": 9}),
    );
    relay_discover(&mut discovered, &[ProtocolVersion::LATEST]);
    let expected =
        json!({"supportedVersions": ["2026-07-28"], "capabilities": {"x": 1.0}, "cacheScope": "private", "ttlMs": 9});
    assert_eq!(Value::Object(discovered), expected);
    let mut relayed = initialized();
    relay_initialize(&mut relayed, ProtocolVersion::V2025_03_26);
    assert_eq!(relayed["protocolVersion"], "2025-03-26");
    assert_eq!(relayed["capabilities"], initialized()["capabilities"]);
}

#[test]
fn a_legacy_upstream_offers_tasks_by_its_own_capability_only() {
    let extension = json!({"io.modelcontextprotocol/tasks": {}});
    for (capabilities, offered) in [
        (json!({"tasks": {"requests": {"tools": {"call": {}}}}}), true),
        (json!({"tasks": {"list": {}}}), false),
        (json!({"extensions": extension}), false),
        (json!({}), false),
    ] {
        let initialized = object(json!({"capabilities": capabilities}));
        let discovered = discover_result(initialized, &ProtocolVersion::ALL, 1, true).expect("translated");
        let expected = if offered { json!({"extensions": extension}) } else { json!({}) };
        assert_eq!(discovered["capabilities"], expected, "{capabilities}");
    }
}

#[test]
fn client_sides_cross_both_ways() {
    let params = object(json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"roots": {"listChanged": true}, "sampling": {"tools": {}}, "elicitation": {}, "tasks": {"list": {}},
                         "experimental": {"e": {}}, "extensions": {"a/b": {}}},
        "clientInfo": {"name": "c", "version": "2"},
    }));
    let meta = meta_from_initialize(&params, Some(LogLevel::Error)).expect("translated");
    assert!(meta.client_capabilities.elicitation_form() && !meta.client_capabilities.elicitation_url());
    assert!(meta.client_capabilities.sampling_tools() && meta.client_capabilities.roots());
    let expected = json!({"roots": {}, "sampling": {"tools": {}}, "elicitation": {}, "experimental": {"e": {}}, "extensions": {"a/b": {}}});
    assert_eq!(Value::Object(meta.client_capabilities.0.clone()), expected);
    let mut with_tasks = meta.clone();
    declare_tasks(&mut with_tasks.client_capabilities.0);
    assert!(with_tasks.client_capabilities.extension(TASKS_EXTENSION));
    let back = initialize_from_meta(&with_tasks, ProtocolVersion::V2025_11_25);
    assert_eq!(
        Value::Object(back),
        json!({"protocolVersion": "2025-11-25", "capabilities": expected, "clientInfo": {"name": "c", "version": "2"}})
    );
    for missing in ["capabilities", "clientInfo"] {
        let mut params = params.clone();
        params.shift_remove(missing);
        assert!(meta_from_initialize(&params, None).is_err(), "{missing}");
    }
}

proptest! {
    #[test]
    fn capabilities_survive_there_and_back(
        flags in prop::collection::vec(any::<bool>(), 10), extension in "[a-z]{1,5}/[a-z]{1,5}", tasks in any::<bool>(), version in 1_usize..5
    ) {
        let mut capabilities = Object::new();
        for (on, key) in flags.iter().zip(["logging", "completions", "experimental"]) {
            if *on { capabilities.insert(key.to_owned(), json!({})); }
        }
        if flags[3] { capabilities.insert("tools".into(), json!({"listChanged": flags[4]})); }
        if flags[5] { capabilities.insert("prompts".into(), json!({"listChanged": flags[6]})); }
        if flags[7] { capabilities.insert("resources".into(), json!({"subscribe": flags[8], "listChanged": flags[9]})); }
        if flags[1] { capabilities.insert("extensions".into(), json!({(extension): {}})); }
        if tasks { capabilities.insert("tasks".into(), json!({"cancel": {}, "requests": {"tools": {"call": {}}}})); }
        let version = ProtocolVersion::ALL[version];
        let start = object(json!({
            "protocolVersion": version.as_str(), "capabilities": capabilities,
            "serverInfo": {"name": "s", "version": "1"}, "instructions": "i", "vendor": 1.0,
        }));
        let discovered = discover_result(start.clone(), &ProtocolVersion::ALL, 1, true).expect("there");
        let back = initialize_result(discovered, version, true).expect("back");
        prop_assert_eq!(Value::Object(back), Value::Object(start));
    }
}
