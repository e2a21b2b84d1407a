//! From a document of the assessor to an entry of the register.
//!
//! A document comes from a file: its figures are held against one another before anything is believed.

use sallyport_model::{
    Timestamp, UpstreamName,
    assessment::{Assessment, Band, QUESTION_MAX, SCHEMA_VERSION, TOTAL_MAX},
};
use sallyport_storage::{Assessed, AssessmentOrigin, Definition, Digest, definitions_digest};

use super::moments;

/// Characters of a target that are kept.
const MOST_TARGET: usize = 500;

/// What an assessment of `upstream` is in the register, recorded `now`. `pins` are what is pinned of it now.
///
/// # Errors
/// What in the document cannot be.
pub fn entry(
    upstream: &UpstreamName,
    document: &Assessment,
    origin: AssessmentOrigin,
    pins: &[Definition],
    now: Timestamp,
) -> Result<Assessed, String> {
    check(document)?;
    let assessed_at = moments::moment(&document.assessed_at)
        .ok_or_else(|| format!("`assessed_at` is `{}`, which is no time of RFC 3339 in UTC", document.assessed_at))?;
    Ok(Assessed {
        upstream: upstream.clone(),
        assessed_at,
        recorded_at: now,
        origin,
        target: document.target.chars().take(MOST_TARGET).collect(),
        target_differs: None,
        total: document.total,
        low: document.total_range[0],
        high: document.total_range[1],
        band: document.band,
        definitions: seen(pins, assessed_at),
        counts: true,
    })
}

/// One digest over what was pinned when the assessment began; `None` if that has changed since, or nobody knows.
fn seen(pins: &[Definition], assessed_at: Timestamp) -> Option<Digest> {
    let known = !pins.is_empty() && pins.iter().all(|pin| pin.pinned_at <= assessed_at);
    known.then(|| definitions_digest(pins))
}

fn check(document: &Assessment) -> Result<(), String> {
    if document.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "its schema version is {}, and this program reads {SCHEMA_VERSION}: assess again with this version",
            document.schema_version
        ));
    }
    if document.target.starts_with("answers:") {
        return Err("it scores an answer sheet; the register takes assessments of servers".to_owned());
    }
    let numbers: Vec<u8> = document.questions.iter().map(|question| question.number).collect();
    if numbers != (1..=10).collect::<Vec<u8>>() {
        return Err("it does not hold the ten questions in order".to_owned());
    }
    let mut sums = [0u8; 2];
    for question in &document.questions {
        let [low, high] = question.range;
        let settled = (low == high).then_some(low);
        if low > high || high > QUESTION_MAX || question.score != settled {
            return Err(format!("question {} has a score that its range does not bear out", question.number));
        }
        sums = [sums[0] + low, sums[1] + high];
    }
    let total = (sums[0] == sums[1]).then_some(sums[0]);
    if document.total_range != sums || document.total != total || document.max != TOTAL_MAX {
        return Err("its total is not the sum of its questions".to_owned());
    }
    if document.band != total.map(Band::of) {
        return Err("its band is not that of its total".to_owned());
    }
    Ok(())
}

/// Whether `new` says that a question is worse than `old` knew it: what an assessment that sees less than the one
/// before can still find out.
pub fn contradicts(new: &Assessment, old: &Assessment) -> bool {
    let least = |number: u8| old.questions.iter().find(|question| question.number == number).map_or(0, |q| q.range[0]);
    new.questions.iter().any(|question| question.range[1] < least(question.number))
}

/// What an upstream is called as a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Its URL.
    Url(url::Url),
    /// Its program and arguments.
    Command(Vec<String>),
}

impl Address {
    /// Whether a document's `target` is this, or `endpoint`, which is the gate's own for it.
    pub fn is_target(&self, target: &str, endpoint: &str) -> bool {
        let same = |url: &url::Url| url::Url::parse(target).is_ok_and(|target| target == *url);
        if url::Url::parse(endpoint).is_ok_and(|endpoint| same(&endpoint)) {
            return true;
        }
        match self {
            Self::Url(url) => same(url),
            Self::Command(words) => target.strip_prefix("stdio:").is_some_and(|said| is_command(said, words)),
        }
    }
}

