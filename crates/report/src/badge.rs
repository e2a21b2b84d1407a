//! A small SVG badge.
//!
//! It shows a score only where there is one. It holds nothing of the target but numbers.

use sallyport_model::assessment::{Assessment, Band};

use crate::words;

const LABEL: &str = "MCP security";
/// Columns of a character at this size, in tenths of a pixel (Verdana, 11 px).
const ADVANCE: usize = 62;

/// The badge: `17/20` where the score is known, the range and the band where that is certain, else
/// `not rated`.
pub fn svg(assessment: &Assessment) -> String {
    let rating = words::rating(assessment);
    let value = match (assessment.total, rating.band) {
        (Some(total), _) => format!("{total}/{}", assessment.max),
        (None, Some(_)) => format!("{}: {}/{}", rating.title, rating.points, assessment.max),
        (None, None) => format!("not rated ({}/{})", rating.points, assessment.max),
    };
    let title = match assessment.total {
        Some(_) => format!("{LABEL}: {} of {}, {}", rating.points, assessment.max, rating.title),
        None => format!("{LABEL}: {}, between {}", rating.title, between(assessment)),
    };
    let (left, right) = (width(LABEL), width(&value));
    let (all, middle) = (left + right, left + right / 2);
    let (half, colour) = (left / 2, colour(rating.band));
    let (left_text, right_text) = (left - 12, right - 12);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{all}" height="20" role="img" aria-labelledby="t"><title id="t">{title}</title><clipPath id="r"><rect width="{all}" height="20" rx="3"/></clipPath><g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3d444d"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/></g><g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="{half}" y="14" textLength="{left_text}">{LABEL}</text><text x="{middle}" y="14" textLength="{right_text}">{value}</text></g></svg>
"##
    )
}

fn between(assessment: &Assessment) -> String {
    let [least, most] = assessment.total_range;
    format!("{least} and {most} of {}", assessment.max)
}

/// Pixels for `text` and its margins.
fn width(text: &str) -> usize {
    (text.chars().count() * ADVANCE).div_ceil(10) + 12
}

/// White on each of them has a contrast of 4.5 or more.
fn colour(band: Option<Band>) -> &'static str {
    match band {
        Some(Band::Proceed) => "#1a7f37",
        Some(Band::ReviewAndRemediate) => "#8a5d00",
        Some(Band::DoNotEnable) => "#b42318",
        None => "#33618f",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Colour, sample};

    #[test]
    fn an_open_total_is_never_a_score() {
        let open = svg(&sample::open());
        assert!(open.contains("not rated (5–14/20)"), "{open}");
        assert!(open.contains("<title id=\"t\">MCP security: not rated, between 5 and 14 of 20</title>"));
        let mut low = sample::open();
        low.total_range = [0, 8];
        low.bands_possible = vec![Band::DoNotEnable];
        assert!(svg(&low).contains(">do not enable: 0–8/20</text>"));
    }

    #[test]
    fn a_settled_total_is_shown_with_its_band() {
        let badge = svg(&sample::settled());
        assert!(badge.contains(">17/20</text>") && badge.contains("17 of 20, strong security posture"), "{badge}");
    }

    #[test]
    fn white_can_be_read_on_every_ground() {
        for band in [None, Some(Band::Proceed), Some(Band::ReviewAndRemediate), Some(Band::DoNotEnable)] {
            let ground: Colour = colour(band).parse().unwrap();
            assert!(ground.contrast(Colour([255; 3])) >= 4.5, "{band:?}");
        }
    }
}
