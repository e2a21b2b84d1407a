//! Writes our own messages: well-formed whatever the values hold.

/// A message in the making. Values are escaped; names are ours.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    open: Vec<&'static str>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Opens an element; attributes without a value are left out.
    pub(crate) fn open(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)]) -> &mut Self {
        self.start(name, attributes);
        self.text.push('>');
        self.open.push(name);
        self
    }

    /// An element without content.
    pub(crate) fn empty(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)]) -> &mut Self {
        self.start(name, attributes);
        self.text.push_str("/>");
        self
    }

    /// An element that holds only text.
    pub(crate) fn leaf(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)], text: &str) -> &mut Self {
        self.open(name, attributes);
        escape(&mut self.text, text);
        self.close()
    }

    /// Bytes written so far: where the next part will stand.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Closes the element that was opened last.
    pub(crate) fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// Closes what is open and hands the text over.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn start(&mut self, name: &str, attributes: &[(&str, Option<&str>)]) {
        self.text.push('<');
        self.text.push_str(name);
        for (attribute, value) in attributes {
            let Some(value) = value else { continue };
            self.text.push(' ');
            self.text.push_str(attribute);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
    }
}

/// Characters that XML cannot hold become U+FFFD.
fn escape(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            other if super::reader::is_char(other) => out.push(other),
            _ => out.push('\u{fffd}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Limits, read};

    #[test]
    fn whatever_a_value_holds_it_comes_back() {
        let value = "a<b>&\"'\t\n\r]]> é";
        let mut writer = Writer::new();
        writer.open("a", &[("x", Some(value)), ("y", None)]).leaf("b", &[], value).empty("c", &[]);
        let document = read(writer.finish().as_bytes(), &Limits::MESSAGE).unwrap();
        assert_eq!(document.root().attribute("x"), Some(value));
        assert_eq!(document.root().attribute("y"), None);
        assert_eq!(document.root().children().next().unwrap().text().unwrap(), value);
    }
}
