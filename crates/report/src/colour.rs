//! Colours that a party brings, and whether text can be read on them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ReportError;

/// An sRGB colour, `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Black or white, whichever can be read better on this colour; the contrast is never below 4.5.
    pub fn text_on(self) -> Self {
        let (white, black) = (Self([255; 3]), Self([0; 3]));
        if self.contrast(white) >= self.contrast(black) { white } else { black }
    }

    /// The contrast with `other` (WCAG 2.2, "contrast ratio"), 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Relative luminance (WCAG 2.2), 0 to 1.
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl FromStr for Colour {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        let bad = || ReportError::Colour(crate::safe::line(text, 40));
        let digits = text.strip_prefix('#').filter(|rest| rest.len() == 6).ok_or_else(bad)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| bad())?;
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl TryFrom<String> for Colour {
    type Error = ReportError;

    fn try_from(text: String) -> Result<Self, ReportError> {
        text.parse()
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_six_hexadecimal_digits_are_a_colour() {
        assert_eq!("#0a7B3f".parse::<Colour>().unwrap().to_string(), "#0a7b3f");
        for no in ["", "#fff", "0a7b3f", "#+a7b3f", "#0a7b3f;", "red", "#0a7b3é"] {
            assert!(no.parse::<Colour>().is_err(), "{no}");
        }
    }

    #[test]
    fn contrast_is_the_published_one() {
        assert!((Colour([0; 3]).contrast(Colour([255; 3])) - 21.0).abs() < 1e-9);
        assert!((Colour([0x76, 0x76, 0x76]).contrast(Colour([255; 3])) - 4.54).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn text_can_be_read_on_every_colour(rgb in any::<[u8; 3]>()) {
            let colour = Colour(rgb);
            prop_assert!(colour.contrast(colour.text_on()) >= 4.5);
        }
    }
}
