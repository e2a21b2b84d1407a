//! Demands on claims. No patterns: a rule says what a value is, which of some values it is, or which whole
//! segments it begins with.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TrustFault;

/// Longer names and values are refused.
const MAX_TEXT: usize = 1024;
/// A rule lists at most this many values.
const MAX_VALUES: usize = 64;
/// A claim lies at most this deep.
const MAX_DEPTH: usize = 8;
/// What a prefix may end with: the platforms' separators of segments.
const DELIMITERS: [char; 2] = ['/', ':'];

/// One demand on one claim. All rules of a trust must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ClaimRule {
    /// Which: a name, a dotted path (`a.b`), or, where a name holds a dot, a JSON pointer
    /// (`/kubernetes.io/namespace`, RFC 6901). Lists are not looked into.
    pub claim: String,
    /// What it must be: `equals`, `one_of` or `prefix`, exactly one of them.
    pub demand: Demand,
}

/// What a claim must be. Types count: the number 1 is not the text `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// This text, integer or boolean.
    Equals(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// A longer text that begins with this, which ends with `/` or `:`.
    Prefix(String),
}

/// As JSON: `{"claim": "sub", "equals": "…"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    claim: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_of: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
}

impl TryFrom<Written> for ClaimRule {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let demand = match (written.equals, written.one_of, written.prefix) {
            (Some(value), None, None) => Demand::Equals(value),
            (None, Some(values), None) => Demand::OneOf(values),
            (None, None, Some(prefix)) => Demand::Prefix(prefix),
            _ => return Err("a claim rule has exactly one of `equals`, `one_of` and `prefix`"),
        };
        Ok(Self { claim: written.claim, demand })
    }
}

impl From<ClaimRule> for Written {
    fn from(rule: ClaimRule) -> Self {
        let mut written = Self { claim: rule.claim, equals: None, one_of: None, prefix: None };
        match rule.demand {
            Demand::Equals(value) => written.equals = Some(value),
            Demand::OneOf(values) => written.one_of = Some(values),
            Demand::Prefix(prefix) => written.prefix = Some(prefix),
        }
        written
    }
}

impl ClaimRule {
    /// Whether the claim is there and is what is demanded.
    pub fn holds(&self, claims: &Map<String, Value>) -> bool {
        let Some(value) = path(&self.claim).and_then(|path| find(claims, &path)) else { return false };
        match &self.demand {
            Demand::Equals(wanted) => is_scalar(value) && value == wanted,
            Demand::OneOf(wanted) => is_scalar(value) && wanted.contains(value),
            Demand::Prefix(prefix) => {
                value.as_str().and_then(|text| text.strip_prefix(prefix.as_str())).is_some_and(|rest| !rest.is_empty())
            }
        }
    }

    /// Whether this is a rule on `claim`, whichever way it is written.
    pub(super) fn is_on(&self, claim: &[&str]) -> bool {
        path(&self.claim).is_some_and(|path| path == claim)
    }

    /// The texts of an exact rule; `None` for a prefix and for other types.
    pub(super) fn exact(&self) -> Option<Vec<&str>> {
        match &self.demand {
            Demand::Equals(value) => Some(vec![value.as_str()?]),
            Demand::OneOf(values) => values.iter().map(Value::as_str).collect(),
            Demand::Prefix(_) => None,
        }
    }

