//! SCIM's two small languages.

use sallyport_scim::{Filter, MAX_LENGTH, PatchPath};

/// A filter that is accepted prints as a filter that reads as the same.
pub fn scim_filter(bytes: &[u8]) {
    let Some(filter) = text(bytes).and_then(|text| Filter::parse(text).ok()) else { return };
    let printed = filter.to_string();
    // The printed form spells out what the written one may leave away, and can so be longer than is accepted.
    if printed.len() <= MAX_LENGTH {
        let again = Filter::parse(&printed).unwrap_or_else(|fault| panic!("{printed:?} is refused: {fault:?}"));
        assert_eq!(filter, again, "{printed:?}");
    }
}

/// The same for the path of a PATCH operation.
pub fn scim_patch_path(bytes: &[u8]) {
    let Some(path) = text(bytes).and_then(|text| PatchPath::parse(text).ok()) else { return };
    let printed = path.to_string();
    if printed.len() <= MAX_LENGTH {
        let again = PatchPath::parse(&printed).unwrap_or_else(|fault| panic!("{printed:?} is refused: {fault:?}"));
        assert_eq!(path, again, "{printed:?}");
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
