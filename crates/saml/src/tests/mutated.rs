//! Signed documents, mutated at random: whatever is still accepted says exactly what was signed, and a second XML
//! parser reads the same person out of it.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

struct Fixed {
    sp: ServiceProvider,
    idp: IdpMetadata,
    /// Signed by assertion, by response, by both.
    documents: [String; 3],
    want: Assertion,
}

fn fixed() -> &'static Fixed {
    static FIXED: OnceLock<Fixed> = OnceLock::new();
    FIXED.get_or_init(|| {
        let message = Message::default();
        let documents = [message.assertion_signed(), message.response_signed(), message.both_signed()];
        let want = read_xml(&documents[0]).unwrap().assertion;
        Fixed { sp: sp(), idp: idp(), documents, want }
    })
}

/// Reads, and if it is accepted compares with what was signed and with what the other parser sees.
fn check(xml: &str) -> bool {
    let Fixed { sp, idp, want, .. } = fixed();
    let Ok(login) = read_response(sp, idp, &STANDARD.encode(xml), &expected()) else { return false };
    assert_eq!(&login.assertion, want, "{xml}");
    let other = roxmltree::Document::parse(xml).unwrap();
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let mut all = node.children().filter(|c| c.tag_name().name() == name && c.tag_name().namespace() == Some(SAML));
        let one = all.next().map(|c| c.id());
        assert!(all.next().is_none());
        one.and_then(|id| node.document().get_node(id).map(|n| n.id())).unwrap()
    };
    let mut at = other.root_element();
    for name in ["Assertion", "Subject", "NameID"] {
        at = other.get_node(child(at, name)).unwrap();
    }
    let text: String = at.children().filter(|c| c.is_text()).filter_map(|c| c.text()).collect();
    assert_eq!(text, want.name_id.value);
    // No other NameID, assertion or signature anywhere that a laxer reader might take.
    let count = |name: &str| other.descendants().filter(|n| n.is_element() && n.tag_name().name() == name).count();
    assert_eq!((count("NameID"), count("Assertion")), (1, 1), "{xml}");
    true
}

const EVIL: &str =
    "<saml:NameID Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\">root@acme.example</saml:NameID>";

/// What is put in, besides parts of the document itself.
const PIECES: &[&str] = &[
    " ",
    "\n",
    "\t",
    "<!---->",
    "<?x?>",
    "<![CDATA[x]]>",
    "&#65;",
    "&lt;",
    "x",
    "root@acme.example",
    EVIL,
    "ID=\"_assertion1\" ",
    " xmlns:saml=\"urn:x\"",
    " xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"",
    "<saml:Subject>",
    "</saml:Subject>",
    "<x xmlns=\"urn:x\"/>",
    "\"",
    "'",
    "/>",
    "&amp;",
    "<!DOCTYPE a>",
    "<samlp:Extensions/>",
    "\u{200b}",
    "é",
];

#[derive(Debug, Clone)]
enum Change {
    /// Puts a piece at a place.
    Piece(prop::sample::Index, prop::sample::Index),
    /// Puts a piece where a tag begins or ends.
    Between(prop::sample::Index, prop::sample::Index),
    /// Deletes some bytes.
    Delete(prop::sample::Index, usize),
    /// Copies one element to before another tag.
    Copy(prop::sample::Index, prop::sample::Index),
    /// Moves it.
    Move(prop::sample::Index, prop::sample::Index),
    /// Puts an evil assertion with a new or the old id, signed or not, somewhere.
    Assertion(prop::sample::Index, bool, bool),
    /// Replaces a run of text everywhere.
    Replace(prop::sample::Index),
    /// Writes a letter as a character reference.
    Reference(prop::sample::Index),
}

const REPLACE: &[(&str, &str)] = &[
    (PERSON, "root@acme.example"),
    ("_assertion1", "_response1"),
    ("_assertion1", "_x"),
    ("saml:", "s:"),
    ("xmlns:saml", "xmlns:s"),
    ("ds:Signature ", "ds:Signature xmlns:x=\"urn:x\" "),
    ("staff", "root"),
    ("samlp:", "p:"),
    (ACS, "https://evil.example"),
    ("><", "> <"),
    ("\"", "'"),
    ("Assertion", "Advice"),
    ("Subject", "SubjectX"),
    ("<saml:Issuer>", "<saml:Issuer >"),
    ("</saml:Issuer>", "</saml:Issuer\n>"),
    ("Version=", "  Version ="),
];

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), index()).prop_map(|(a, b)| Change::Piece(a, b)),
        (index(), index()).prop_map(|(a, b)| Change::Between(a, b)),
        (index(), 1usize..40).prop_map(|(a, n)| Change::Delete(a, n)),
        (index(), index()).prop_map(|(a, b)| Change::Copy(a, b)),
        (index(), index()).prop_map(|(a, b)| Change::Move(a, b)),
        (index(), any::<bool>(), any::<bool>()).prop_map(|(a, b, c)| Change::Assertion(a, b, c)),
        index().prop_map(Change::Replace),
        index().prop_map(Change::Reference),
    ]
}

