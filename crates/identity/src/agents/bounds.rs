//! What bounds an agent, checked.

use ipnet::IpNet;
use sallyport_model::{AgentId, TenantId};
use sallyport_oauth::redirect;
use sallyport_storage::{AgentBounds, AgentHours};

use super::{AgentRules, wrong};
use crate::IdentityError;

/// More entries of one list are refused.
const MOST: usize = 50;
/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// No token of use is shorter, seconds.
const SHORTEST_TOKEN: u64 = 30;

/// Hours as people write them: `Mo-Fr 08:00-18:00 Europe/Berlin`, `Sa,Su 00:00-24:00 UTC`, `09:00-17:00 UTC` (every
/// day).
///
/// # Errors
/// A sentence that says what is wrong.
pub fn hours(text: &str) -> Result<AgentHours, String> {
    let form = || format!("`{text}` is no span of hours: write it like `Mo-Fr 08:00-18:00 Europe/Berlin`");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, span, zone) = match words.as_slice() {
        [days, span, zone] => (*days, *span, *zone),
        [span, zone] => ("Mo-Su", *span, *zone),
        _ => return Err(form()),
    };
    let (from, to) = span.split_once('-').ok_or_else(form)?;
    let hours = AgentHours {
        zone: zone.to_owned(),
        days: parse_days(days).ok_or_else(form)?,
        from: minutes(from).ok_or_else(form)?,
        to: minutes(to).ok_or_else(form)?,
    };
    check_hours(&hours)?;
    Ok(hours)
}

fn parse_days(text: &str) -> Option<Vec<u8>> {
    let day = |word: &str| {
        let at = ["mo", "tu", "we", "th", "fr", "sa", "su"].iter().position(|day| word.eq_ignore_ascii_case(day))?;
        u8::try_from(at + 1).ok()
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(day(part)?),
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                if first > last {
                    return None;
                }
                days.extend(first..=last);
            }
        }
    }
    days.sort_unstable();
    days.dedup();
    Some(days)
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?;
    let (hours, minutes): (u16, u16) = (two(hours)?, two(minutes)?);
    (hours <= 24 && minutes < 60).then_some(hours * 60 + minutes)
}

fn check_hours(hours: &AgentHours) -> Result<(), String> {
    if hours.days.is_empty() || hours.days.iter().any(|day| !(1..=7).contains(day)) {
        return Err("the days are none of Monday = 1 to Sunday = 7: name at least one".to_owned());
    }
    if hours.from >= hours.to || hours.to > DAY {
        return Err("the hours end before they begin, or after midnight: write a span within one day".to_owned());
    }
    match jiff::tz::TimeZone::get(&hours.zone) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "`{}` is no time zone: use a name of the IANA database, such as Europe/Berlin",
            crate::audit::told(&hours.zone)
        )),
    }
}

impl AgentRules<'_> {
    /// The bounds of an agent of `tenant` in their normal form. `id` is the agent's own.
    pub(super) async fn bounds(
        &self,
        tenant: &TenantId,
        id: &AgentId,
        owner: Option<&sallyport_model::UserId>,
        bounds: AgentBounds,
    ) -> Result<AgentBounds, IdentityError> {
        let mut bounds = bounds;
        bounds.networks = networks(&bounds.networks)?;
        if let Some(hours) = &bounds.hours {
            check_hours(hours).map_err(|what| wrong("hours", what))?;
        }
        if bounds.ends_at.is_some_and(|end| end <= self.now) {
            return Err(wrong("ends", "the end is over already: name a later moment"));
        }
        if bounds.token_seconds.is_some_and(|seconds| seconds < SHORTEST_TOKEN) {
            let what = format!("a token that lives less than {SHORTEST_TOKEN} s is too short to work with");
            return Err(wrong("token_seconds", what));
        }
        redirect_uris(&bounds.redirect_uris)?;
        self.delegates(tenant, id, &mut bounds.delegates).await?;
        if let Some(successor) = &bounds.successor {
            self.living("successor", tenant, successor).await?;
            if owner == Some(successor) {
                return Err(wrong("successor", "the successor is the owner herself: name somebody else"));
            }
        }
        Ok(bounds)
    }

    async fn delegates(&self, tenant: &TenantId, id: &AgentId, all: &mut Vec<AgentId>) -> Result<(), IdentityError> {
        all.sort();
        all.dedup();
        few("delegates", all.len())?;
        for delegate in all.iter() {
            if delegate == id {
                return Err(wrong("delegates", "an agent cannot act for itself: name another one"));
            }
            let known = self.store.agent(delegate).await?.filter(|agent| agent.tenant == *tenant);
            if known.is_none() {
                let what = format!("{tenant} has no agent `{delegate}`: make it first, in the same tenant");
                return Err(wrong("delegates", what));
            }
        }
        Ok(())
    }
}

fn few(field: &'static str, count: usize) -> Result<(), IdentityError> {
    if count > MOST { Err(wrong(field, format!("{count} are too many: name at most {MOST}"))) } else { Ok(()) }
}

fn networks(all: &[String]) -> Result<Vec<String>, IdentityError> {
    few("networks", all.len())?;
    let network = |text: &String| {
        let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        parsed.map(|network| network.trunc().to_string()).map_err(|_| {
            let what = format!("`{}` is no network: write it like 10.20.0.0/16", crate::audit::told(text));
            wrong("networks", what)
        })
    };
    all.iter().map(network).collect()
}

fn redirect_uris(all: &[String]) -> Result<(), IdentityError> {
    few("redirect_uris", all.len())?;
    for uri in all {
        redirect::check(uri)
            .map_err(|fault| wrong("redirect_uris", format!("`{}`: {fault}", crate::audit::told(uri))))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hours_read_as_people_write_them() {
        let night = hours("Mo-We,Su 22:00-24:00 Europe/Berlin").unwrap();
        assert_eq!((night.days, night.from, night.to), (vec![1, 2, 3, 7], 1320, 1440));
        assert_eq!(hours("09:00-17:30 UTC").unwrap().days, [1, 2, 3, 4, 5, 6, 7]);
        for no in [
            "",
            "Mo-Fr",
            "Fr-Mo 08:00-09:00 UTC",
            "Mo 09:00-08:00 UTC",
            "Mo 8:00-09:00 UTC",
            "Mo 08:00-24:01 UTC",
            "Mo 08:00-09:00 Mars/Base",
            "Xx 08:00-09:00 UTC",
            "Mo 08:00-09:00 UTC more",
        ] {
            assert!(hours(no).is_err(), "{no}");
        }
    }

    #[test]
    fn a_network_is_kept_in_its_normal_form() {
        let given = ["10.1.2.3/8".to_owned(), "192.0.2.7".to_owned(), "2001:db8::1/32".to_owned()];
        assert_eq!(networks(&given).unwrap(), ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        assert!(networks(&["ten".to_owned()]).is_err());
    }

    proptest! {
        #[test]
        fn hours_of_a_stranger_are_hours_or_refused(text in ".{0,60}") {
            if let Ok(hours) = hours(&text) {
                prop_assert!(hours.from < hours.to && hours.to <= DAY);
            }
        }
    }
}
