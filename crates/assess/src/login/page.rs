//! A page of a stranger's sign-in, as far as a walk needs it: its forms, its links and an immediate refresh.
//!
//! It reads HTML loosely, as pages are written. It never runs a script, loads an image or a frame, and never
//! keeps more than a bounded number of forms, fields and links.

/// So many forms, fields of one form, or links are kept; what comes after them is ignored.
const MAX_ITEMS: usize = 64;
/// After so many tags that do not end, the rest of a page is not read: each may cost its whole length.
const MAX_BROKEN: usize = 8;
/// A label is cut here (bytes, at a character's edge).
const MAX_LABEL: usize = 256;

/// What a page offers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) forms: Vec<Form>,
    pub(super) links: Vec<Link>,
    /// Where `<meta http-equiv="refresh">` leads.
    pub(super) refresh: Option<String>,
}

/// One form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// As written; empty where absent.
    pub(super) action: String,
    pub(super) post: bool,
    pub(super) fields: Vec<Field>,
    pub(super) buttons: Vec<Button>,
}

/// One field of a form that is sent with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) kind: Kind,
    pub(super) checked: bool,
    /// `id`, `autocomplete` and `placeholder`, in lower case: what it is for.
    pub(super) hint: String,
}

/// What a field holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Text,
    Email,
    Password,
    Hidden,
    Checkbox,
    Radio,
    Select,
    /// Not for a walk: files, colours.
    Other,
}

/// What submits a form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Button {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) label: String,
}

/// A link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: String,
}

impl Page {
    /// Reads `html`. Whatever it is, the answer is what could be made of it.
    pub(super) fn parse(html: &str) -> Self {
        let mut reader = Reader { rest: html, page: Self::default(), form: None, catching: None, broken: 0 };
        reader.run();
        reader.page
    }
}

/// Which text is being gathered into a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Catching {
    Button,
    Link,
}

struct Reader<'a> {
    rest: &'a str,
    page: Page,
    /// Index of the open form.
    form: Option<usize>,
    catching: Option<Catching>,
    /// Tags that did not end.
    broken: usize,
}

/// What a `<` begins.
enum Begins<'a> {
    Tag(Tag<'a>, &'a str),
    /// A tag that does not end.
    Broken,
    Text,
}

struct Tag<'a> {
    name: String,
    closing: bool,
    attributes: Vec<(String, &'a str)>,
}

impl Tag<'_> {
    fn raw(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
    fn text(&self, name: &str) -> String {
        self.raw(name).map(decode).unwrap_or_default()
    }
    fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }
}

impl<'a> Reader<'a> {
    fn run(&mut self) {
        while let Some(at) = self.rest.find('<') {
            let (text, rest) = self.rest.split_at(at);
            self.label(text);
            self.rest = rest;
            if let Some(comment) = rest.strip_prefix("<!--") {
                self.rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
                continue;
            }
            match tag(rest) {
                Begins::Tag(tag, after) => {
                    self.rest = after;
                    self.take(&tag);
                }
                Begins::Broken if self.broken == MAX_BROKEN => return,
                Begins::Broken => {
                    self.broken += 1;
                    self.rest = &rest[1..];
                }
                Begins::Text => self.rest = &rest[1..],
            }
        }
    }

    fn label(&mut self, text: &str) {
        let target = match self.catching {
            Some(Catching::Button) => {
                self.form.and_then(|at| self.page.forms[at].buttons.last_mut()).map(|b| &mut b.label)
            }
            Some(Catching::Link) => self.page.links.last_mut().map(|link| &mut link.label),
            None => None,
        };
        if let Some(label) = target
            && label.len() < MAX_LABEL
        {
            let text = decode(&text[..text.floor_char_boundary(MAX_LABEL)]);
            for word in text.split_whitespace() {
                if !label.is_empty() {
                    label.push(' ');
                }
                label.push_str(word);
            }
        }
    }

    fn take(&mut self, tag: &Tag<'a>) {
        match (tag.name.as_str(), tag.closing) {
            ("script" | "style" | "template" | "noscript" | "svg", false) => self.skip_to_end_of(&tag.name),
            ("form", false) => self.open_form(tag),
            ("form", true) => self.form = None,
            ("button" | "a", true) => self.catching = None,
            ("a", false) if self.page.links.len() < MAX_ITEMS => {
                self.page.links.push(Link { href: tag.text("href"), label: String::new() });
                self.catching = Some(Catching::Link);
            }
            ("meta", false) if tag.text("http-equiv").eq_ignore_ascii_case("refresh") => {
                self.page.refresh = refresh(&tag.text("content"));
            }
            ("input" | "button" | "select" | "textarea", false) => self.control(tag),
            ("option", false) => self.option(tag),
            _ => {}
        }
    }

