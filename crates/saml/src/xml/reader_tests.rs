use proptest::prelude::*;

use super::*;
use crate::{fuzzing::walk, xml::canonical};

fn code(xml: &str) -> &'static str {
    match read(xml.as_bytes(), &Limits::MESSAGE) {
        Ok(_) => "accepted",
        Err(fault) => fault.code(),
    }
}

#[test]
fn what_saml_does_not_need_is_refused_by_name() {
    for (xml, want) in [
        ("<!DOCTYPE a><a/>", "saml_document_type"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "saml_document_type"),
        ("<a><!ENTITY x 'y'></a>", "saml_document_type"),
        ("<a>&x;</a>", "saml_entity_reference"),
        ("<a b='&nbsp;'/>", "saml_entity_reference"),
        ("<a><?php x?></a>", "saml_processing_instruction"),
        ("<?xml-stylesheet href='x'?><a/>", "saml_processing_instruction"),
        ("<a><![CDATA[x]]></a>", "saml_cdata_section"),
        ("<a>x<!---->y</a>", "saml_comment"),
        ("<!-- x --><a/>", "saml_comment"),
        ("<a xmlns:p='1'/>", "saml_relative_namespace"),
        ("<a xmlns='x y:z'/>", "saml_relative_namespace"),
        ("<p:a/>", "saml_unbound_prefix"),
        ("<a p:b='1'/>", "saml_unbound_prefix"),
        ("<a ID='x'><b ID='x'/></a>", "saml_duplicate_id"),
        ("<a ID='x'><b Id='x'/></a>", "saml_duplicate_id"),
        ("<a ID='x'><b xml:id='x'/></a>", "saml_duplicate_id"),
        ("<a ID='x'><b AssertionID='&#120;'/></a>", "saml_duplicate_id"),
        ("<?xml version='1.1'?><a/>", "saml_xml_declaration"),
        ("<?xml version='1.0' encoding='UTF-16'?><a/>", "saml_xml_declaration"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "saml_xml_declaration"),
    ] {
        assert_eq!(code(xml), want, "{xml}");
    }
    assert_eq!(read(b"<a>\xff</a>", &Limits::MESSAGE).unwrap_err(), SamlFault::NotUtf8);
    assert_eq!(read(b"\xff\xfe<\0a\0/\0>\0", &Limits::MESSAGE).unwrap_err(), SamlFault::NotUtf8);
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for xml in [
        "",
        " ",
        "a",
        "<a>",
        "<a",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='c/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<a b='1'c='2'/>",
        "<a>]]></a>",
        "<a>&</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#xFFFE;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#x+41;</a>",
        "<a>\u{1}</a>",
        "<1/>",
        "< a/>",
        "<a:/>",
        "<:a/>",
        "<a:b:c xmlns:a='u:a'/>",
        "<a xmlns:p='u:1' xmlns:q='u:1' p:x='1' q:x='2'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xml='u:x'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<xmlns:a/>",
        "<a xmlns='u:1' xmlns='u:2'/>",
        "<?xml?><a/>",
        "<?xml version='1.0'><a/>",
        " <?xml version='1.0'?><a/>",
        "<?xml encoding='UTF-8'?><a/>",
        "<é/>",
        "<a><b></a></b>",
        "<a / >",
        "</ a>",
        "<a></a >x",
    ] {
        assert!(code(xml) != "accepted", "{xml}");
        // Whatever another parser takes of these, it is more than we do; never less.
    }
}

#[test]
fn what_is_well_formed_means_what_it_says() {
    let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes' ?>\r\n<a x=' &#9;\t&amp;\r\n'>a\r\nb\rc&#13;&lt;é</a >\n";
    let document = read(xml.as_bytes(), &Limits::MESSAGE).unwrap();
    assert_eq!(document.root().attribute("x"), Some(" \t & "));
    assert_eq!(document.root().text().unwrap(), "a\nb\nc\r<é");
    // Where the second parser of the fuzz target was wrong, and not this one.
    let document = read(b"<a>x\r&apos;y\r&#13;\r</a>", &Limits::MESSAGE).unwrap();
    assert_eq!(document.root().text().unwrap(), "x\n'y\n\r\n");
    let metadata = read(b"<!-- a --><a>x<!-- b -->y</a><!-- c -->", &Limits::METADATA).unwrap();
    assert_eq!(metadata.root().text().unwrap(), "xy");
    assert!(read(b"<a><!-- a -- b --></a>", &Limits::METADATA).is_err());
}

#[test]
fn every_bound_holds_one_less_and_breaks_one_more() {
    let small = Limits { bytes: 200, depth: 3, elements: 4, attributes: 2, drop_comments: false };
    let too_large = |xml: &str| matches!(read(xml.as_bytes(), &small), Err(SamlFault::TooLarge { .. }));
    assert!(!too_large("<a><b><c/></b></a>") && too_large("<a><b><c><d/></c></b></a>"));
    assert!(!too_large("<a><b/><b/><b/></a>") && too_large("<a><b/><b/><b/><b/></a>"));
    assert!(!too_large("<a b='' c=''/>") && too_large("<a b='' c='' d=''/>"));
    assert!(!too_large(&format!("<a>{}</a>", "x".repeat(193))) && too_large(&format!("<a>{}</a>", "x".repeat(194))));
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    assert!(matches!(read(deep.as_bytes(), &Limits::METADATA), Err(SamlFault::TooLarge { .. })));
}

