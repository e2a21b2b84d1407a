//! How specific one answer is: 2 for a clear and specific one, 1 for a partial one, 0 for none or a plan.

use jiff::{ToSpan, civil::Date};
use sallyport_model::assessment::{Answer, QUESTION_MAX};

use super::{
    rules::{Point, points},
    sentence::{Sentence, sentences},
};

/// An answer as it was given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) question: u8,
    pub(super) text: String,
    pub(super) document: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) date: Option<Date>,
    pub(super) expires: Option<Date>,
}

/// An answer and what it may not stand for.
#[derive(Debug, Clone)]
pub(super) struct Scored {
    pub(super) answer: Answer,
    pub(super) silent_on: Vec<&'static str>,
}

/// How many of `points` make a partial answer.
pub(super) const fn half(points: usize) -> usize {
    points.div_ceil(2)
}

/// Scores `given` as of `today`.
pub(super) fn score(given: Given, today: Date) -> Scored {
    let all = sentences(&given.text);
    let (plans, facts): (Vec<Sentence>, Vec<Sentence>) = all.into_iter().partition(|s| s.plan().is_some());
    let points = points(given.question);
    let missing: Vec<&Point> = points.iter().filter(|point| !facts.iter().any(|fact| point.met_by(fact))).collect();
    let met = points.len() - missing.len();
    let mut score = match met {
        met if met == points.len() => QUESTION_MAX,
        met if met >= half(points.len()) => 1,
        _ => 0,
    };
    let mut complaints: Vec<String> = Vec::new();
    if given.text.trim().is_empty() {
        complaints.push("there is no answer".to_owned());
    }
    complaints.extend(missing.iter().map(|point| match point.figure {
        Some(_) => format!("say, with a figure or an address, {}", point.says),
        None => format!("say {}", point.says),
    }));
    complaints
        .extend(plans.iter().map(|plan| format!("“{}” is no control that exists; it does not count", cut(&plan.text))));
    score = age(&given, today, score, &mut complaints);
    if given.document.is_none() || given.owner.is_none() {
        complaints.push("name the document and its owner; without them it attests nothing".to_owned());
    }
    let silent_on = silent(points, &facts);
    let answer = Answer {
        score,
        text: given.text,
        document: given.document,
        owner: given.owner,
        date: given.date.map(|date| date.to_string()),
        expires: given.expires.map(|date| date.to_string()),
        complaints,
    };
    Scored { answer, silent_on }
}

/// An expired answer is none; one that is undated, of the future or older than a year loses a point.
fn age(given: &Given, today: Date, score: u8, complaints: &mut Vec<String>) -> u8 {
    if let Some(expires) = given.expires.filter(|expires| *expires < today) {
        complaints.push(format!("it expired on {expires}; confirm it anew"));
        return 0;
    }
    let year_ago = today.checked_sub(1.year()).unwrap_or(today);
    let complaint = match given.date {
        None => "it has no date; say when it was confirmed".to_owned(),
        Some(date) if date > today => format!("its date {date} is in the future; say when it was confirmed"),
        Some(date) if date < year_ago && given.expires.is_none() => {
            format!("it is of {date} and says not how long it holds; confirm it anew, or add `expires`")
        }
        Some(_) => return score,
    };
    complaints.push(complaint);
    score.saturating_sub(1)
}

/// The checks that no point which is met speaks of, or speaks of with too long a time.
fn silent(points: &[Point], facts: &[Sentence]) -> Vec<&'static str> {
    let mut silent = Vec::new();
    for point in points {
        for (check, most) in point.attests {
            let enough = |fact: &Sentence| {
                point.met_by(fact) && most.is_none_or(|most| fact.longest().is_some_and(|longest| longest <= most))
            };
            if !facts.iter().any(enough) {
                silent.push(*check);
            }
        }
    }
    silent
}

fn cut(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
