//! Which form of a page a person who wants to sign in and to allow would send, and with what in it.
//!
//! Never chooses what denies, cancels, signs out, registers or resets; never fills in a one-time code.

use super::page::{Button, Field, Form, Kind, Page};
use crate::access::TestUser;

/// What to do with a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this form.
    Submit(Filled),
    /// Open this link.
    Open(String),
    /// It asks who it is, and nobody may be named.
    AsksForPerson,
    /// It asks for something that a test user does not have.
    AsksForMore(String),
    /// It leads nowhere.
    Nothing,
}

/// A form, filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) action: String,
    pub(super) post: bool,
    pub(super) values: Vec<(String, String)>,
    /// Whether the user's name, or the password, is in it.
    pub(super) username: bool,
    pub(super) password: bool,
}

const REFUSING: [&str; 15] = [
    "deny", "denied", "cancel", "reject", "decline", "refuse", "disagree", "abort", "no", "back", "logout", "signout",
    "register", "signup", "reset",
];
const ALLOWING: [&str; 20] = [
    "allow",
    "approve",
    "accept",
    "authorize",
    "authorise",
    "authorization",
    "grant",
    "consent",
    "agree",
    "confirm",
    "yes",
    "continue",
    "next",
    "login",
    "signin",
    "log",
    "sign",
    "submit",
    "proceed",
    "ok",
];
const CODES: [&str; 8] = ["otp", "totp", "code", "pin", "one-time-code", "captcha", "mfa", "passcode"];
const NAMES: [&str; 9] = ["user", "username", "login", "email", "identifier", "account", "name", "userid", "loginid"];

/// Whether a page asks for a password.
pub(super) fn asks_for_password(page: &Page) -> bool {
    page.forms.iter().any(|form| passwords(form) == 1)
}

/// What to do with `page`. `named`: whether the user's name was sent already.
pub(super) fn step(page: &Page, user: Option<&TestUser>, named: bool) -> Step {
    let forms: Vec<&Form> = page.forms.iter().filter(|form| !is_refusing(form)).collect();
    // Two password fields are a registration or a change of password.
    if let Some(form) = forms.iter().find(|form| passwords(form) == 1) {
        return user.map_or(Step::AsksForPerson, |user| Step::Submit(fill(form, Some(user), named)));
    }
    if let Some(url) = &page.refresh {
        return Step::Open(url.clone());
    }
    if let Some(form) = forms.iter().find(|form| passwords(form) == 0 && text_field(form).is_some()) {
        let field = text_field(form).map(|field| format!("{} {}", field.name, field.hint)).unwrap_or_default();
        if has_word(&field, &CODES) {
            return Step::AsksForMore(format!("`{}`, a code that a test user does not have", field.trim()));
        }
        if has_word(&field, &NAMES) || text_field(form).is_some_and(|field| field.kind == Kind::Email) {
            return user.map_or(Step::AsksForPerson, |user| Step::Submit(fill(form, Some(user), named)));
        }
    }
    let ready = forms.iter().filter(|form| text_field(form).is_none() && passwords(form) == 0);
    // A form that somebody has to press, then one that a script would send by itself.
    if let Some(form) = ready.clone().max_by_key(|form| (allowing(form), form.post)) {
        return Step::Submit(fill(form, None, named));
    }
    match page.links.iter().find(|link| leads_on(&link.label, &link.href)) {
        Some(link) => Step::Open(link.href.clone()),
        None => Step::Nothing,
    }
}

fn passwords(form: &Form) -> usize {
    form.fields.iter().filter(|field| field.kind == Kind::Password).count()
}

/// The first field that a person would type into: a name that has a value already is left alone.
fn text_field(form: &Form) -> Option<&Field> {
    let typed = |field: &&Field| matches!(field.kind, Kind::Text | Kind::Email) && !field.name.is_empty();
    form.fields.iter().filter(typed).find(|field| field.value.is_empty())
}

/// The field for the user's name: the one that says so, else the first.
fn name_field(form: &Form) -> Option<usize> {
    let typed = |field: &Field| matches!(field.kind, Kind::Text | Kind::Email) && !field.name.is_empty();
    let says = |field: &Field| typed(field) && (field.kind == Kind::Email || has_word(&words_of(field), &NAMES));
    form.fields.iter().position(says).or_else(|| form.fields.iter().position(typed))
}

