//! What a trail shows of the calls that were made.

use super::bouts::{Bout, Bouts};
use crate::hooks::{
    fields::{Field, hold_parameters, is_refusal, marks_person, missing, tells_apart},
    trail::{Event, Trail},
};

/// The most entries that one call is taken to leave.
const MOST_ENTRIES: usize = 4;
/// The least part of the secret that gives it away.
const SECRET_PART: usize = 16;

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `None` where nobody can tell.
    pub(super) held: Option<bool>,
    /// What was seen.
    pub(super) observed: String,
}

impl Verdict {
    fn new(held: bool, observed: impl Into<String>) -> Self {
        Self { held: Some(held), observed: observed.into() }
    }

    fn unseen(why: impl Into<String>) -> Self {
        Self { held: None, observed: why.into() }
    }
}

/// How every check ended.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdicts: Vec<(&'static str, Verdict)>,
}

impl Judgement {
    /// Looks for the calls of `bouts` in `trail`, which was read from `output`.
    pub(super) fn of(bouts: &Bouts, trail: &Trail, output: &[u8]) -> Self {
        let announced = events(trail, &bouts.tool, &bouts.announced);
        let plain = events(trail, &bouts.tool, &bouts.plain);
        let timed = trail.events.iter().any(|event| !event.times.is_empty());
        let all = trail.about(&bouts.tool).count();
        let calls = calls(bouts, announced.len(), all, timed);
        let complete = complete(bouts, announced.len(), plain.len(), all, timed);
        // Without times the person's events are all that name the tool.
        let persons = if timed { announced } else { trail.about(&bouts.tool).collect() };
        let agents = bouts.agent.as_ref().map(|agent| events(trail, &bouts.tool, agent));
        let verdicts = vec![
            ("audit-calls", calls),
            ("audit-complete", complete),
            ("audit-refusals", refusals(bouts, trail)),
            ("audit-fields", fields(bouts, &persons, &events(trail, &bouts.secret_tool, &bouts.secret_call))),
            ("audit-human-agent", marks(&persons, agents.as_deref())),
            ("audit-sanitised", sanitised(bouts, trail, output)),
        ];
        Self { verdicts }
    }

    /// Whether a later export would not change it: everything that may still be written is there.
    pub(super) fn is_settled(&self) -> bool {
        let held =
            |wanted: &str| self.verdicts.iter().any(|(check, verdict)| *check == wanted && verdict.held == Some(true));
        let decided =
            |wanted: &str| self.verdicts.iter().any(|(check, verdict)| *check == wanted && verdict.held.is_some());
        ["audit-calls", "audit-complete", "audit-refusals", "audit-human-agent"].iter().all(|check| held(check))
            && decided("audit-sanitised")
    }
}

fn events<'a>(trail: &'a Trail, tool: &'a str, bout: &Bout) -> Vec<&'a Event> {
    let (from, to) = bout.window();
    trail.about(tool).filter(|event| event.within(from, to)).collect()
}

fn calls(bouts: &Bouts, found: usize, all: usize, timed: bool) -> Verdict {
    let made = bouts.announced.served;
    let tool = &bouts.tool;
    if all == 0 {
        return Verdict::new(false, format!("no entry names `{tool}`, which was called {made} times"));
    }
    if !timed {
        return Verdict::new(all >= made, format!("{all} entries name `{tool}`, without a time"));
    }
    match found {
        found if found >= made => Verdict::new(true, format!("{found} entries for {made} calls of `{tool}`")),
        0 => Verdict::new(false, format!("{all} entries name `{tool}`, but none is of the time of the {made} calls")),
        found => Verdict::new(false, format!("{found} entries for {made} calls of `{tool}`")),
    }
}

/// The same number of entries for each call, whoever makes it.
fn complete(bouts: &Bouts, announced: usize, plain: usize, all: usize, timed: bool) -> Verdict {
    let made = bouts.plain.served;
    if !timed {
        let both = made + bouts.announced.served;
        return match all >= both {
            true => Verdict::unseen(format!("{all} entries for {both} calls, without times to tell them by")),
            false => Verdict::new(false, format!("{all} entries for {both} calls")),
        };
    }
    let each = (announced / bouts.announced.served.max(1)).clamp(1, MOST_ENTRIES);
    let observed = format!("{plain} entries for {made} calls that announced nothing, at {each} for each that did");
    Verdict::new(plain >= made * each, observed)
}

