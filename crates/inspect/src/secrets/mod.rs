//! Keys and passwords, by known shapes, and by entropy where the shape is weak. Excerpts never show them.

mod rules;

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use crate::{
    engine::Subject,
    excerpt,
    finding::{DetectorId, Finding, Findings, Severity},
};
use rules::{RULES, Shape};

/// Bytes before a keyword, for names such as `prod_db_password`.
const BEFORE: usize = 8;

struct Engine {
    keywords: AhoCorasick,
    wakes: Vec<Vec<usize>>,
    patterns: Vec<Regex>,
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut keywords: Vec<&str> = Vec::new();
    let mut wakes: Vec<Vec<usize>> = Vec::new();
    for (number, rule) in RULES.iter().enumerate() {
        for key in rule.keys {
            match keywords.iter().position(|known| known == key) {
                Some(known) => wakes[known].push(number),
                None => {
                    keywords.push(key);
                    wakes.push(vec![number]);
                }
            }
        }
    }
    let builder = |pattern| Regex::new(pattern).expect("a test compiles every pattern");
    let keywords = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(keywords)
        .expect("a few short keywords");
    Engine { keywords, wakes, patterns: RULES.iter().map(|rule| builder(rule.pattern)).collect() }
});

/// Looks for every known shape.
pub(crate) fn inspect(subject: Subject<'_>, findings: &mut Findings) {
    let text = subject.text;
    let engine = &*ENGINE;
    let mut covered = [0; RULES.len()];
    for hit in engine.keywords.find_overlapping_iter(text) {
        for &number in &engine.wakes[hit.pattern().as_usize()] {
            let rule = &RULES[number];
            if hit.start() < covered[number] || findings.is_full(DetectorId::Secret, rule.severity) {
                continue;
            }
            let start = text.floor_char_boundary(hit.start().saturating_sub(BEFORE));
            let end = text.floor_char_boundary((hit.end() + rule.reach).min(text.len()));
            // Half a window is seen again by the next keyword, so that nothing falls between two.
            let Some(found) = engine.patterns[number].captures(&text[start..end]) else {
                covered[number] = hit.end() + rule.reach / 2;
                continue;
            };
            let Some(secret) = found.get(1).or_else(|| found.get(0)) else { continue };
            let at = start + secret.start()..start + secret.end();
            covered[number] = at.end;
            let Some(severity) = judge(rule.shape, rule.severity, secret.as_str()) else { continue };
            findings.push(finding(subject, severity, at, rule.what));
        }
    }
}

fn finding(subject: Subject<'_>, severity: Severity, at: Range<usize>, what: &'static str) -> Finding {
    let excerpt = excerpt::redacted(&subject.text[at.clone()]);
    Finding {
        detector: DetectorId::Secret,
        severity,
        place: excerpt::place(subject.place),
        at,
        excerpt,
        why: what.into(),
    }
}

/// What documentation writes for a password.
const PASSWORDS: [&str; 12] =
    ["pass", "password", "passwd", "pwd", "passw0rd", "secret", "user", "root", "postgres", "guest", "token", "pw"];

/// How grave a match is; none for what only looks like a key.
fn judge(shape: Shape, severity: Severity, secret: &str) -> Option<Severity> {
    if is_placeholder(secret) {
        return (shape == Shape::Sure).then_some(Severity::Low);
    }
    let random = match shape {
        Shape::Sure => true,
        Shape::Random => entropy(secret) >= 3.0,
        Shape::Weak => entropy(secret) >= 3.3 && classes(secret) >= 3 && !is_words(secret),
        Shape::Password if PASSWORDS.contains(&secret) => return Some(Severity::Low),
        Shape::Password => true,
    };
    random.then_some(severity)
}

/// Published examples, masks and places to fill in.
fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let words = [
        "example",
        "xxxx",
        "your",
        "placeholder",
        "****",
        "<",
        "${",
        "{{",
        "...",
        "changeme",
        "redacted",
        "dummy",
        "insert",
        "sample",
        "0000000",
        "1234567890",
        "abcdef1234",
    ];
    let body = secret.rsplit(['_', '-']).next().unwrap_or(secret);
    let first = body.chars().next();
    words.iter().any(|word| lower.contains(word)) || (body.len() > 6 && body.chars().all(|c| Some(c) == first))
}