fn words_of(field: &Field) -> String {
    format!("{} {}", field.name, field.hint)
}

fn fill(form: &Form, user: Option<&TestUser>, named: bool) -> Filled {
    let password = user.is_some() && passwords(form) == 1;
    let name_at = user.and_then(|_| name_field(form)).filter(|_| password || !named || text_field(form).is_some());
    let any_ticked = form.fields.iter().any(|field| field.kind == Kind::Checkbox && field.checked);
    let mut filled =
        Filled { action: form.action.clone(), post: form.post, values: Vec::new(), username: false, password };
    let mut radios: Vec<&str> = Vec::new();
    for (at, field) in form.fields.iter().enumerate().filter(|(_, field)| !field.name.is_empty()) {
        let value = match field.kind {
            Kind::Password => user.map(|user| user.password.expose().to_owned()),
            Kind::Text | Kind::Email if Some(at) == name_at => {
                filled.username = true;
                user.map(|user| user.name.clone())
            }
            Kind::Text | Kind::Email | Kind::Hidden | Kind::Select => Some(field.value.clone()),
            Kind::Checkbox => ticks(field, password, any_ticked).then(|| on(field)),
            Kind::Radio => {
                let first = form.fields.iter().filter(|other| other.kind == Kind::Radio && other.name == field.name);
                let chosen = first
                    .clone()
                    .find(|other| other.checked)
                    .or_else(|| first.clone().find(|other| !has_word(&other.value, &REFUSING)));
                let this =
                    chosen.is_some_and(|chosen| std::ptr::eq(chosen, field)) && !radios.contains(&field.name.as_str());
                this.then(|| {
                    radios.push(&field.name);
                    on(field)
                })
            }
            Kind::Other => None,
        };
        filled.values.extend(value.map(|value| (field.name.clone(), value)));
    }
    if let Some(button) = press(form).filter(|button| !button.name.is_empty()) {
        filled.values.push((button.name.clone(), button.value.clone()));
    }
    filled
}

/// A consent page whose boxes are all empty wants them ticked; a sign-in page's box is "remember me".
fn ticks(field: &Field, password: bool, any_ticked: bool) -> bool {
    field.checked || !(password || any_ticked || has_word(&words_of(field), &["remember", "keep", "trust", "persist"]))
}

fn on(field: &Field) -> String {
    if field.value.is_empty() { "on".to_owned() } else { field.value.clone() }
}

/// The button that a person who wants to go on presses.
fn press(form: &Form) -> Option<&Button> {
    let fit: Vec<&Button> = form.buttons.iter().filter(|button| !refuses(button)).collect();
    fit.iter().find(|button| allows(button)).or_else(|| fit.first()).copied()
}

fn refuses(button: &Button) -> bool {
    [&button.value, &button.label, &button.name].into_iter().any(|text| has_word(text, &REFUSING))
}

fn allows(button: &Button) -> bool {
    [&button.value, &button.label, &button.name].into_iter().any(|text| has_word(text, &ALLOWING))
}

fn allowing(form: &Form) -> bool {
    press(form).is_some_and(allows)
}

/// A form whose every button refuses, or whose address or hidden decision does.
fn is_refusing(form: &Form) -> bool {
    let decided = form.fields.iter().filter(|field| field.kind == Kind::Hidden && field.value.len() <= 16);
    has_word(&path_words(&form.action), &REFUSING)
        || (!form.buttons.is_empty() && press(form).is_none())
        || decided
            .into_iter()
            .any(|field| has_word(&field.value, &["deny", "denied", "cancel", "reject", "decline", "refuse"]))
}

/// Only the address's own words count, not what its query carries along.
fn path_words(action: &str) -> String {
    action.split(['?', '#']).next().unwrap_or_default().replace("sign-out", "signout").replace("log-out", "logout")
}

fn leads_on(label: &str, href: &str) -> bool {
    let on = ["continue", "sso", "signin", "login", "allow", "authorize", "approve", "sign", "log"];
    !href.starts_with('#') && has_word(label, &on) && !has_word(label, &REFUSING) && !has_word(label, &["out", "up"])
}