fn apply(xml: &mut String, change: &Change) {
    let tags: Vec<usize> = xml.match_indices('<').map(|(at, _)| at).collect();
    if tags.is_empty() {
        return;
    }
    match change {
        Change::Piece(at, piece) => {
            let mut at = at.index(xml.len());
            while !xml.is_char_boundary(at) {
                at -= 1;
            }
            xml.insert_str(at, PIECES[piece.index(PIECES.len())]);
        }
        Change::Between(at, piece) => xml.insert_str(tags[at.index(tags.len())], PIECES[piece.index(PIECES.len())]),
        Change::Delete(at, length) => {
            let mut from = at.index(xml.len());
            let mut to = (from + length).min(xml.len());
            while !xml.is_char_boundary(from) {
                from -= 1;
            }
            while !xml.is_char_boundary(to) {
                to -= 1;
            }
            xml.replace_range(from..to, "");
        }
        Change::Copy(what, to) | Change::Move(what, to) => {
            let from = tags[what.index(tags.len())];
            let Some(end) = element_end(xml, from) else { return };
            let element = xml[from..end].to_owned();
            let to = tags[to.index(tags.len())];
            xml.insert_str(to, &element);
            if matches!(change, Change::Move(..)) {
                let from = if to <= from { from + element.len() } else { from };
                if xml.get(from..from + element.len()) == Some(element.as_str()) {
                    xml.replace_range(from..from + element.len(), "");
                }
            }
        }
        Change::Assertion(at, same, signed) => {
            let assertion_id = if *same { "_assertion1" } else { "_evil" };
            let message = Message { name: EVIL.into(), assertion_id, ..Message::default() };
            let mut evil = message.assertion();
            if *signed {
                let signature = signature_in(&fixed().documents[0]);
                evil = evil.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1);
            }
            xml.insert_str(tags[at.index(tags.len())], &evil);
        }
        Change::Replace(which) => {
            let (from, to) = REPLACE[which.index(REPLACE.len())];
            *xml = xml.replace(from, to);
        }
        Change::Reference(at) => {
            let at = at.index(xml.len());
            if let Some(byte) = xml.as_bytes().get(at).copied().filter(u8::is_ascii_lowercase) {
                xml.replace_range(at..=at, &format!("&#{byte};"));
            }
        }
    }
}

/// Where the element that begins at `from` ends, by its name.
fn element_end(xml: &str, from: usize) -> Option<usize> {
    let name: String = xml[from + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
    let tag = from + xml[from..].find('>')?;
    if xml.as_bytes().get(tag - 1) == Some(&b'/') {
        return Some(tag + 1);
    }
    let close = format!("</{name}>");
    (!name.is_empty()).then(|| xml[tag..].find(&close).map(|at| tag + at + close.len()))?
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_is_accepted_says_what_was_signed(
        which in 0usize..3,
        changes in prop::collection::vec(change(), 1..5),
    ) {
        let mut xml = fixed().documents[which].clone();
        for change in &changes {
            apply(&mut xml, change);
        }
        check(&xml);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Writing the same document otherwise does not break a signature: references, spaces inside tags, quotes.
    #[test]
    fn another_way_to_write_the_same_is_the_same(
        which in 0usize..3,
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        quotes in any::<bool>(),
        spaces in any::<bool>(),
    ) {
        let mut xml = fixed().documents[which].clone();
        // Only in text and values, not in names.
        let letters: Vec<usize> = xml.match_indices("acme").map(|(at, _)| at).collect();
        let mut chosen: Vec<usize> = places.iter().map(|p| letters[p.index(letters.len())]).collect();
        chosen.sort_unstable();
        chosen.dedup();
        for at in chosen.into_iter().rev() {
            xml.replace_range(at..at + 1, "&#x61;");
        }
        if quotes {
            xml = xml.replace('"', "'");
        }
        if spaces {
            xml = xml.replace("/>", " \n/>").replace(" ID=", "\r\n\tID = ");
        }
        prop_assert!(check(&xml), "{}", xml);
    }
}
