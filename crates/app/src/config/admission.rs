//! `[admission]`: which upstreams are served, by what their assessment says.

use std::time::Duration;

use sallyport_model::assessment::TOTAL_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::ConfigError;

/// No upstream is assessed more often: each time costs it some hundred requests.
const LEAST: Duration = Duration::from_secs(3600);
/// A schedule beyond this is none.
const MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Which upstreams are served, by what their assessment says.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    /// The least evidence score, 0 to 20, of an upstream that is served: its total, or the low end of its range.
    /// Without it no score is demanded, and only an upstream that a person holds is refused.
    pub minimum_score: Option<u8>,
    /// How often each upstream is assessed anew: `"7d"`, `"12h"`, `"2w"`; at least `"1h"`. Without it none is.
    #[schemars(with = "Option<String>")]
    pub reassess_every: Option<Every>,
}

/// A number of hours, days or weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(pub Duration);

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("`{text}` is no period: write a number with h, d or w, such as `7d`"));
        period(&text).ok_or_else(wrong)
    }
}

fn period(text: &str) -> Option<Every> {
    let unit = match text.chars().last()? {
        'h' => 3600,
        'd' => 24 * 3600,
        'w' => 7 * 24 * 3600,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = plain.then(|| digits.parse().ok())??;
    Some(Every(Duration::from_secs(number.checked_mul(unit)?)))
}

impl Admission {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(score) = self.minimum_score.filter(|score| *score > TOTAL_MAX) {
            let what = format!("{score} is more than a server can score");
            return Err(ConfigError::field("admission.minimum_score", &what, "give a number from 0 to 20"));
        }
        match self.reassess_every {
            Some(Every(every)) if !(LEAST..=MOST).contains(&every) => Err(ConfigError::field(
                "admission.reassess_every",
                "it is less than an hour or more than a year",
                "write a period such as `7d`, or leave the key out to have none assessed by itself",
            )),
            _ => Ok(()),
        }
    }

    /// How often each upstream is assessed, if at all.
    pub fn reassess_every(&self) -> Option<Duration> {
        self.reassess_every.map(|Every(every)| every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        for (text, hours) in [("1h", 1), ("7d", 168), ("2w", 336), ("0h", 0)] {
            assert_eq!(period(text), Some(Every(Duration::from_secs(hours * 3600))), "{text}");
        }
        for text in ["", "d", "7", "7 d", "7D", "+7d", "-7d", "7.5d", "7dd", "d7", "99999999999999999999d", "7ö"] {
            assert_eq!(period(text), None, "{text}");
        }
        assert_eq!(period("9999999999999999999w"), None, "too long to count");
    }
}
