//! Lists in pages: `limit` and `cursor`, and in the answer `next`, as long as there is more.
//!
//! A cursor is where the last page ended, in the order of a key that each item has to itself. What came or went
//! meanwhile neither repeats nor hides anything else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::problem::Problem;

/// Items in a page, unless the request says how many.
const USUAL: usize = 50;
/// Items in a page, at most.
pub(super) const MOST: usize = 200;

/// Which page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// As the query says.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn of(limit: Option<&str>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = match limit.map(str::parse::<usize>) {
            None => USUAL,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => return Err(Problem::query("limit", &format!("is not a number from 1 to {MOST}"))),
        };
        let unknown = || Problem::query("cursor", "is not one that a list gave as `next`");
        let after = match cursor {
            None => None,
            Some(cursor) => {
                let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown())?;
                Some(String::from_utf8(bytes).map_err(|_| unknown())?)
            }
        };
        Ok(Self { limit, after })
    }

    /// The items of this page, in the order of their keys, and where the next one begins.
    pub(crate) fn cut<T>(&self, all: Vec<T>, key: impl Fn(&T) -> String) -> Cut<T> {
        let mut keyed: Vec<(String, T)> = all.into_iter().map(|item| (key(&item), item)).collect();
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(after) = &self.after {
            keyed.retain(|(key, _)| key > after);
        }
        let more = keyed.len() > self.limit;
        keyed.truncate(self.limit);
        let next = keyed.last().filter(|_| more).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        Cut { items: keyed.into_iter().map(|(_, item)| item).collect(), next }
    }
}

/// One page.
#[derive(Debug)]
pub(crate) struct Cut<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    next: Option<String>,
}

impl<T> Cut<T> {
    /// `{"items": […], "next": "…"}`; `next` is absent on the last page.
    pub(crate) fn json(&self, items: Vec<Value>) -> Value {
        match &self.next {
            Some(next) => json!({ "items": items, "next": next }),
            None => json!({ "items": items }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_of_a_size_and_begins_where_one_ended() {
        for limit in ["0", "201", "-1", "x", ""] {
            assert!(Page::of(Some(limit), None).is_err(), "{limit}");
        }
        for cursor in ["*", "_w"] {
            assert!(Page::of(None, Some(cursor)).is_err(), "{cursor}");
        }
        assert_eq!(Page::of(Some("200"), None).unwrap(), Page { limit: 200, after: None });
    }

    proptest! {
        #[test]
        fn all_pages_together_are_the_list(keys in prop::collection::btree_set("\\PC{0,6}", 0..40), limit in 1usize..7) {
            let all: Vec<String> = keys.into_iter().collect();
            let (mut seen, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let page = Page::of(Some(&limit.to_string()), cursor.as_deref()).unwrap();
                let cut = page.cut(all.clone(), Clone::clone);
                prop_assert!(cut.items.len() <= limit);
                seen.extend(cut.items.iter().cloned());
                match cut.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(seen, all);
        }
    }
}
