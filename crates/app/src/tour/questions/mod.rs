//! The ten questions, a module each.
//!
//! A question tries things and notes what it saw. What this version does not have is named with
//! [`Answer::lacks`]; whoever builds it replaces that line with checks.

mod agents;
mod audience;
mod authorization;
mod confirmation;
mod containment;
mod hostile;
mod identity;
mod lifetimes;
mod scopes;
mod trail;

use super::{Answer, Tour};

/// Puts one question. One that cannot be played to its end is open.
pub async fn ask(tour: &mut Tour<'_>, number: u8) -> Answer {
    let mut answer = Answer::new(number, title(number));
    let it = &mut answer;
    let played = match number {
        1 => authorization::ask(tour, it).await,
        2 => identity::ask(tour, it).await,
        3 => agents::ask(tour, it).await,
        4 => scopes::ask(tour, it).await,
        5 => hostile::ask(tour, it).await,
        6 => lifetimes::ask(tour, it).await,
        7 => trail::ask(tour, it).await,
        8 => audience::ask(tour, it).await,
        9 => confirmation::ask(tour, it).await,
        _ => containment::ask(tour, it).await,
    };
    if let Err(error) = played {
        answer.core("the question can be played to its end", false, format!("{error:#}"));
    }
    answer
}

fn title(number: u8) -> &'static str {
    match number {
        1 => "Signing in: OAuth 2.1 with PKCE",
        2 => "The customer's own identity provider",
        3 => "Agents apart from people",
        4 => "Least privilege, and who may narrow it",
        5 => "Hostile text in tool results",
        6 => "How long tokens live, and how they rotate",
        7 => "The audit trail",
        8 => "Tokens good for one server only",
        9 => "A person's word before risky calls",
        _ => "When something is compromised",
    }
}
