//! What bounds an agent in place and time. A bound that cannot be read admits nothing.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use sallyport_model::Timestamp;
use sallyport_storage::{AgentBounds, AgentHours};

use crate::error::Refusal;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Whether an agent may get a token at `now`; until when that token may live at most, if anything bounds it.
/// `address` is where the request comes from, for the agent that sends it; for one further back in a chain there is
/// none to look at.
pub(crate) fn admit(
    bounds: &AgentBounds,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    if bounds.ends_at.is_some_and(|end| end <= now) {
        return Err(Refusal::grant("the agent's time has ended: its administrator can extend it", "agent_ended"));
    }
    if address.is_some_and(|address| !within(&bounds.networks, address)) {
        return Err(Refusal::grant("the agent may not be used from this network", "agent_network"));
    }
    let Some(hours) = &bounds.hours else { return Ok(bounds.ends_at) };
    let end = end_of_hours(hours, now);
    let end =
        end.ok_or(Refusal::grant("the agent may not work at this hour: try again within its hours", "agent_hours"))?;
    Ok(Some(bounds.ends_at.map_or(end, |ends_at| ends_at.min(end))))
}

/// How long an access token of an agent lives, where the operator lets it live for `longest`.
pub(crate) fn lifetime(bounds: &AgentBounds, longest: Duration) -> Duration {
    bounds.token_seconds.map_or(longest, |seconds| Duration::from_secs(seconds).min(longest))
}

fn within(networks: &[String], address: IpAddr) -> bool {
    let address = address.to_canonical();
    let holds = |network: &String| network.parse::<IpNet>().is_ok_and(|network| network.contains(&address));
    networks.is_empty() || networks.iter().any(holds)
}

/// When the hours that `now` is in end; `None` outside of them.
fn end_of_hours(hours: &AgentHours, now: Timestamp) -> Option<Timestamp> {
    if hours.from >= hours.to || hours.to > DAY {
        return None;
    }
    let zone = TimeZone::get(&hours.zone).ok()?;
    let instant = jiff::Timestamp::from_millisecond(i64::try_from(now.as_millis()).ok()?).ok()?;
    let local = instant.to_zoned(zone.clone());
    let today = u8::try_from(local.weekday().to_monday_one_offset()).ok()?;
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
    if !hours.days.contains(&today) || minute < hours.from || minute >= hours.to {
        return None;
    }
    let end = match hours.to {
        DAY => local.date().tomorrow().ok()?.at(0, 0, 0, 0),
        to => local.date().at(i8::try_from(to / 60).ok()?, i8::try_from(to % 60).ok()?, 0, 0),
    };
    let end = end.to_zoned(zone).ok()?.timestamp().as_millisecond();
    // Where a clock is set back within the hours, the day's second such minute counts.
    Some(Timestamp::from_millis(u64::try_from(end).ok()?)).filter(|end| *end > now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2027-01-15 is a Friday; 08:00:00 UTC.
    const FRIDAY: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn hours(zone: &str, days: &[u8], from: u16, to: u16) -> AgentHours {
        AgentHours { zone: zone.into(), days: days.to_vec(), from, to }
    }

    #[test]
    fn a_request_comes_from_one_of_the_networks() {
        let networks = ["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()];
        for (address, fits) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.3.7", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(within(&networks, address.parse().unwrap()), fits, "{address}");
        }
        let address = "192.0.2.7".parse().unwrap();
        assert!(within(&[], address), "nothing bounds");
        for broken in ["192.0.2.7", "192.0.2.0/33", "", "any"] {
            assert!(!within(&[broken.to_owned()], address), "{broken}");
        }
    }

    #[test]
    fn hours_are_those_of_the_zone_and_end_the_token() {
        // 09:00 in Berlin, 17:00 in Tokyo, 03:00 in New York.
        for (hours, end) in [
            (hours("UTC", &[5], 8 * 60, 9 * 60), Some(3600)),
            (hours("Europe/Berlin", &[1, 2, 3, 4, 5], 9 * 60, 17 * 60), Some(8 * 3600)),
            (hours("Europe/Berlin", &[5], 0, 9 * 60), None),
            (hours("Europe/Berlin", &[6, 7], 0, 1440), None),
            (hours("Europe/Berlin", &[5], 0, 1440), Some(15 * 3600)),
            (hours("Asia/Tokyo", &[5], 9 * 60, 17 * 60), None),
            (hours("America/New_York", &[5], 3 * 60, 3 * 60 + 1), Some(60)),
            (hours("Mars/Olympus", &[5], 0, 1440), None),
            (hours("UTC", &[5], 600, 600), None),
            (hours("UTC", &[5], 0, 1441), None),
            (hours("UTC", &[], 0, 1440), None),
        ] {
            let end = end.map(|seconds| FRIDAY.plus(Duration::from_secs(seconds)));
            assert_eq!(end_of_hours(&hours, FRIDAY), end, "{hours:?}");
        }
    }

    #[test]
    fn the_earlier_of_two_ends_counts_and_what_is_over_is_refused() {
        let at = |seconds| Some(FRIDAY.plus(Duration::from_secs(seconds)));
        let with = |ends_at| AgentBounds {
            ends_at,
            hours: Some(hours("UTC", &[5], 0, 9 * 60)),
            networks: vec!["192.0.2.0/24".into()],
            ..AgentBounds::default()
        };
        assert_eq!(admit(&with(at(60)), None, FRIDAY), Ok(at(60)));
        assert_eq!(admit(&with(at(7200)), None, FRIDAY), Ok(at(3600)));
        assert_eq!(admit(&with(Some(FRIDAY)), None, FRIDAY).unwrap_err().reason, "agent_ended");
        let elsewhere = Some("198.51.100.1".parse().unwrap());
        assert_eq!(admit(&with(None), elsewhere, FRIDAY).unwrap_err().reason, "agent_network");
        let late = FRIDAY.plus(Duration::from_secs(3600));
        assert_eq!(admit(&with(None), None, late).unwrap_err().reason, "agent_hours");
        assert_eq!(admit(&AgentBounds::default(), elsewhere, FRIDAY), Ok(None));
    }

    #[test]
    fn a_token_only_gets_shorter() {
        let bounds = |token_seconds| AgentBounds { token_seconds, ..AgentBounds::default() };
        let five = Duration::from_secs(300);
        for (seconds, lives) in [(None, 300), (Some(60), 60), (Some(3600), 300)] {
            assert_eq!(lifetime(&bounds(seconds), five), Duration::from_secs(lives));
        }
    }

    proptest! {
        #[test]
        fn whatever_the_hours_a_token_ends_later_today(
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "x"]),
            days in prop::collection::vec(0u8..9, 0..9), from in 0u16..1500, to in 0u16..1500,
            seconds in 0u64..4_000_000_000,
        ) {
            let now = Timestamp::from_secs(seconds);
            if let Some(end) = end_of_hours(&hours(zone, &days, from, to), now) {
                prop_assert!(end > now && end.since(now) <= Duration::from_secs(26 * 3600));
            }
        }
    }
}
