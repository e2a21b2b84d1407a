//! What a deployment calls itself.

/// Names and addresses on every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branding {
    /// The product's or the vendor's name.
    pub product: String,
    /// Where people find help: a mail address or a URL, shown on error pages as text.
    pub support: Option<String>,
}

impl Default for Branding {
    fn default() -> Self {
        Self { product: "Sallyport".to_owned(), support: None }
    }
}
