//! How long it takes until somebody is refused.

use std::time::Duration;

use tokio::time::Instant;

use super::caller::{Caller, Served, lasts};
use crate::bench::{Bench, Grant};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest that is waited for a refusal.
pub(crate) const LONGEST: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 70 });
/// What a prompt end may take.
pub(crate) const PROMPT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 60 });
/// What is kept of the run's time to put everything right again.
pub(crate) const RESERVE: Duration = Duration::from_secs(12);

/// What came of waiting.
#[derive(Debug, Clone)]
pub(crate) enum Watched {
    /// Refused, so long after the beginning.
    Refused {
        /// From the hook's answer to the refused request.
        after: Duration,
        /// How it was refused.
        how: String,
        /// What shows it.
        exchange: u32,
    },
    /// Still served when the waiting ended, which was long enough to say so.
    Served {
        /// How long was waited.
        for_: Duration,
        /// What shows it.
        exchange: u32,
    },
    /// Nobody can tell, and why.
    Unclear(String),
}

/// Asks until refused, [`LONGEST`] at most, from now on.
pub(crate) async fn until_refused(bench: &Bench, caller: &mut Caller<'_>, grant: &Grant, longest: Duration) -> Watched {
    let began = Instant::now();
    let wait = longest.min(bench.wire.left().saturating_sub(RESERVE));
    let mut served = None;
    let mut last = String::from("the run's time is over; give it more with --timeout");
    while began.elapsed() <= wait {
        match caller.ask().await {
            Served::No { how, exchange } => {
                if !lasts(bench, grant, 1) {
                    return Watched::Unclear(
                        "the token ended by itself meanwhile; give the person longer tokens".to_owned(),
                    );
                }
                return Watched::Refused { after: began.elapsed(), how, exchange };
            }
            Served::Yes(exchange) => served = Some(exchange),
            Served::Unclear(why) => {
                served = None;
                last = why;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let for_ = began.elapsed();
    match served {
        Some(exchange) if for_ >= longest.min(PROMPT) => Watched::Served { for_, exchange },
        Some(_) => Watched::Unclear(format!(
            "it was still served after {}, when the run's time was nearly over; give it more with --timeout",
            words(for_)
        )),
        None => Watched::Unclear(last),
    }
}

/// A time for people: `340 ms`, `12.3 s`.
pub(crate) fn words(time: Duration) -> String {
    match time.as_millis() {
        millis @ ..1000 => format!("{millis} ms"),
        millis => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(words(Duration::from_millis(340)), "340 ms");
        assert_eq!(words(Duration::from_millis(12_349)), "12.3 s");
    }
}