    fn open_form(&mut self, tag: &Tag<'_>) {
        if self.page.forms.len() < MAX_ITEMS {
            let post = tag.text("method").eq_ignore_ascii_case("post");
            self.page.forms.push(Form { action: tag.text("action"), post, ..Form::default() });
            self.form = Some(self.page.forms.len() - 1);
        } else {
            self.form = None;
        }
    }

    fn control(&mut self, tag: &Tag<'_>) {
        let Some(form) = self.form.map(|at| &mut self.page.forms[at]) else { return };
        if tag.has("disabled") || form.fields.len() + form.buttons.len() >= MAX_ITEMS {
            return;
        }
        let kind = tag.text("type").to_ascii_lowercase();
        let submits = match tag.name.as_str() {
            "button" => matches!(kind.as_str(), "" | "submit"),
            "input" => matches!(kind.as_str(), "submit" | "image"),
            _ => false,
        };
        if submits {
            let label = if tag.name == "input" { tag.text("value") } else { tag.text("aria-label") };
            form.buttons.push(Button { name: tag.text("name"), value: tag.text("value"), label });
            self.catching = (tag.name == "button").then_some(Catching::Button);
        } else if tag.name != "button" && !matches!(kind.as_str(), "button" | "reset") {
            let hint = ["id", "autocomplete", "placeholder"].map(|name| tag.text(name)).join(" ").to_lowercase();
            let field = Field {
                name: tag.text("name"),
                value: tag.text("value"),
                kind: kind_of(&tag.name, &kind),
                checked: tag.has("checked"),
                hint,
            };
            form.fields.push(field);
        }
    }

    /// A browser sends the selected option, else the first.
    fn option(&mut self, tag: &Tag<'_>) {
        let field = self.form.and_then(|at| self.page.forms[at].fields.last_mut());
        if let Some(field) = field
            && field.kind == Kind::Select
            && (!field.checked || tag.has("selected"))
        {
            field.value = tag.text("value");
            field.checked = true;
        }
    }

    fn skip_to_end_of(&mut self, name: &str) {
        while let Some(at) = self.rest.find("</") {
            self.rest = &self.rest[at..];
            if self.rest.get(2..2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
                return;
            }
            self.rest = &self.rest[2..];
        }
        self.rest = "";
    }
}

fn kind_of(tag: &str, kind: &str) -> Kind {
    match (tag, kind) {
        ("select", _) => Kind::Select,
        ("textarea", _) => Kind::Text,
        (_, "" | "text" | "tel" | "url" | "search" | "number") => Kind::Text,
        (_, "email") => Kind::Email,
        (_, "password") => Kind::Password,
        (_, "hidden") => Kind::Hidden,
        (_, "checkbox") => Kind::Checkbox,
        (_, "radio") => Kind::Radio,
        _ => Kind::Other,
    }
}

/// The tag at the start of `text`, which begins with `<`, and what follows it.
fn tag(text: &str) -> Begins<'_> {
    let mut rest = &text[1..];
    let closing = rest.starts_with('/');
    if closing {
        rest = &rest[1..];
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let name = rest[..end].to_ascii_lowercase();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Begins::Text;
    }
    rest = &rest[end..];
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return Begins::Tag(Tag { name, closing, attributes }, after);
        }
        let Some((key, value, after)) = attribute(rest) else { return Begins::Broken };
        if attributes.len() < MAX_ITEMS {
            attributes.push((key, value));
        }
        rest = after;
    }
}

/// One attribute; its value as written.
fn attribute(text: &str) -> Option<(String, &str, &str)> {
    // A stray `=` at the start is part of the name (HTML, "before attribute name state").
    let first = text.chars().next()?.len_utf8();
    let end = text[first..].find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))? + first;
    let key = text[..end].to_ascii_lowercase();
    let after = text[end..].trim_start();
    let Some(value) = after.strip_prefix('=') else { return Some((key, "", after)) };
    let value = value.trim_start();
    match value.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = &value[1..];
            let end = inner.find(quote)?;
            Some((key, &inner[..end], &inner[end + 1..]))
        }
        _ => {
            let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
            Some((key, &value[..end], &value[end..]))
        }
    }
}

