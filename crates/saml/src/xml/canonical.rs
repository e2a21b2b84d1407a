//! Exclusive XML Canonicalization 1.0 (W3C, 18 July 2002), of one element and what it holds.
//!
//! A fault here can make a good signature fail. It cannot let a bad one pass: the digest that the peer signed is
//! over the bytes that this module gives, and those same bytes are what is read afterwards.

use std::collections::BTreeMap;

use super::tree::{Content, Element};
use crate::{SamlFault, names::XML_NAMESPACE};

/// The canonical bytes of `apex` without the one child `without` (the signature that it envelops).
///
/// `inclusive` is the `PrefixList` of `InclusiveNamespaces` (`#default` for the default namespace). There are no
/// comments to keep or to drop: the reader has none in its trees.
///
/// Each element may repeat a long namespace that the source has once, so the output has a bound of its own.
pub(crate) fn canonical(
    apex: Element<'_>,
    without: Option<Element<'_>>,
    inclusive: &[String],
    limit: usize,
) -> Result<Vec<u8>, SamlFault> {
    let mut canon = Canon { out: Vec::new(), limit, without, inclusive };
    canon.element(apex, &BTreeMap::new(), true)?;
    Ok(canon.out)
}

struct Canon<'a, 'i> {
    out: Vec<u8>,
    limit: usize,
    without: Option<Element<'a>>,
    inclusive: &'i [String],
}

/// Prefix to URI, as the output so far has declared.
type Rendered<'a> = BTreeMap<&'a str, &'a str>;

impl<'a> Canon<'a, '_> {
    fn element(&mut self, element: Element<'a>, above: &Rendered<'a>, apex: bool) -> Result<(), SamlFault> {
        if self.out.len() > self.limit {
            return Err(SamlFault::TooLarge { what: "bytes in canonical form", limit: self.limit });
        }
        let wanted = self.wanted(element, apex);
        let mut rendered = above.clone();
        let name = qualified(&element.name().prefix, &element.name().local);
        self.push("<");
        self.push(&name);
        // BTreeMap: the default namespace first, then by prefix.
        for (prefix, uri) in wanted {
            let before = above.get(prefix).copied();
            if before == Some(uri) || (before.is_none() && prefix.is_empty() && uri.is_empty()) {
                continue;
            }
            rendered.insert(prefix, uri);
            self.push(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
            self.push(prefix);
            self.push("=\"");
            self.attribute_text(uri);
            self.push("\"");
        }
        let mut attributes: Vec<_> = element.attributes().iter().collect();
        attributes.sort_by_key(|a| (&*a.name.namespace, a.name.local.as_str()));
        for attribute in attributes {
            self.push(" ");
            self.push(&qualified(&attribute.name.prefix, &attribute.name.local));
            self.push("=\"");
            self.attribute_text(&attribute.value);
            self.push("\"");
        }
        self.push(">");
        for content in element.content() {
            match content {
                Content::Text(text) => self.text(text),
                Content::Element(inner) if self.without == Some(inner) => {}
                Content::Element(inner) => self.element(inner, &rendered, false)?,
            }
        }
        self.push("</");
        self.push(&name);
        self.push(">");
        Ok(())
    }

    /// The namespaces that this element needs: those it visibly uses, and the listed ones that are in scope.
    fn wanted(&self, element: Element<'a>, apex: bool) -> Rendered<'a> {
        let mut wanted = Rendered::new();
        let own = element.name();
        wanted.insert(own.prefix.as_str(), &own.namespace);
        for attribute in element.attributes() {
            // An attribute without a prefix has no namespace, whatever the default is.
            if !attribute.name.prefix.is_empty() {
                wanted.insert(attribute.name.prefix.as_str(), &attribute.name.namespace);
            }
        }
        wanted.retain(|_, uri| *uri != XML_NAMESPACE);
        for listed in self.inclusive {
            let prefix = if listed == "#default" { "" } else { listed };
            // Below the apex a listed prefix is written where it is declared; at the apex wherever it comes from.
            let found = if apex {
                element.namespace_of(prefix)
            } else {
                element.declared().iter().find(|(p, _)| p == prefix).map(|(_, uri)| &**uri)
            };
            let Some(uri) = found else { continue };
            let Some(key) = declared_key(element, prefix) else { continue };
            wanted.insert(key, uri);
        }
        wanted
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'&' => self.push("&amp;"),
                b'<' => self.push("&lt;"),
                b'>' => self.push("&gt;"),
                b'\r' => self.push("&#xD;"),
                other => self.out.push(other),
            }
        }
    }

    fn attribute_text(&mut self, value: &str) {
        for byte in value.bytes() {
            match byte {
                b'&' => self.push("&amp;"),
                b'<' => self.push("&lt;"),
                b'"' => self.push("&quot;"),
                b'\t' => self.push("&#x9;"),
                b'\n' => self.push("&#xA;"),
                b'\r' => self.push("&#xD;"),
                other => self.out.push(other),
            }
        }
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// The prefix as the declaring ancestor holds it, so that it lives as long as the document.
fn declared_key<'a>(element: Element<'a>, prefix: &str) -> Option<&'a str> {
    let mut at = Some(element);
    while let Some(here) = at {
        if let Some((key, _)) = here.declared().iter().find(|(p, _)| p == prefix) {
            return Some(key);
        }
        at = here.parent();
    }
    None
}