/// The document leaves a `…` where an argument may hold a credential.
fn is_command(said: &str, words: &[String]) -> bool {
    let ours = words.join(" ");
    let (said, ours): (Vec<&str>, Vec<&str>) = (said.split(' ').collect(), ours.split(' ').collect());
    let same = |(said, ours): (&&str, &&str)| match said.split_once('…') {
        Some((before, _)) => ours.starts_with(before),
        None => said == ours,
    };
    said.len() == ours.len() && said.first() == ours.first() && said.iter().zip(&ours).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::document;
    use sallyport_storage::DefinitionKind;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn good() -> Assessment {
        document("https://up.example/mcp", [[1, 1]; 10], NOW)
    }

    fn read(document: &Assessment, pins: &[Definition]) -> Result<Assessed, String> {
        entry(&"up".parse().unwrap(), document, AssessmentOrigin::Recorded, pins, NOW)
    }

    fn pin(pinned_at: Timestamp) -> Definition {
        let raw = "{}".to_owned();
        let name = "echo".to_owned();
        Definition { kind: DefinitionKind::Tool, name, sha256: [1; 32], raw, first_seen_at: NOW, pinned_at }
    }

    #[test]
    fn figures_that_do_not_add_up_are_not_believed() {
        let entry = read(&good(), &[]).unwrap();
        assert_eq!((entry.total, entry.low, entry.high, entry.assessed_at), (Some(10), 10, 10, NOW));
        type Change = fn(&mut Assessment);
        let lies: [(&str, Change); 12] = [
            ("schema version", |d| d.schema_version = 2),
            ("answer sheet", |d| d.target = "answers:x.toml".into()),
            ("ten questions", |d| drop(d.questions.pop())),
            ("ten questions", |d| d.questions.swap(0, 1)),
            ("question 1", |d| d.questions[0].range = [1, 3]),
            ("question 1", |d| d.questions[0].range = [2, 1]),
            ("question 1", |d| d.questions[0].score = Some(2)),
            ("question 10", |d| d.questions[9].score = None),
            ("sum", |d| d.total = Some(20)),
            ("sum", |d| d.total_range = [10, 20]),
            ("band", |d| d.band = Some(Band::Proceed)),
            ("RFC 3339", |d| d.assessed_at = "yesterday".into()),
        ];
        for (what, change) in lies {
            let mut document = good();
            change(&mut document);
            let error = read(&document, &[]).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn what_is_pinned_later_was_not_assessed() {
        let early = pin(NOW.minus(std::time::Duration::from_secs(1)));
        assert_eq!(
            read(&good(), std::slice::from_ref(&early)).unwrap().definitions,
            Some(definitions_digest(std::slice::from_ref(&early)))
        );
        let late = Definition { name: "late".into(), ..pin(NOW.plus(std::time::Duration::from_millis(1))) };
        assert_eq!(read(&good(), &[early, late]).unwrap().definitions, None);
        assert_eq!(read(&good(), &[]).unwrap().definitions, None, "nothing was known of it");
    }

    #[test]
    fn an_open_question_contradicts_nothing_and_a_worse_one_does() {
        let old = document("x", [[2, 2]; 10], NOW);
        assert!(!contradicts(&document("x", [[0, 2]; 10], NOW), &old));
        let mut ranges = [[0, 2]; 10];
        ranges[4] = [0, 1];
        assert!(contradicts(&document("x", ranges, NOW), &old), "one question is worse");
        assert!(!contradicts(&document("x", ranges, NOW), &document("x", [[1, 2]; 10], NOW)));
    }

    #[test]
    fn a_target_is_the_upstream_or_the_gates_endpoint_for_it() {
        let gate = "https://gate.example/mcp/up";
        let http = Address::Url("https://up.example/mcp".parse().unwrap());
        for same in ["https://up.example/mcp", "https://UP.example:443/mcp", gate] {
            assert!(http.is_target(same, gate), "{same}");
        }
        for other in
            ["https://up.example/mcp2", "http://up.example/mcp", "https://gate.example/mcp/other", "", "stdio:x"]
        {
            assert!(!http.is_target(other, gate), "{other}");
        }
        let words = ["npx", "--api-key", "abc", "--token=t0", "@a/b", "my files"].map(str::to_owned).to_vec();
        let stdio = Address::Command(words);
        for same in
            ["stdio:npx --api-key … --token=… @a/b my files", "stdio:npx --api-key abc --token=t0 @a/b my files", gate]
        {
            assert!(stdio.is_target(same, gate), "{same}");
        }
        for other in [
            "stdio:npx",
            "stdio:… --api-key … --token=… @a/b my files",
            "npx --api-key … --token=… @a/b my files",
            "stdio:npx --api-key … --other=… @a/b my files",
            "https://up.example/mcp",
        ] {
            assert!(!stdio.is_target(other, gate), "{other}");
        }
    }
}
