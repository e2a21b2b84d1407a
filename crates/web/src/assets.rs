//! Files that pages load, embedded in the binary and named by their content.

use aws_lc_rs::digest;
use axum::{Router, response::IntoResponse, routing::get};
use http::{HeaderValue, header};
use sallyport_model::hex;

/// One embedded file. Its address holds its hash, so that it may be cached for ever.
#[derive(Debug, Clone)]
pub struct Asset {
    content_type: &'static str,
    body: &'static str,
    path: String,
}

impl Asset {
    /// A stylesheet.
    pub fn stylesheet(body: &'static str) -> Self {
        Self::new("text/css; charset=utf-8", "css", body)
    }

    /// An ES module.
    pub fn script(body: &'static str) -> Self {
        Self::new("text/javascript; charset=utf-8", "js", body)
    }

    fn new(content_type: &'static str, extension: &'static str, body: &'static str) -> Self {
        let hash = digest::digest(&digest::SHA256, body.as_bytes());
        let name = hex(&hash.as_ref()[..10]);
        Self { content_type, body, path: format!("/assets/{name}.{extension}") }
    }

    /// Where it is served: `/assets/<hash>.<extension>`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A router that serves it.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (content_type, body) = (self.content_type, self.body);
        Router::new().route(
            &self.path,
            get(move || async move {
                (
                    [
                        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
                        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
                        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
                    ],
                    body,
                )
                    .into_response()
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_changes_with_the_content() {
        assert_ne!(Asset::script("a").path(), Asset::script("b").path());
        assert_eq!(Asset::script("a").path(), "/assets/ca978112ca1bbdcafac2.js");
    }
}
