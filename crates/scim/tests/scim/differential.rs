//! Our filter parser against `scim_v2`'s: what is built by the grammar of RFC 7644 figure 1, both take and
//! both understand alike.

use proptest::prelude::*;
use sallyport_scim::{Filter, PatchPath};

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9_-]{0,6}".prop_filter("a keyword", |name| {
        !["not", "and", "or", "pr", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "true", "false", "null"]
            .contains(&name.to_ascii_lowercase().as_str())
    })
}

fn attribute() -> impl Strategy<Value = String> {
    let urn = prop::sample::select(vec!["", "", "urn:ietf:params:scim:schemas:core:2.0:User:", "urn:a:b:"]);
    (urn, name(), prop::option::of(name())).prop_map(|(urn, name, sub)| {
        let sub = sub.map(|sub| format!(".{sub}")).unwrap_or_default();
        format!("{urn}{name}{sub}")
    })
}

fn comparison(attribute: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["eq", "Ne", "co", "SW", "ew", "gt", "ge", "lt", "le"]);
    let text = "[ -~é]{0,8}".prop_map(|text| serde_json::Value::from(text).to_string());
    let other = prop::sample::select(vec!["true", "false", "null", "0", "-7", "3.25"]).prop_map(str::to_owned);
    let value = prop_oneof![3 => text, 1 => other];
    (attribute, prop::option::of((operator, value))).prop_map(|(attribute, rest)| match rest {
        Some((operator, value)) => format!("{attribute} {operator} {value}"),
        None => format!("{attribute} pr"),
    })
}

fn combined(leaf: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    leaf.prop_recursive(4, 12, 3, |inner| {
        let group = inner.clone().prop_map(|one| format!("({one})"));
        let not = inner.clone().prop_map(|one| format!("not ({one})"));
        let word = prop::sample::select(vec!["and", "or", "AND", "oR"]);
        let several =
            (prop::collection::vec(inner, 2..4), word).prop_map(|(parts, word)| parts.join(&format!(" {word} ")));
        prop_oneof![1 => group, 1 => not, 3 => several]
    })
}

fn filter() -> impl Strategy<Value = String> {
    let values = (name(), combined(comparison(name()))).prop_map(|(name, inner)| format!("{name}[{inner}]"));
    combined(prop_oneof![4 => comparison(attribute()), 1 => values])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_understand_a_filter_alike(text in filter()) {
        let theirs: scim_v2::filter::Filter = text.parse().unwrap();
        let Ok(ours) = Filter::parse(&text) else {
            // Only our tighter bounds may part us.
            let open = text.matches(['(', '[']).count();
            prop_assert!(text.len() > 2048 || open > 20, "{}", text);
            return Ok(());
        };
        let ours_to_them: scim_v2::filter::Filter = ours.to_string().parse().unwrap();
        prop_assert_eq!(&ours_to_them, &theirs, "{}", text);
        prop_assert_eq!(Filter::parse(&theirs.to_string()).unwrap().to_string(), ours.to_string(), "{}", text);
    }

    #[test]
    fn both_understand_a_path_alike(
        attribute in attribute(),
        inner in prop::option::of(comparison(name())),
        sub in prop::option::of(name()),
    ) {
        let text = match (inner, sub) {
            (Some(inner), Some(sub)) => format!("{attribute}[{inner}].{sub}"),
            (Some(inner), None) => format!("{attribute}[{inner}]"),
            (None, _) => attribute,
        };
        let theirs: scim_v2::filter::PatchPath = text.parse().unwrap();
        let ours = PatchPath::parse(&text).unwrap();
        let ours_to_them: scim_v2::filter::PatchPath = ours.to_string().parse().unwrap();
        prop_assert_eq!(ours_to_them, theirs, "{}", text);
    }
}