fn qualified(prefix: &str, local: &str) -> String {
    if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Limits, read};

    fn of(xml: &str, path: &[usize], inclusive: &[&str]) -> String {
        let document = read(xml.as_bytes(), &Limits::MESSAGE).unwrap();
        let mut at = document.root();
        for &index in path {
            at = at.children().nth(index).unwrap();
        }
        let inclusive: Vec<String> = inclusive.iter().map(|&p| p.to_owned()).collect();
        String::from_utf8(canonical(at, None, &inclusive, 10_000).unwrap()).unwrap()
    }

    /// The example of the recommendation's section 2.2: the context changes, the canonical form does not.
    #[test]
    fn the_context_of_an_element_does_not_change_its_form() {
        let one = r#"<n0:pdu xmlns:n0="urn:a"><n1:elem1 xmlns:n1="http://b.example">content</n1:elem1></n0:pdu>"#;
        let two = "<n2:pdu xmlns:n1=\"http://example.com\" xmlns:n2=\"http://foo.example\" xml:lang=\"fr\" \
                   xml:space=\"retain\"><n1:elem1 xmlns:n1=\"http://b.example\">content</n1:elem1></n2:pdu>";
        assert_eq!(of(one, &[0], &[]), r#"<n1:elem1 xmlns:n1="http://b.example">content</n1:elem1>"#);
        assert_eq!(of(one, &[0], &[]), of(two, &[0], &[]));
    }

    #[test]
    fn a_namespace_is_written_where_it_is_first_used_and_not_again() {
        let xml = r#"<a xmlns="urn:d" xmlns:p="urn:p" xmlns:q="urn:q"><p:b q:x="1" y="2"><p:c/></p:b></a>"#;
        assert_eq!(
            of(xml, &[], &[]),
            r#"<a xmlns="urn:d"><p:b xmlns:p="urn:p" xmlns:q="urn:q" y="2" q:x="1"><p:c></p:c></p:b></a>"#
        );
    }

    #[test]
    fn a_listed_prefix_is_written_at_the_apex_even_unused() {
        let xml = r#"<a xmlns:xs="urn:xs" xmlns:p="urn:p"><p:b t="xs:string"/></a>"#;
        assert_eq!(of(xml, &[0], &[]), r#"<p:b xmlns:p="urn:p" t="xs:string"></p:b>"#);
        assert_eq!(of(xml, &[0], &["xs", "none"]), r#"<p:b xmlns:p="urn:p" xmlns:xs="urn:xs" t="xs:string"></p:b>"#);
    }

    #[test]
    fn a_default_namespace_is_undone_only_where_one_stood() {
        let xml = r#"<a xmlns="urn:d"><b xmlns=""><c/></b></a>"#;
        assert_eq!(of(xml, &[], &[]), r#"<a xmlns="urn:d"><b xmlns=""><c></c></b></a>"#);
        assert_eq!(of(xml, &[0], &[]), "<b><c></c></b>");
        assert_eq!(of(xml, &[0], &["#default"]), "<b><c></c></b>");
    }

    #[test]
    fn text_and_attributes_are_escaped_as_the_recommendation_says() {
        let xml = "<a b='&#9;&#10;&#13;&quot;&lt;&gt;&amp;'>&lt;&gt;&amp;\"&#13;\r\n</a>";
        let want = "<a b=\"&#x9;&#xA;&#xD;&quot;&lt;>&amp;\">&lt;&gt;&amp;\"&#xD;\n</a>";
        assert_eq!(of(xml, &[], &[]), want);
        assert_eq!(of(want, &[], &[]), want);
    }
}
