//! Reads the forms of an HTML page, as much as a stranger needs to fill them.
//!
//! Not an HTML parser: it finds start tags and their attributes. It runs no script, and a page that
//! it does not understand holds no form.

/// A form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Where it is sent, as written.
    pub action: String,
    /// Whether by POST.
    pub post: bool,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Its buttons.
    pub buttons: Vec<Field>,
}

/// A field or button of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Without one it is not sent.
    pub name: String,
    /// `text`, `password`, `hidden`, …, lower-case.
    pub kind: String,
    /// As the page has it.
    pub value: String,
}

impl Form {
    /// Whether it asks for a password.
    pub fn asks_password(&self) -> bool {
        self.fields.iter().any(|field| field.kind == "password")
    }

    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.kind == "hidden" && field.name == name).map(|field| field.value.as_str())
    }

    /// What a person with this login and password would send, pressing the first button.
    pub fn filled(&self, login: &str, password: &str) -> Vec<(String, String)> {
        let value = |field: &Field| match field.kind.as_str() {
            "password" => password.to_owned(),
            "text" | "email" if field.value.is_empty() => login.to_owned(),
            _ => field.value.clone(),
        };
        let fields = self.fields.iter().map(|field| (field.name.clone(), value(field)));
        let button = self.buttons.first().map(|button| (button.name.clone(), button.value.clone()));
        fields.chain(button).filter(|(name, _)| !name.is_empty()).collect()
    }
}

/// The forms of `page`, in order.
pub fn forms(page: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for tag in Tags(page) {
        match tag.name.as_str() {
            "form" => {
                let post = tag.attribute("method").eq_ignore_ascii_case("post");
                forms.push(Form { action: tag.attribute("action"), post, fields: Vec::new(), buttons: Vec::new() });
                open = true;
            }
            "/form" => open = false,
            "input" | "button" => {
                if let (true, Some(form)) = (open, forms.last_mut()) {
                    add(form, &tag);
                }
            }
            _ => {}
        }
    }
    forms
}

fn add(form: &mut Form, tag: &Tag) {
    let otherwise = if tag.name == "button" { "submit" } else { "text" };
    let kind = Some(tag.attribute("type").to_ascii_lowercase()).filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or_else(|| otherwise.to_owned());
    let field = Field { name: tag.attribute("name"), value: tag.attribute("value"), kind };
    if field.kind == "submit" { form.buttons.push(field) } else { form.fields.push(field) }
}

/// A start or end tag.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> String {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// The tags of what is left of a page.
struct Tags<'a>(&'a str);

impl Iterator for Tags<'_> {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        loop {
            let (_, rest) = self.0.split_once('<')?;
            if let Some(comment) = rest.strip_prefix("!--") {
                self.0 = comment.split_once("-->")?.1;
                continue;
            }
            let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(rest.len());
            let name = rest[..end].to_ascii_lowercase();
            let (attributes, rest) = attributes(&rest[end..])?;
            self.0 = rest;
            if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') {
                return Some(Tag { name, attributes });
            }
        }
    }
}

type Attributes = Vec<(String, String)>;

/// The attributes up to the tag's end, and what follows it; `None` where the tag has no end.
fn attributes(mut rest: &str) -> Option<(Attributes, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return Some((found, after));
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))?;
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(after) = rest.trim_start().strip_prefix('=') {
            let (text, after) = attribute_value(after.trim_start())?;
            value = decoded(text);
            rest = after;
        }
        found.push((name, value));
    }
}

fn attribute_value(rest: &str) -> Option<(&str, &str)> {
    match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split_once(quote),
        _ => {
            let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
            Some(rest.split_at(end))
        }
    }
}

fn decoded(text: &str) -> String {
    const ENTITIES: [(&str, &str); 6] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!DOCTYPE html><p>1 < 2</p><!-- <form action="/no"> --><input name="outside">
        <FORM class=x method="POST" action='/signin?a=1&amp;b=2'><input type="hidden" name="csrf" value="a&quot;b"/>
        <label for=login>Login</label><input id="login" name="login" value="" autofocus required>
        <input type='Password' name=password><button class="full">Sign in</button></form>
        <form method="post" action="/consent"><button name="decision" value="allow">Yes</button>
        <button name="decision" value="deny">No</button></form>"#;

    #[test]
    fn forms_are_read_and_filled() {
        let forms = forms(PAGE);
        assert_eq!(forms.len(), 2, "{forms:?}");
        assert_eq!(forms[0].action, "/signin?a=1&b=2");
        assert!(forms[0].post && forms[0].asks_password() && !forms[1].asks_password());
        assert_eq!(forms[0].hidden("csrf"), Some("a\"b"));
        assert_eq!(forms[0].hidden("login"), None);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            forms[0].filled("ann", "pass"),
            [pair("csrf", "a\"b"), pair("login", "ann"), pair("password", "pass")],
            "a button without a name is not sent"
        );
        assert_eq!(forms[1].filled("ann", "pass"), [pair("decision", "allow")]);
    }

    #[test]
    fn no_broken_page_breaks_the_reader() {
        for at in (0..PAGE.len()).filter(|at| PAGE.is_char_boundary(*at)) {
            for junk in ["", "<", ">", "\"", "'", "=", "<form", "<form action=", "<!--", "é<", "\0"] {
                let broken = format!("{}{junk}{}", &PAGE[..at], &PAGE[at + 1..]);
                assert!(forms(&broken).len() <= 4);
                assert!(forms(&PAGE[..at]).len() <= 2, "a cut page has no more forms than the whole");
            }
        }
    }
}
