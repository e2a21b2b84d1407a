//! The tree of a document. It is only read: nothing edits a stranger's document.

use std::sync::Arc;

use crate::{SamlFault, fault::shown};

/// A document that the strict reader accepted.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(super) nodes: Vec<Node>,
}

/// One element, in document order; the first is the root.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: Option<usize>,
    pub(super) name: Name,
    /// Namespaces declared on this element: prefix (empty: the default) and URI.
    pub(super) declared: Vec<(String, Arc<str>)>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Child>,
}

/// A name as written and as meant. An empty namespace is no namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) prefix: String,
    pub(crate) local: String,
    pub(crate) namespace: Arc<str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) name: Name,
    pub(crate) value: String,
}

#[derive(Debug, Clone)]
pub(super) enum Child {
    Element(usize),
    Text(String),
}

/// A child, for whoever walks the tree in order.
pub(crate) enum Content<'a> {
    Element(Element<'a>),
    Text(&'a str),
}

/// An element of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    document: &'a Document,
    index: usize,
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.document, other.document) && self.index == other.index
    }
}

impl Document {
    /// The outermost element. The reader makes no document without one.
    pub(crate) fn root(&self) -> Element<'_> {
        Element { document: self, index: 0 }
    }

    /// Every element, the root first, in document order.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Element<'_>> {
        (0..self.nodes.len()).map(|index| Element { document: self, index })
    }
}

impl<'a> Element<'a> {
    fn node(self) -> &'a Node {
        &self.document.nodes[self.index]
    }

    pub(crate) fn name(self) -> &'a Name {
        &self.node().name
    }

    pub(crate) fn is(self, namespace: &str, local: &str) -> bool {
        let name = self.name();
        name.local == local && &*name.namespace == namespace
    }

    pub(crate) fn parent(self) -> Option<Element<'a>> {
        self.node().parent.map(|index| Element { document: self.document, index })
    }

    pub(crate) fn attributes(self) -> &'a [Attribute] {
        &self.node().attributes
    }

    /// The namespaces declared on this very element.
    pub(crate) fn declared(self) -> &'a [(String, Arc<str>)] {
        &self.node().declared
    }

    /// What `prefix` means here; `None` where nothing declares it.
    pub(crate) fn namespace_of(self, prefix: &str) -> Option<&'a str> {
        let mut at = Some(self);
        while let Some(element) = at {
            if let Some((_, uri)) = element.declared().iter().find(|(declared, _)| declared == prefix) {
                return Some(uri);
            }
            at = element.parent();
        }
        None
    }

    /// The value of an attribute that has no namespace, as all of SAML's own have none.
    pub(crate) fn attribute(self, local: &str) -> Option<&'a str> {
        let mut all = self.attributes().iter();
        all.find(|a| a.name.namespace.is_empty() && a.name.local == local).map(|a| a.value.as_str())
    }

    /// As [`attribute`](Self::attribute), where it must be there.
    pub(crate) fn required(self, local: &'static str) -> Result<&'a str, SamlFault> {
        self.attribute(local).ok_or_else(|| SamlFault::MissingAttribute { element: self.shown(), attribute: local })
    }

    /// Elements and text, in order.
    pub(crate) fn content(self) -> impl Iterator<Item = Content<'a>> {
        let document = self.document;
        self.node().children.iter().map(move |child| match child {
            Child::Element(index) => Content::Element(Element { document, index: *index }),
            Child::Text(text) => Content::Text(text),
        })
    }

    pub(crate) fn children(self) -> impl Iterator<Item = Element<'a>> {
        self.content().filter_map(|content| match content {
            Content::Element(element) => Some(element),
            Content::Text(_) => None,
        })
    }

    pub(crate) fn named(self, namespace: &'static str, local: &'static str) -> impl Iterator<Item = Element<'a>> {
        self.children().filter(move |child| child.is(namespace, local))
    }

    /// The one child of that name, or none; several are refused.
    pub(crate) fn at_most_one(
        self,
        namespace: &'static str,
        local: &'static str,
    ) -> Result<Option<Element<'a>>, SamlFault> {
        let mut all = self.named(namespace, local);
        let first = all.next();
        match all.next() {
            None => Ok(first),
            Some(_) => Err(SamlFault::Repeated { parent: self.shown(), element: local }),
        }
    }

    /// The one child of that name.
    pub(crate) fn one(self, namespace: &'static str, local: &'static str) -> Result<Element<'a>, SamlFault> {
        self.at_most_one(namespace, local)?
            .ok_or_else(|| SamlFault::MissingElement { parent: self.shown(), element: local })
    }

    /// All of the text, exactly; an element among it is refused.
    pub(crate) fn text(self) -> Result<String, SamlFault> {
        let mut whole = String::new();
        for content in self.content() {
            match content {
                Content::Text(text) => whole.push_str(text),
                Content::Element(inner) => {
                    return Err(SamlFault::Unexpected { parent: self.shown(), element: inner.shown() });
                }
            }
        }
        Ok(whole)
    }

    /// The text without XML white space around it: for URIs and encoded bytes, never for identity.
    pub(crate) fn token(self) -> Result<String, SamlFault> {
        Ok(self.text()?.trim_matches([' ', '\t', '\r', '\n']).to_owned())
    }

    /// The element itself and all that it holds, in document order.
    pub(crate) fn subtree(self) -> impl Iterator<Item = Element<'a>> {
        let own = self.index;
        let document = self.document;
        // In document order a subtree is one run of elements: it ends where an ancestor is no longer this element.
        (own..document.nodes.len())
            .map(move |index| Element { document, index })
            .take_while(move |element| element.index == own || element.is_inside(own))
    }

    fn is_inside(self, ancestor: usize) -> bool {
        let mut at = self.node().parent;
        while let Some(index) = at {
            if index <= ancestor {
                return index == ancestor;
            }
            at = self.document.nodes[index].parent;
        }
        false
    }

    /// The name for a sentence.
    pub(crate) fn shown(self) -> String {
        shown(&self.name().local)
    }
}