    /// The prefix of a prefix rule.
    pub(super) fn prefix(&self) -> Option<&str> {
        match &self.demand {
            Demand::Prefix(prefix) => Some(prefix),
            Demand::Equals(_) | Demand::OneOf(_) => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), TrustFault> {
        let fault = |why| TrustFault::Rule { claim: self.claim.chars().take(80).collect(), why };
        if path(&self.claim).is_none() {
            return Err(fault("is no name, dotted path or JSON pointer of at most eight parts"));
        }
        let values: Vec<&Value> = match &self.demand {
            Demand::Equals(value) => vec![value],
            Demand::OneOf(values) => values.iter().collect(),
            Demand::Prefix(prefix) => {
                let fine = prefix.len() <= MAX_TEXT && prefix.ends_with(DELIMITERS) && !prefix.starts_with(DELIMITERS);
                let plain = !prefix.contains(['*', '?']) && !prefix.chars().any(char::is_control);
                return if fine && plain {
                    Ok(())
                } else {
                    Err(fault("has a prefix that does not end with `/` or `:`, or that is a pattern"))
                };
            }
        };
        if values.is_empty() || values.len() > MAX_VALUES {
            return Err(fault("lists no value or more than 64"));
        }
        match values.iter().all(|value| is_value(value)) {
            true => Ok(()),
            false => Err(fault("has a value that is no short text without `*`, no integer and no boolean")),
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// A star is refused although it would only match itself: whoever writes one means more.
fn is_value(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            !text.is_empty() && text.len() <= MAX_TEXT && !text.contains('*') && !text.chars().any(char::is_control)
        }
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Bool(_) => true,
        _ => false,
    }
}

fn path(claim: &str) -> Option<Vec<String>> {
    if claim.is_empty() || claim.len() > MAX_TEXT || claim.chars().any(char::is_control) {
        return None;
    }
    let parts: Vec<String> = match claim.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(unescaped).collect::<Option<_>>()?,
        None => claim.split('.').map(str::to_owned).collect(),
    };
    (parts.len() <= MAX_DEPTH && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// RFC 6901 section 4: `~1` is `/`, `~0` is `~`, and nothing else follows a tilde.
fn unescaped(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut rest = part.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}

fn find<'c>(claims: &'c Map<String, Value>, path: &[String]) -> Option<&'c Value> {
    let (last, outer) = path.split_last()?;
    outer.iter().try_fold(claims, |object, name| object.get(name)?.as_object())?.get(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rule(text: Value) -> ClaimRule {
        serde_json::from_value(text).unwrap()
    }

    fn claims() -> Map<String, Value> {
        let claims = json!({"sub": "repo:acme/app:ref:refs/heads/main", "n": 1, "flag": true, "list": ["a"], "none": null,
            "kubernetes.io": {"namespace": "prod"}, "a": {"b": {"c": "x"}}, "odd/~name": "y"});
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn a_rule_finds_its_claim_and_compares_types() {
        for (held, text) in [
            (true, json!({"claim": "sub", "equals": "repo:acme/app:ref:refs/heads/main"})),
            (false, json!({"claim": "sub", "equals": "repo:acme/app"})),
            (false, json!({"claim": "Sub", "equals": "repo:acme/app:ref:refs/heads/main"})),
            (true, json!({"claim": "sub", "prefix": "repo:acme/app:"})),
            (false, json!({"claim": "sub", "prefix": "repo:acme/ap:"})),
            (true, json!({"claim": "n", "equals": 1})),
            (false, json!({"claim": "n", "equals": "1"})),
            (false, json!({"claim": "n", "equals": true})),
            (true, json!({"claim": "flag", "equals": true})),
            (false, json!({"claim": "flag", "equals": "true"})),
            (true, json!({"claim": "n", "one_of": [2, 1]})),
            (false, json!({"claim": "n", "one_of": ["1"]})),
            (true, json!({"claim": "a.b.c", "equals": "x"})),
            (true, json!({"claim": "/a/b/c", "equals": "x"})),
            (true, json!({"claim": "/kubernetes.io/namespace", "equals": "prod"})),
            (false, json!({"claim": "kubernetes.io.namespace", "equals": "prod"})),
            (true, json!({"claim": "/odd~1~0name", "equals": "y"})),
            (false, json!({"claim": "missing", "equals": "x"})),
            (false, json!({"claim": "missing", "one_of": [null]})),
            (false, json!({"claim": "list", "equals": ["a"]})),
            (false, json!({"claim": "list", "equals": "a"})),
            (false, json!({"claim": "/list/0", "equals": "a"})),
            (false, json!({"claim": "a.b", "equals": {"c": "x"}})),
            (false, json!({"claim": "a.b.c.d", "equals": "x"})),
        ] {
            assert_eq!(rule(text.clone()).holds(&claims()), held, "{text}");
        }
        let exactly = rule(json!({"claim": "sub", "prefix": "repo:acme/app:ref:refs/heads/main"}));
        assert!(!exactly.holds(&claims()), "a prefix is of something longer");
    }

    #[test]
    fn a_rule_that_is_a_pattern_or_nothing_is_refused() {
        for good in [
            json!({"claim": "sub", "equals": "a"}),
            json!({"claim": "n", "one_of": [1, "a", true]}),
            json!({"claim": "sub", "prefix": "a:"}),
        ] {
            assert_eq!(rule(good.clone()).check(), Ok(()), "{good}");
            assert_eq!(serde_json::to_value(rule(good.clone())).unwrap(), good);
        }
        for bad in [
            json!({"claim": "", "equals": "a"}),
            json!({"claim": "a..b", "equals": "a"}),
            json!({"claim": "/", "equals": "a"}),
            json!({"claim": "/a~2", "equals": "a"}),
            json!({"claim": "a.a.a.a.a.a.a.a.a", "equals": "a"}),
            json!({"claim": "sub", "equals": ""}),
            json!({"claim": "sub", "equals": "*"}),
            json!({"claim": "sub", "equals": "repo:acme/*"}),
            json!({"claim": "sub", "equals": 1.5}),
            json!({"claim": "sub", "equals": []}),
            json!({"claim": "sub", "one_of": []}),
            json!({"claim": "sub", "one_of": ["a", null]}),
            json!({"claim": "sub", "prefix": ""}),
            json!({"claim": "sub", "prefix": "repo"}),
            json!({"claim": "sub", "prefix": "/"}),
            json!({"claim": "sub", "prefix": "*:"}),
            json!({"claim": "sub", "prefix": ":"}),
        ] {
            assert!(rule(bad.clone()).check().is_err(), "{bad}");
        }
        for unknown in [
            json!({"claim": "sub"}),
            json!({"claim": "sub", "matches": ".*"}),
            json!({"equals": "a"}),
            json!({"claim": "sub", "prefix": 1}),
            json!({"claim": "sub", "equals": null}),
            json!({"claim": "sub", "equals": "a", "prefix": "b:"}),
        ] {
            assert!(serde_json::from_value::<ClaimRule>(unknown.clone()).is_err(), "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics_and_none_matches_what_is_not_there(claim in "[a-z./~0-9]{0,20}|\\PC{0,12}", text in "\\PC{0,12}") {
            let rule = ClaimRule { claim, demand: Demand::Equals(json!(text)) };
            let _ = rule.check();
            prop_assert!(!rule.holds(&Map::new()));
        }
    }
}