/// A short document whose canonical form would repeat one long namespace thousands of times.
#[test]
fn a_canonical_form_does_not_grow_without_bound() {
    let uri = format!("urn:{}", "x".repeat(1000));
    let xml = format!("<a xmlns:p='{uri}'>{}</a>", "<p:b/>".repeat(8000));
    let document = read(xml.as_bytes(), &Limits::MESSAGE).unwrap();
    let bound = Limits::MESSAGE.canonical().bytes;
    assert!(matches!(canonical(document.root(), None, &[], bound), Err(SamlFault::TooLarge { .. })));
}

/// What `fuzzing::walk` writes of our tree, by roxmltree's.
fn theirs(node: roxmltree::Node<'_, '_>, out: &mut Vec<String>) {
    let mut attributes: Vec<String> = node
        .attributes()
        .map(|a| format!("{{{}}}{}={:?}", a.namespace().unwrap_or_default(), a.name(), a.value()))
        .collect();
    attributes.sort();
    out.push(format!(
        "<{{{}}}{} {attributes:?}",
        node.tag_name().namespace().unwrap_or_default(),
        node.tag_name().name()
    ));
    for child in node.children() {
        if child.is_element() {
            theirs(child, out);
        } else if child.is_text() {
            out.push(format!("{:?}", child.text().unwrap_or_default()));
        }
    }
    out.push(">".to_owned());
}

/// What we accept, the other parser accepts and sees the same. Returns whether it was accepted.
pub(crate) fn agrees(xml: &[u8]) -> bool {
    let Ok(document) = read(xml, &Limits::MESSAGE) else { return false };
    let text = std::str::from_utf8(xml).unwrap();
    // As if line ends were made one before parsing (XML 1.0, 2.11): roxmltree 0.21 keeps the `\r` of `\r&apos;`.
    let text = &text.replace("\r\n", "\n").replace('\r', "\n");
    let other = roxmltree::Document::parse(text).unwrap_or_else(|e| panic!("roxmltree refuses {text:?}: {e}"));
    let (mut one, mut two) = (Vec::new(), Vec::new());
    walk(document.root(), &mut one);
    theirs(other.root_element(), &mut two);
    assert_eq!(one, two, "{text:?}");
    // The canonical form is a fixed point, and reads as the same tree.
    let form = canonical(document.root(), None, &[], 1 << 24).unwrap();
    let again = read(&form, &Limits::MESSAGE.canonical()).unwrap();
    let mut three = Vec::new();
    walk(again.root(), &mut three);
    assert_eq!(one, three, "{text:?}");
    assert_eq!(form, canonical(again.root(), None, &[], 1 << 24).unwrap());
    true
}

/// Pieces out of which markup is made, good and bad.
const PIECES: &[&str] = &[
    "<a>",
    "</a>",
    "<b x='1'>",
    "</b>",
    "<p:c xmlns:p='urn:p'>",
    "</p:c>",
    "<a/>",
    "<p:a/>",
    "<d xmlns='urn:d'>",
    "</d>",
    "<e xmlns=''>",
    "</e>",
    " xmlns:p=\"urn:q\"",
    " y=\"&lt;\"",
    "&amp;",
    "&#65;",
    "&#x1F600;",
    "&#13;",
    "&x;",
    "text",
    "\r\n",
    "\t",
    " ",
    "]]>",
    "]]",
    "<!--c-->",
    "<![CDATA[d]]>",
    "<?pi?>",
    "<?xml version='1.0'?>",
    "\u{feff}",
    "é",
    "'",
    "\"",
    ">",
    "<",
    "&",
    "xml:lang='x'",
    "<f xml:space='preserve' p:x=''>",
    "</f>",
    "<a\n>",
    "</a\t>",
    "\u{85}",
    "\u{2028}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn two_parsers_agree_on_pieces(picks in prop::collection::vec(0..PIECES.len(), 0..24)) {
        let body: String = picks.iter().map(|&pick| PIECES[pick]).collect();
        agrees(body.as_bytes());
        agrees(format!("<r xmlns:p='urn:p'>{body}</r>").as_bytes());
    }

    #[test]
    fn two_parsers_agree_on_anything(body in "\\PC{0,60}", inside in "[<>/a-c&;#x0-9 ='\":!?\\-\\[\\]\\r\\n\\t]{0,60}") {
        agrees(body.as_bytes());
        agrees(format!("<r>{body}</r>").as_bytes());
        agrees(format!("<r {inside}/>").as_bytes());
        agrees(format!("<r>{inside}</r>").as_bytes());
    }

    /// Nested elements with prefixes that come and go.
    #[test]
    fn two_parsers_agree_on_trees(shape in tree()) {
        prop_assert!(agrees(shape.as_bytes()), "{}", shape);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &Limits::MESSAGE);
        let _ = read(&bytes, &Limits::METADATA);
    }
}

fn tree() -> impl Strategy<Value = String> {
    let leaf = "[ a-z<>&'\"\\r\\n\\té]{0,8}"
        .prop_map(|text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;"));
    let inner = leaf.prop_recursive(5, 40, 4, |child| {
        let declared = prop::sample::subsequence(
            vec![
                "xmlns='urn:1'",
                "xmlns=''",
                "xmlns:p='urn:1'",
                "xmlns:p='urn:2'",
                "xmlns:q='urn:1'",
                "x='1'",
                "p:x='2'",
                "q:y='&#9;'",
            ],
            0..6,
        );
        (declared, prop::sample::select(vec!["a", "p:a", "q:b"]), prop::collection::vec(child, 0..4)).prop_map(
            |(mut attributes, name, children)| {
                let mut seen = HashSet::new();
                attributes.retain(|a| seen.insert(a.split('=').next().unwrap().to_owned()));
                format!("<{name} {}>{}</{name}>", attributes.join(" "), children.concat())
            },
        )
    });
    inner.prop_map(|body| format!("<r xmlns:p='urn:p' xmlns:q='urn:q'>{body}</r>"))
}