/// `0; url=/next`, with or without quotes, only when it does not wait.
fn refresh(content: &str) -> Option<String> {
    let (delay, target) = content.split_once([';', ','])?;
    let soon = delay.trim().parse::<f64>().is_ok_and(|seconds| seconds <= 5.0);
    let target = target.trim();
    let url = target
        .get(..3)
        .filter(|word| word.eq_ignore_ascii_case("url"))
        .and_then(|_| target[3..].trim().strip_prefix('='));
    soon.then(|| url.unwrap_or(target).trim().trim_matches(['"', '\'']).to_owned())
}

/// Character references resolved, as far as attribute values use them.
fn decode(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((c, len)) => {
                out.push(c);
                rest = &rest[len..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sign_in_form_is_read_with_its_fields_and_buttons() {
        let page = Page::parse(
            r#"<!doctype html><script>document.write("<form action=/evil>")</script>
            <!-- <form action="/old"> -->
            <FORM class=stack METHOD='POST' action="/signin?a=1&amp;b=2">
            <input type=hidden name=csrf value="x&#x22;&#39;y"><input name="login" id=login-field required autofocus>
            <input type="password" name="password"/><input type=text name=gone disabled>
            <select name="realm"><option value="a">A<option value="b" selected>B</select>
            <button class="full"><b>Sign</b> in</button><input type=submit name=back value="Cancel"></form>"#,
        );
        let form = &page.forms[0];
        assert_eq!((page.forms.len(), form.action.as_str(), form.post), (1, "/signin?a=1&b=2", true));
        let seen: Vec<_> = form.fields.iter().map(|f| (f.name.as_str(), f.value.as_str(), f.kind)).collect();
        let expected = [
            ("csrf", "x\"'y", Kind::Hidden),
            ("login", "", Kind::Text),
            ("password", "", Kind::Password),
            ("realm", "b", Kind::Select),
        ];
        assert_eq!(seen, expected);
        assert!(form.fields[1].hint.contains("login-field"));
        assert_eq!((form.buttons[0].label.as_str(), form.buttons[1].label.as_str()), ("Sign in", "Cancel"));
    }

    #[test]
    fn links_and_an_immediate_refresh_are_read_and_a_slow_one_is_not() {
        let page = Page::parse(
            r#"<meta http-equiv=Refresh content="0; URL='/go?a=1'"><a href=/sso>Sign in with <i>SSO</i></a>"#,
        );
        assert_eq!(page.refresh.as_deref(), Some("/go?a=1"));
        assert_eq!(page.links, [Link { href: "/sso".into(), label: "Sign in with SSO".into() }]);
        assert_eq!(Page::parse(r#"<meta http-equiv=refresh content="600;url=/later">"#).refresh, None);
    }

    #[test]
    fn a_page_of_a_thousand_forms_is_cut() {
        assert_eq!(Page::parse(&"<form><input name=a>".repeat(1000)).forms.len(), MAX_ITEMS);
        assert_eq!(Page::parse(&format!("<form>{}", "<input name=a>".repeat(1000))).forms[0].fields.len(), MAX_ITEMS);
    }

    #[test]
    fn a_megabyte_of_malice_is_read_in_no_time() {
        for part in [
            "<a ",
            "<a x=",
            "<a x='",
            "<script></script>",
            "<script></SCRIPT",
            "<!-- ",
            "<",
            "&#",
            "<form><input name=a value='",
        ] {
            let page = part.repeat(1024 * 1024 / part.len());
            let begun = std::time::Instant::now();
            Page::parse(&page);
            assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{part}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn a_long_assertion_is_carried_whole() {
        let assertion = "A".repeat(60_000);
        let page = Page::parse(&format!(
            "<form method=post><input type=hidden name=SAMLResponse value=\"{assertion}\"></form>"
        ));
        assert_eq!(page.forms[0].fields[0].value.len(), assertion.len());
    }

    proptest! {
        #[test]
        fn no_text_panics(html in "\\PC{0,120}") {
            Page::parse(&html);
        }
        #[test]
        fn no_soup_of_tags_panics(parts in proptest::collection::vec("<|>|/|!--|-->|form|input|a|button|option|select|script|style|meta|=|\"|'|&|#|;|x|\u{e9}| |type|name|value|http-equiv=refresh|content|url", 0..60)) {
            Page::parse(&parts.concat());
        }
        #[test]
        fn what_is_escaped_comes_back(value in "[ -~]{0,40}") {
            let escaped = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            let page = Page::parse(&format!("<form><input name=a value=\"{escaped}\"></form>"));
            prop_assert_eq!(&page.forms[0].fields[0].value, &value);
        }
    }
}
