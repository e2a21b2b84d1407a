//! The shapes. Group 1, where there is one, is the secret itself.

use crate::finding::Severity::{self, High, Medium};

/// What else a match needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing: the prefix says it.
    Sure,
    /// Some entropy.
    Random,
    /// High entropy of several kinds of characters.
    Weak,
    /// The place says it.
    Password,
}

/// One shape.
pub(super) struct Rule {
    pub(super) keys: &'static [&'static str],
    pub(super) pattern: &'static str,
    pub(super) shape: Shape,
    pub(super) severity: Severity,
    /// Bytes after a keyword that the pattern may see; a match is surely found if it takes half of them.
    pub(super) reach: usize,
    pub(super) what: &'static str,
}

const fn rule(keys: &'static [&'static str], pattern: &'static str, shape: Shape, what: &'static str) -> Rule {
    Rule { keys, pattern, shape, severity: High, reach: 640, what }
}

pub(super) static RULES: [Rule; 26] = [
    rule(
        &["akia", "asia", "abia", "acca"],
        r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b",
        Shape::Sure,
        "an AWS access key id",
    ),
    rule(
        &["secret_access_key", "secretaccesskey", "secret access key"],
        r#"(?i:secret_?\s?access_?\s?key)['"]?\s{0,3}[:=]\s{0,3}['"]?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"#,
        Shape::Random,
        "an AWS secret access key",
    ),
    rule(
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"\b(gh[pousr]_[A-Za-z0-9]{36,255})\b",
        Shape::Sure,
        "a GitHub token",
    ),
    rule(
        &["github_pat_"],
        r"\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b",
        Shape::Sure,
        "a GitHub fine-grained token",
    ),
    rule(
        &["glpat-", "gldt-", "glrt-", "glptt-"],
        r"\b(gl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{20,})",
        Shape::Sure,
        "a GitLab token",
    ),
    rule(
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe", "xapp-"],
        r"\b((?:xox[bpars]-\d{6,}-[A-Za-z0-9-]{12,}|xoxe(?:\.xox[bp])?-\d-[A-Za-z0-9]{20,}|xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]{20,}))",
        Shape::Sure,
        "a Slack token",
    ),
    rule(
        &["hooks.slack.com"],
        r"(hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,28})",
        Shape::Sure,
        "a Slack webhook",
    ),
    rule(&["aiza"], r"\b(AIza[A-Za-z0-9_-]{35})(?:[^A-Za-z0-9_-]|$)", Shape::Sure, "a Google API key"),
    rule(&["gocspx-"], r"\b(GOCSPX-[A-Za-z0-9_-]{28})(?:[^A-Za-z0-9_-]|$)", Shape::Sure, "a Google client secret"),
    rule(&["ya29."], r"\b(ya29\.[A-Za-z0-9_-]{30,})", Shape::Sure, "a Google access token"),
    rule(&["sk-ant-"], r"\b(sk-ant-(?:api|admin|oat|sid)\d\d-[A-Za-z0-9_-]{60,})", Shape::Sure, "an Anthropic key"),
    rule(
        &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-"],
        r"\b(sk-(?:proj-|svcacct-|admin-)[A-Za-z0-9_-]{40,}|sk-[A-Za-z0-9_-]{10,}T3BlbkFJ[A-Za-z0-9_-]{10,})",
        Shape::Sure,
        "an OpenAI key",
    ),
    rule(&["sk-"], r"(?:^|[^A-Za-z0-9_-])(sk-[A-Za-z0-9]{32,64})(?:[^A-Za-z0-9_-]|$)", Shape::Random, "an API key"),
    rule(
        &["sk_live_", "rk_live_", "sk_test_", "whsec_"],
        r"\b((?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{24,})\b",
        Shape::Sure,
        "a Stripe key",
    ),
    rule(&["sg."], r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})(?:[^A-Za-z0-9_-]|$)", Shape::Sure, "a SendGrid key"),
    rule(&["npm_"], r"\b(npm_[A-Za-z0-9]{36})\b", Shape::Random, "an npm token"),
    rule(&["pypi-age"], r"\b(pypi-AgE[A-Za-z0-9_-]{50,})", Shape::Sure, "a PyPI token"),
    rule(&["hf_"], r"\b(hf_[A-Za-z]{20}[A-Za-z0-9]{14}|hf_[A-Za-z0-9]{34})\b", Shape::Random, "a Hugging Face token"),
    rule(&["dop_v1_", "doo_v1_", "dor_v1_"], r"\b(do[opr]_v1_[a-f0-9]{64})\b", Shape::Sure, "a DigitalOcean token"),
    rule(&["sk"], r"\b(SK[0-9a-f]{32})\b", Shape::Random, "a Twilio key"),
    rule(&["accountkey="], r"(?i:AccountKey)=([A-Za-z0-9+/]{86}==)", Shape::Random, "an Azure storage key"),
    rule(&["shpat_", "shpss_", "shpca_"], r"\b(shp(?:at|ss|ca)_[a-fA-F0-9]{32})\b", Shape::Sure, "a Shopify token"),
    rule(
        &["-----begin"],
        r#"(-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)(?:\s|\\[nr]|["'+>]){0,8}(?:[A-Za-z0-9+/=]{8,}|Proc-Type|Version|Comment)"#,
        Shape::Sure,
        "a private key",
    ),
    Rule {
        keys: &["eyj"],
        pattern: r"\b(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})",
        shape: Shape::Random,
        severity: High,
        reach: 8192,
        what: "a JSON Web Token",
    },
    rule(
        &["://"],
        r#"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@?#"'<>\\]{1,64}:([^\s:/@?#"'<>\\]{3,128})@[A-Za-z0-9\[]"#,
        Shape::Password,
        "a password in a URL",
    ),
    Rule {
        keys: &["api_key", "apikey", "api-key", "secret", "token", "passw", "pwd", "credential", "private_key", "auth"],
        pattern: r#"(?i:api[_-]?key|secret|token|passw(?:or)?d|pwd|credential|private_key|auth)[A-Za-z0-9_-]{0,24}['"]?\s{0,3}(?:[:=]|=>|:=)\s{0,3}['"]?([A-Za-z0-9+/=_.!@#%^&*~-]{12,200})"#,
        shape: Shape::Weak,
        severity: Medium,
        reach: 640,
        what: "a value that looks random, assigned to a secret's name",
    },
];
