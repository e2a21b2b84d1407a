//! JSON as values of the typesetter: no string of it is ever read as markup.

use serde_json::Value as Json;
use typst::foundations::{Array, Bytes, Dict, Str, Value};

use super::world::Coverage;
use crate::{Brand, LogoKind, Party};

/// The longest run of characters without a glyph that is written out.
const WRITTEN_OUT: usize = 2;

/// `sys.inputs`: the view under `report`, the pictures under `logos`.
pub(super) fn inputs(view: &Json, brand: &Brand, coverage: &Coverage<'_>) -> Dict {
    let mut inputs = Dict::new();
    inputs.insert("report".into(), value(view, coverage));
    let logos: Array = brand.parties().map(logo).collect();
    inputs.insert("logos".into(), Value::Array(logos));
    inputs
}

fn logo(party: &Party) -> Value {
    let Some(logo) = &party.logo else { return Value::None };
    let format = match logo.kind() {
        LogoKind::Png => "png",
        LogoKind::Svg => "svg",
    };
    let mut picture = Dict::new();
    picture.insert("format".into(), Value::Str(format.into()));
    picture.insert("bytes".into(), Value::Bytes(Bytes::new(logo.bytes().to_vec())));
    Value::Dict(picture)
}

fn value(json: &Json, coverage: &Coverage<'_>) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => number.as_i64().map_or(Value::None, Value::Int),
        Json::String(text) => Value::Str(Str::from(shown(text, &|c| coverage.has(c)))),
        Json::Array(items) => Value::Array(items.iter().map(|item| value(item, coverage)).collect()),
        Json::Object(members) => {
            Value::Dict(members.iter().map(|(name, member)| (name.as_str().into(), value(member, coverage))).collect())
        }
    }
}

/// `text` with each run of characters that no font has in brackets: by code point where it is short, else by
/// number. A glyph that says nothing would be worse.
fn shown(text: &str, has: &dyn Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run: Vec<char> = Vec::new();
    for c in text.chars() {
        if c == '\n' || has(c) {
            close(&mut out, &mut run);
            out.push(c);
        } else {
            run.push(c);
        }
    }
    close(&mut out, &mut run);
    out
}

fn close(out: &mut String, run: &mut Vec<char>) {
    match run.len() {
        0 => {}
        1..=WRITTEN_OUT => {
            let points: Vec<String> = run.iter().map(|&c| format!("U+{:04X}", u32::from(c))).collect();
            out.push_str(&format!("[{}]", points.join(" ")));
        }
        count => out.push_str(&format!("[{count} characters]")),
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_glyph_is_told() {
        let ascii = |c: char| c.is_ascii();
        assert_eq!(shown("a\nb", &ascii), "a\nb");
        assert_eq!(shown("x漢字y🦀", &ascii), "x[U+6F22 U+5B57]y[U+1F980]");
        assert_eq!(shown("שלום עולם", &ascii), "[4 characters] [4 characters]");
    }
}