/// The call of a person who is known must be there. What strangers try may be counted instead of recorded one by
/// one, so it decides only where she was not refused.
fn refusals(bouts: &Bouts, trail: &Trail) -> Verdict {
    let within = |bout: &Bout| {
        let (from, to) = bout.window();
        trail.events.iter().filter(move |event| event.within(from, to) && is_refusal(event))
    };
    let strangers = within(&bouts.stranger).count();
    if bouts.refused.refused == 0 {
        return match bouts.stranger.refused {
            0 => Verdict::unseen("nothing was refused: neither a token that is none nor a tool that does not exist"),
            _ => Verdict::new(strangers > 0, format!("{strangers} entries for the refusal of a token that is none")),
        };
    }
    let tool = &bouts.no_tool;
    if trail.about(tool).next().is_some() {
        return Verdict::new(true, format!("the refused call of `{tool}` is there"));
    }
    // Where her calls carry her name, somebody else's refusal is not hers.
    let names_her = |event: &Event| bouts.subject.iter().any(|name| event.names(name));
    let by_name = trail.about(&bouts.tool).any(names_her);
    let hers = within(&bouts.refused).filter(|event| !by_name || names_her(event)).count();
    if hers > 0 {
        return Verdict::new(true, format!("{hers} refusals of the time of the refused call of `{tool}`"));
    }
    let other = if strangers > 0 { ", but that of a token that is none is" } else { "" };
    Verdict::new(false, format!("the refused call of `{tool}` is not there{other}"))
}

/// `with_text` are entries of a call that surely had a parameter; the tool of the others may take none.
fn fields(bouts: &Bouts, persons: &[&Event], with_text: &[&Event]) -> Verdict {
    if persons.is_empty() {
        return Verdict::unseen("there is no entry of a call to look at");
    }
    let mut missing = missing(persons, &bouts.subject, &bouts.tool);
    if !with_text.is_empty() {
        missing.retain(|field| *field != Field::Parameters);
        if !hold_parameters(with_text, &bouts.secret_argument, &bouts.marker) {
            missing.push(Field::Parameters);
        }
    }
    match missing.is_empty() {
        true => Verdict::new(true, "an entry says who, which tool, which parameters, how it ended and when"),
        false => {
            let words: Vec<&str> = missing.iter().map(|field| field.word()).collect();
            Verdict::new(false, format!("an entry does not say {}", words.join(", ")))
        }
    }
}

fn marks(persons: &[&Event], agents: Option<&[&Event]>) -> Verdict {
    if persons.is_empty() {
        return Verdict::unseen("there is no entry of a person's call to look at");
    }
    match agents {
        Some([]) => Verdict::new(false, "the agent's call is not there"),
        Some(agents) => match tells_apart(persons, agents) {
            Some(field) => {
                Verdict::new(true, format!("`{}` tells a person from an agent", crate::login::quote(&field)))
            }
            None => Verdict::new(
                false,
                "no field differs between the person's calls and the agent's by saying human and agent",
            ),
        },
        None => match marks_person(persons) {
            Some(field) => Verdict::new(true, format!("`{}` says that a person called", crate::login::quote(&field))),
            None => Verdict::new(false, "no field says that a person called"),
        },
    }
}

fn sanitised(bouts: &Bouts, trail: &Trail, output: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(output);
    let core = bouts.secret.trim_start_matches("ghp_");
    if text.contains(&core[core.len() - SECRET_PART..]) || text.contains(&core[..SECRET_PART]) {
        return Verdict::new(false, "the key that was put into a parameter is in the trail");
    }
    let (from, to) = bouts.secret_call.window();
    let there = trail
        .events
        .iter()
        .any(|event| event.names(&bouts.marker) || (event.within(from, to) && event.names(&bouts.secret_tool)));
    match there {
        true => Verdict::new(true, "the call is there, and the key that was put into a parameter is not"),
        false => Verdict::unseen("the call with a key in a parameter is not there, so nobody can tell"),
    }
}

#[cfg(test)]
mod tests;
