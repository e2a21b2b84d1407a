//! The published schema of the assessment document and the type that writes it say the same.

use sallyport_model::assessment::{Assessment, SCHEMA_VERSION};
use serde_json::{Value, json};

use crate::sample;

const SCHEMA: &str = include_str!("../../../../docs/assess/schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn complaints(document: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn document(assessment: &Assessment) -> Value {
    serde_json::to_value(assessment).unwrap()
}

#[test]
fn the_schema_is_a_schema_of_this_version() {
    assert!(jsonschema::meta::is_valid(&schema()));
    assert_eq!(schema()["properties"]["schema_version"]["const"], json!(SCHEMA_VERSION));
}

#[test]
fn every_assessment_is_valid() {
    for assessment in [sample::open(), sample::settled()] {
        assert_eq!(complaints(&document(&assessment)), Vec::<String>::new());
    }
}

/// Each property of the type is in the schema, and each required member of the schema is written.
#[test]
fn the_schema_and_the_type_have_the_same_members() {
    let schema = schema();
    let written = document(&sample::open());
    same_members(&schema, &schema, &written, "");
}

fn same_members(schema: &Value, root: &Value, written: &Value, place: &str) {
    let schema = resolve(schema, root);
    match written {
        Value::Object(members) => {
            let known = schema["properties"].as_object().unwrap_or_else(|| panic!("{place} has no properties"));
            for (name, member) in members {
                let part = known.get(name).unwrap_or_else(|| panic!("{place}/{name} is not in the schema"));
                same_members(part, root, member, &format!("{place}/{name}"));
            }
            for name in known.keys().filter(|name| *name != "suppressed") {
                assert!(members.contains_key(name), "{place}/{name} is in the schema and not written");
                let required = schema["required"].as_array().unwrap();
                assert!(required.contains(&json!(name)), "{place}/{name} is always written and not required");
            }
        }
        Value::Array(items) if schema.get("items").is_some() => {
            items.iter().for_each(|item| same_members(&schema["items"], root, item, place));
        }
        _ => {}
    }
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

#[test]
fn a_document_that_claims_too_much_is_refused() {
    let cases: [(&str, Value); 8] = [
        ("/total", json!(21)),
        ("/questions/0/score", json!(3)),
        ("/questions/0/verdict", json!("excellent")),
        ("/band", json!("proceed")),
        ("/schema_version", json!(2)),
        ("/questions/3/evidence/1/suppressed/until", json!("some day")),
        ("/questions/1/range", json!([0])),
        ("/transport", json!("carrier pigeon")),
    ];
    for (place, value) in cases {
        let mut claimed = document(&sample::open());
        *claimed.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
        assert!(!complaints(&claimed).is_empty(), "{place}");
    }
    for gone in ["target", "total_range", "questions"] {
        let mut claimed = document(&sample::open());
        claimed.as_object_mut().unwrap().remove(gone);
        assert!(!complaints(&claimed).is_empty(), "{gone}");
    }
}