/// Whether one of `words` stands in `text` as a word of its own.
fn has_word(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word)) || words.contains(&text.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallyport_model::Secret;

    use super::*;

    fn alice() -> TestUser {
        TestUser { name: "alice".into(), password: Secret::new("pw") }
    }

    fn filled(html: &str, named: bool) -> Filled {
        match step(&Page::parse(html), Some(&alice()), named) {
            Step::Submit(filled) => filled,
            other => panic!("{other:?}"),
        }
    }

    fn value<'a>(filled: &'a Filled, name: &str) -> Option<&'a str> {
        filled.values.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_sign_in_form_gets_name_and_password() {
        let form = filled(
            "<form action=/search><input name=q type=search></form>\
             <form method=post action=/signin><input type=hidden name=csrf value=t><input name=login>\
             <input type=password name=pw><input type=checkbox name=remember_me><button>Sign in</button></form>",
            false,
        );
        assert_eq!(form.values, [("csrf", "t"), ("login", "alice"), ("pw", "pw")].map(|(a, b)| (a.into(), b.into())));
        assert!(form.username && form.password && form.post);
    }

    #[test]
    fn a_name_comes_first_where_it_is_asked_first() {
        let form = filled(
            "<form method=post action=/id><input name=identifier type=email><button>Next</button></form>",
            false,
        );
        assert!(form.username && !form.password);
        let second =
            "<form method=post><input name=identifier value=alice readonly><input type=password name=p></form>";
        let form = filled(second, true);
        assert_eq!((value(&form, "identifier"), form.password), (Some("alice"), true));
        assert_eq!(step(&Page::parse("<form><input type=password name=p></form>"), None, false), Step::AsksForPerson);
    }

    #[test]
    fn consent_is_given_whichever_button_comes_first() {
        for html in [
            "<form method=post><button name=d value=deny>Deny</button><button name=d value=allow>Allow</button></form>",
            "<form method=post><input type=submit name=d value=Cancel><input type=submit name=d value='Yes, allow'></form>",
            "<form method=post action=/deny><button>Go</button></form><form method=post action=/go><input type=hidden name=d value=allow><button>Go</button></form>",
            "<form method=post><input type=hidden name=d value=deny><button>Continue</button></form><form method=post><input type=hidden name=d value=allow><button>Continue</button></form>",
        ] {
            let form = filled(html, true);
            let pressed = value(&form, "d").unwrap().to_lowercase();
            assert!(pressed.contains("allow"), "{html}: {pressed}");
        }
        let scopes = filled(
            "<form method=post><input type=checkbox name=s value=a><input type=checkbox name=s value=b><button>Allow</button></form>",
            true,
        );
        assert_eq!(scopes.values.len(), 2);
    }

    #[test]
    fn nothing_that_refuses_is_ever_pressed() {
        let only_deny = "<form method=post><button name=d value=deny>Deny</button></form><a href=/logout>Sign out</a>";
        assert_eq!(step(&Page::parse(only_deny), Some(&alice()), true), Step::Nothing);
        let otp = "<form method=post><input name=otp autocomplete=one-time-code><button>Verify</button></form>";
        assert!(matches!(step(&Page::parse(otp), Some(&alice()), true), Step::AsksForMore(_)));
    }

    #[test]
    fn a_form_that_a_script_would_send_is_sent() {
        let form = filled(
            "<form method=post action=https://as.example/acs><input type=hidden name=SAMLResponse value=x></form>",
            true,
        );
        assert_eq!(value(&form, "SAMLResponse"), Some("x"));
        assert!(!form.password && !form.username);
    }

    proptest! {
        #[test]
        fn a_password_goes_into_password_fields_alone(parts in proptest::collection::vec(
            "<form method=post>|</form>|<input name=a>|<input type=password name=p>|<input type=hidden name=h value=x>|<input type=email name=e>|<button name=b value=allow>Allow</button>|<button>Deny</button>|<input type=radio name=r value=1>|<a href=/x>Sign in</a>", 0..12)) {
            if let Step::Submit(form) = step(&Page::parse(&parts.concat()), Some(&alice()), false) {
                for (name, value) in &form.values {
                    prop_assert!(value != "pw" || name == "p");
                }
            }
        }
    }
}
