//! A `NameID` as it is kept: one text, by which the same person is found again and nobody else.
//!
//! `format qualifier sp-qualifier value`, where a part that is absent is `-` and the first three have their spaces
//! escaped. What saml-core-2.0-os calls the same is written the same: no format is `unspecified` (section 2.2.2), and
//! a qualifier that names the provider, or us, is as good as none (section 8.3.7).

use sallyport_saml::{NameId, name_id_format};

use super::Party;

const ABSENT: &str = "-";
/// Stands where the format stands; [`escaped`] makes nothing that looks so.
const ATTRIBUTE: &str = "%attribute";

impl Party {
    /// The text for a name that this connection's provider gave.
    pub(super) fn kept_name(&self, name: &NameId) -> String {
        let format = name.format.as_deref().unwrap_or(name_id_format::UNSPECIFIED);
        let theirs = name.name_qualifier.as_deref().filter(|given| *given != self.settings.idp_entity_id);
        let ours = name.sp_name_qualifier.as_deref().filter(|given| *given != self.sp.entity_id);
        kept(Some(format), theirs, ours, &name.value)
    }
}

/// The text for the value of an attribute that says who somebody is.
pub(super) fn of_attribute(name: &str, value: &str) -> String {
    format!("{ATTRIBUTE} {} {ABSENT} {value}", escaped(name))
}

fn kept(format: Option<&str>, theirs: Option<&str>, ours: Option<&str>, value: &str) -> String {
    let part = |text: Option<&str>| text.map_or_else(|| ABSENT.to_owned(), escaped);
    format!("{} {} {} {value}", part(format), part(theirs), part(ours))
}

/// No spaces, never empty, never `-`.
fn escaped(text: &str) -> String {
    match text {
        "" => "%".to_owned(),
        ABSENT => "%2D".to_owned(),
        text => text.replace('%', "%25").replace(' ', "%20"),
    }
}

fn unescaped(part: &str) -> Option<String> {
    match part {
        ABSENT => None,
        "%" => Some(String::new()),
        "%2D" => Some(ABSENT.to_owned()),
        part => Some(part.replace("%20", " ").replace("%25", "%")),
    }
}

/// The name behind a text of [`Party::kept_name`]; `None` for an attribute's.
pub(super) fn name_of(text: &str) -> Option<NameId> {
    let mut parts = text.splitn(4, ' ');
    let mut next = || parts.next();
    let (format, theirs, ours, value) = (next()?, next()?, next()?, next()?);
    (format != ATTRIBUTE).then(|| NameId {
        value: value.to_owned(),
        format: unescaped(format),
        name_qualifier: unescaped(theirs),
        sp_name_qualifier: unescaped(ours),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_attribute_is_no_name() {
        let text = of_attribute("urn:oid:1.2 3", "ann 1");
        assert_eq!(text, "%attribute urn:oid:1.2%203 - ann 1");
        assert!(name_of(&text).is_none());
        assert!(name_of("a b c").is_none());
        assert!(kept(Some(ATTRIBUTE), None, None, "x").starts_with("%25attribute "), "no name can look like one");
    }

    fn part() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[-% a2D05u:/]{0,6}")
    }

    proptest! {
        #[test]
        fn two_names_never_become_one_and_each_comes_back(
            (a1, a2, a3, a4) in (part(), part(), part(), "[-% a]{1,4}"),
            (b1, b2, b3, b4) in (part(), part(), part(), "[-% a]{1,4}"),
        ) {
            let a = kept(a1.as_deref(), a2.as_deref(), a3.as_deref(), &a4);
            let b = kept(b1.as_deref(), b2.as_deref(), b3.as_deref(), &b4);
            prop_assert_eq!(a == b, (&a1, &a2, &a3, &a4) == (&b1, &b2, &b3, &b4));
            let name = name_of(&a).unwrap();
            prop_assert_eq!((name.format, name.name_qualifier, name.sp_name_qualifier, name.value), (a1, a2, a3, a4));
        }
    }
}