/// Bits of a character.
fn entropy(text: &str) -> f64 {
    let mut counts: HashMap<char, f64> = HashMap::new();
    text.chars().for_each(|c| *counts.entry(c).or_default() += 1.0);
    let length: f64 = counts.values().sum();
    -counts.values().map(|n| n / length * (n / length).log2()).sum::<f64>()
}

/// How many of lower case, upper case, digits and others it has.
fn classes(text: &str) -> usize {
    let has = |test: fn(&char) -> bool| usize::from(text.chars().any(|c| test(&c)));
    has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        + has(char::is_ascii_punctuation)
}

/// Identifiers and paths: parts that are words.
fn is_words(text: &str) -> bool {
    let parts: Vec<&str> =
        text.split(['_', '-', '.', '/', ':', '(', ')', '[', ']']).filter(|p| !p.is_empty()).collect();
    let wordy = |part: &&&str| part.len() <= 24 && part.chars().all(|c| c.is_ascii_alphabetic());
    !parts.is_empty() && parts.iter().filter(wordy).count() * 2 >= parts.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Surface;

    fn worst(text: &str) -> Option<Severity> {
        let mut findings = Findings::default();
        inspect(Subject { text, place: "", surface: Surface::Result }, &mut findings);
        let found = findings.finish();
        assert!(found.iter().all(|f| f.excerpt.len() < 40), "an excerpt shows a secret: {found:?}");
        found.first().map(|f| f.severity)
    }

    /// Made here, so that nothing in the repository looks like a key to a scanner.
    fn made(length: usize) -> String {
        const SET: &[u8] = b"aZ3kQ9xLm2Vt7Yb5Rw8Hc4Nd6Jf1Gs";
        (0..length).map(|i| char::from(SET[(i * 7 + i / 5) % SET.len()])).collect()
    }

    #[test]
    fn known_shapes_are_found() {
        let upper = |n: usize| made(n).to_uppercase().replace(['1', '8', '9'], "7");
        let hex: String = "0a1b2c3d4e5f60718293a4b5c6d7e8f90c2e4a6b8d1f3a5c7e9b0d2f4a6c8e1b".to_owned();
        let digits = "284615937204";
        for text in [
            format!("key AKIA{} here", upper(16)),
            format!("aws_secret_access_key = {}/{}", made(20), made(19)),
            format!("ghp_{}", made(36)),
            format!("github_pat_{}_{}", made(22), made(59)),
            format!("glpat-{}", made(20)),
            format!("xoxb-{digits}-{digits}-{}", made(24)),
            format!("https://hooks.slack.com/services/T{}/B{}/{}", upper(8), upper(8), made(24)),
            format!("AIza{}", made(35)),
            format!("GOCSPX-{}", made(28)),
            format!("sk-proj-{}T3BlbkFJ{}", made(40), made(40)),
            format!("sk-{}", made(48)),
            format!("sk-ant-api03-{}AA", made(93)),
            format!("sk_live_{}", made(24)),
            format!("SG.{}.{}", made(22), made(43)),
            format!("npm_{}", made(36)),
            format!("hf_{}", made(34)),
            format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{}.{}", made(30), made(43)),
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKC".to_owned(),
            "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1r".to_owned(),
            format!("postgresql://admin:{}@db.internal:5432/prod", made(12)),
            format!("\"api_key\": \"{}\"", made(32)),
            format!("DB_PASSWORD='{}!'", made(14)),
            format!("AccountKey={}==", made(86)),
            format!("SK{}", &hex[..32]),
        ] {
            assert!(worst(&text) >= Some(Severity::Medium), "{text}: {:?}", worst(&text));
        }
    }

    #[test]
    fn what_only_looks_like_a_key_is_not() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE is the documented example",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "api_key: YOUR_API_KEY_HERE",
            "password = os.environ['DB_PASSWORD']",
            "api_key = settings.get_api_key_from_vault()",
            "token: string, required",
            "The secret: never give up",
            "https://user:${PASSWORD}@example.com/",
            "http://localhost:8080/@scope/package",
            "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
            "sk-learn and risk-based approach to a task-oriented design",
            "-----BEGIN PUBLIC KEY-----",
            "a file that begins with `-----BEGIN PRIVATE KEY-----`",
            "postgres://postgres:postgres@localhost/test",
            "-----BEGIN CERTIFICATE-----",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "uuid 123e4567-e89b-12d3-a456-426614174000",
            "password: ********",
            "access_token=$TOKEN",
            "secret_name: my-application-database-credentials",
        ] {
            assert!(worst(text) <= Some(Severity::Low), "{text}: {:?}", worst(text));
        }
    }
}
