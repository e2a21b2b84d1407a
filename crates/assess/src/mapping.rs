//! The ten questions beside other frameworks: OWASP, NIST, ISO, SOC 2, CAIQ.
//!
//! `docs/assess/mapping.md` is written from here; a test holds them together. A reference says that a control
//! belongs to the question's subject, never that one fulfils the other.

use Framework::{Agentic, Caiq, Iso, Mcp, Nist, Soc2};

/// A framework whose controls are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Framework {
    /// OWASP MCP Top 10, 2025, version 0.1.
    Mcp,
    /// OWASP Top 10 for Agentic Applications, 2026.
    Agentic,
    /// NIST SP 800-53 revision 5.
    Nist,
    /// ISO/IEC 27001:2022, Annex A.
    Iso,
    /// AICPA Trust Services Criteria 2017, revised points of focus 2022.
    Soc2,
    /// CSA Consensus Assessment Initiative Questionnaire 4.
    Caiq,
}

impl Framework {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [Mcp, Agentic, Nist, Iso, Soc2, Caiq];

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Mcp => "OWASP MCP Top 10 (2025, v0.1)",
            Agentic => "OWASP Top 10 for Agentic Applications (2026)",
            Nist => "NIST SP 800-53 r5",
            Iso => "ISO/IEC 27001:2022 Annex A",
            Soc2 => "SOC 2 (TSC 2017, rev. 2022)",
            Caiq => "CSA CAIQ v4",
        }
    }
}

/// One control of one framework, and the questions whose subject it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// Whose.
    pub framework: Framework,
    /// As the framework writes it.
    pub id: &'static str,
    /// Its title; for CAIQ that of the control which the question asks about.
    pub title: &'static str,
    /// From 1 to 10, ascending.
    pub questions: &'static [u8],
}

const fn control(framework: Framework, id: &'static str, title: &'static str, questions: &'static [u8]) -> Control {
    Control { framework, id, title, questions }
}

/// Every control that is mapped.
pub const CONTROLS: &[Control] = &[
    control(Mcp, "MCP01:2025", "Token Mismanagement & Secret Exposure", &[3, 5, 6, 8]),
    control(Mcp, "MCP02:2025", "Privilege Escalation via Scope Creep", &[4, 9]),
    control(Mcp, "MCP03:2025", "Tool Poisoning", &[5]),
    control(Mcp, "MCP05:2025", "Command Injection & Execution", &[9]),
    control(Mcp, "MCP06:2025", "Intent Flow Subversion", &[5, 9]),
    control(Mcp, "MCP07:2025", "Insufficient Authentication & Authorization", &[1, 2, 3, 8]),
    control(Mcp, "MCP08:2025", "Lack of Audit and Telemetry", &[7, 10]),
    control(Mcp, "MCP10:2025", "Context Injection & Over-Sharing", &[5]),
    control(Agentic, "ASI01", "Agent Goal Hijack", &[5]),
    control(Agentic, "ASI02", "Tool Misuse and Exploitation", &[4, 5, 9]),
    control(Agentic, "ASI03", "Identity and Privilege Abuse", &[1, 2, 3, 4, 6, 8]),
    control(Agentic, "ASI06", "Memory & Context Poisoning", &[5]),
    control(Agentic, "ASI07", "Insecure Inter-Agent Communication", &[8]),
    control(Agentic, "ASI08", "Cascading Failures", &[10]),
    control(Agentic, "ASI09", "Human-Agent Trust Exploitation", &[9]),
    control(Agentic, "ASI10", "Rogue Agents", &[3, 7, 10]),
    control(Nist, "AC-2", "Account Management", &[2, 3]),
    control(Nist, "AC-2(3)", "Account Management | Disable Accounts", &[2]),
    control(Nist, "AC-2(13)", "Account Management | Disable Accounts for High-risk Individuals", &[10]),
    control(Nist, "AC-3", "Access Enforcement", &[1, 4, 8]),
    control(Nist, "AC-3(2)", "Access Enforcement | Dual Authorization", &[9]),
    control(Nist, "AC-4", "Information Flow Enforcement", &[5, 8]),
    control(Nist, "AC-6", "Least Privilege", &[4, 9]),
    control(Nist, "AC-12", "Session Termination", &[6, 10]),
    control(Nist, "AU-2", "Event Logging", &[7]),
    control(Nist, "AU-3", "Content of Audit Records", &[7]),
    control(Nist, "AU-9", "Protection of Audit Information", &[7]),
    control(Nist, "AU-9(3)", "Protection of Audit Information | Cryptographic Protection", &[7]),
    control(Nist, "AU-10", "Non-repudiation", &[7]),
    control(Nist, "AU-11", "Audit Record Retention", &[7]),
    control(Nist, "AU-12", "Audit Record Generation", &[7]),
    control(Nist, "IA-2", "Identification and Authentication (Organizational Users)", &[1, 2]),
    control(Nist, "IA-4", "Identifier Management", &[3]),
    control(Nist, "IA-4(4)", "Identifier Management | Identify User Status", &[3]),
    control(Nist, "IA-5", "Authenticator Management", &[3, 6]),
    control(Nist, "IA-8", "Identification and Authentication (Non-organizational Users)", &[1, 2]),
    control(Nist, "IA-9", "Service Identification and Authentication", &[3, 8]),
    control(Nist, "IR-4", "Incident Handling", &[10]),
    control(Nist, "IR-5", "Incident Monitoring", &[10]),
    control(Nist, "IR-6", "Incident Reporting", &[10]),
    control(Nist, "IR-8", "Incident Response Plan", &[10]),
    control(Nist, "PS-4", "Personnel Termination", &[2]),
    control(Nist, "SC-8", "Transmission Confidentiality and Integrity", &[1]),
    control(Nist, "SC-23", "Session Authenticity", &[6, 8]),
    control(Nist, "SI-10", "Information Input Validation", &[5]),
    control(Nist, "SI-15", "Information Output Filtering", &[5]),
    control(Iso, "A.5.3", "Segregation of duties", &[9]),
    control(Iso, "A.5.15", "Access control", &[1, 4, 8]),
    control(Iso, "A.5.16", "Identity management", &[2, 3]),
    control(Iso, "A.5.17", "Authentication information", &[3, 6]),
    control(Iso, "A.5.18", "Access rights", &[2, 4]),
    control(Iso, "A.5.24", "Information security incident management planning and preparation", &[10]),
    control(Iso, "A.5.26", "Response to information security incidents", &[10]),
    control(Iso, "A.5.28", "Collection of evidence", &[7, 10]),
    control(Iso, "A.5.33", "Protection of records", &[7]),
    control(Iso, "A.6.5", "Responsibilities after termination or change of employment", &[2]),
    control(Iso, "A.6.8", "Information security event reporting", &[10]),
    control(Iso, "A.8.2", "Privileged access rights", &[9]),
    control(Iso, "A.8.3", "Information access restriction", &[4, 8]),
    control(Iso, "A.8.5", "Secure authentication", &[1, 6, 8]),
    control(Iso, "A.8.12", "Data leakage prevention", &[5]),
    control(Iso, "A.8.15", "Logging", &[7]),
    control(Iso, "A.8.16", "Monitoring activities", &[7, 10]),
    control(Iso, "A.8.26", "Application security requirements", &[1, 5]),
    control(Soc2, "CC2.3", "Communicates with external parties (COSO principle 15)", &[10]),
    control(Soc2, "CC6.1", "Logical access security over protected information assets", &[1, 3, 4, 6, 8]),
    control(Soc2, "CC6.2", "Registers and authorizes users before issuing credentials", &[2, 3]),
    control(Soc2, "CC6.3", "Authorizes, modifies, or removes access", &[2, 3, 4, 9]),
    control(Soc2, "CC6.6", "Protects against threats from outside its system boundaries", &[1, 5, 8]),
    control(Soc2, "CC6.7", "Restricts the transmission, movement, and removal of information", &[1, 5]),
    control(Soc2, "CC7.2", "Monitors system components for anomalies", &[7]),
    control(Soc2, "CC7.3", "Evaluates security events", &[7, 10]),
    control(Soc2, "CC7.4", "Responds to identified security incidents", &[10]),
    control(Soc2, "CC7.5", "Recovers from identified security incidents", &[10]),
    control(Soc2, "CC8.1", "Authorizes and approves changes", &[9]),
    control(Caiq, "DSP-10.1", "Sensitive Data Transfer", &[1]),
    control(Caiq, "DSP-17.1", "Sensitive Data Protection", &[5]),
    control(Caiq, "IAM-03.1", "Identity Inventory", &[3]),
    control(Caiq, "IAM-04.1", "Separation of Duties", &[9]),
    control(Caiq, "IAM-05.1", "Least Privilege", &[4]),
    control(Caiq, "IAM-06.1", "User Access Provisioning", &[2]),
    control(Caiq, "IAM-07.1", "User Access Changes and Revocation", &[2]),
    control(Caiq, "IAM-08.1", "User Access Review", &[4]),
    control(Caiq, "IAM-11.1", "CSCs Approval for Agreed Privileged Access Roles", &[9]),
    control(Caiq, "IAM-12.1", "Safeguard Logs Integrity", &[7]),
    control(Caiq, "IAM-13.1", "Uniquely Identifiable Users", &[3]),
    control(Caiq, "IAM-14.1", "Strong Authentication", &[1]),
    control(Caiq, "IAM-14.2", "Strong Authentication", &[1, 3]),
    control(Caiq, "IAM-15.1", "Passwords Management", &[6]),
    control(Caiq, "IAM-16.1", "Authorization Mechanisms", &[1, 4, 8]),
    control(Caiq, "IVS-03.3", "Network Security", &[1]),
    control(Caiq, "IVS-06.1", "Segmentation and Segregation", &[8]),
    control(Caiq, "LOG-02.1", "Audit Logs Protection", &[7]),
    control(Caiq, "LOG-04.1", "Audit Logs Access and Accountability", &[7]),
    control(Caiq, "LOG-08.1", "Log Records", &[7]),
    control(Caiq, "LOG-09.1", "Log Protection", &[7]),
    control(Caiq, "SEF-03.1", "Incident Response Plans", &[10]),
    control(Caiq, "SEF-07.1", "Security Breach Notification", &[10]),
    control(Caiq, "SEF-07.2", "Security Breach Notification", &[10]),
    control(Caiq, "SEF-08.1", "Points of Contact Maintenance", &[10]),
];

/// The controls of `framework` that touch question `question` (1 to 10), in order.
pub fn of(question: u8, framework: Framework) -> impl Iterator<Item = &'static Control> {
    CONTROLS.iter().filter(move |control| control.framework == framework && control.questions.contains(&question))
}

/// The questions that a row of a CAIQ sheet tells about: by its question (`IAM-05.1`) or its control (`IAM-05`).
pub fn questions_of_caiq(id: &str) -> Vec<u8> {
    let id = id.trim().to_ascii_uppercase();
    let names = |control: &&Control| {
        let control = control.id;
        control == id || control.split_once('.').is_some_and(|(whole, _)| whole == id)
    };
    let mut questions: Vec<u8> = CONTROLS
        .iter()
        .filter(|control| control.framework == Caiq)
        .filter(names)
        .flat_map(|control| control.questions.iter().copied())
        .collect();
    questions.sort_unstable();
    questions.dedup();
    questions
}

/// `docs/assess/mapping.md`, between its marks: a table by question, and every title.
pub fn document() -> String {
    let mut text = String::from("| # | Question |");
    for framework in Framework::ALL {
        text.push_str(&format!(" {} |", framework.title()));
    }
    text.push_str(&format!("\n{}\n", "|---".repeat(Framework::ALL.len() + 2) + "|"));
    for (number, title) in (1..).zip(sallyport_model::assessment::TITLES) {
        text.push_str(&format!("| {number} | {title} |"));
        for framework in Framework::ALL {
            let ids: Vec<&str> = of(number, framework).map(|control| control.id).collect();
            text.push_str(&format!(" {} |", ids.join(", ")));
        }
        text.push('\n');
    }
    for framework in Framework::ALL {
        text.push_str(&format!("\n## {}\n\n", framework.title()));
        for control in CONTROLS.iter().filter(|control| control.framework == framework) {
            let questions: Vec<String> = control.questions.iter().map(u8::to_string).collect();
            text.push_str(&format!("- {}: {} ({})\n", control.id, control.title, questions.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_question_has_a_control_in_every_framework_and_no_control_stands_twice() {
        for question in 1..=10 {
            for framework in Framework::ALL {
                assert!(of(question, framework).next().is_some(), "{question} {framework:?}");
            }
        }
        let mut seen = BTreeSet::new();
        for control in CONTROLS {
            assert!(seen.insert((control.framework, control.id)), "{} twice", control.id);
            assert!(
                control.questions.is_sorted_by(|a, b| a < b) && control.questions.iter().all(|q| (1..=10).contains(q))
            );
            let shape = match control.framework {
                Mcp => control.id.starts_with("MCP") && control.id.ends_with(":2025"),
                Agentic => control.id.starts_with("ASI") && control.id.len() == 5,
                Nist => control.id.as_bytes()[2] == b'-',
                Iso => control.id.starts_with("A."),
                Soc2 => control.id.starts_with("CC"),
                Caiq => control.id.as_bytes()[3] == b'-' && control.id.contains('.'),
            };
            assert!(shape, "{}", control.id);
        }
    }

    #[test]
    fn a_row_of_a_sheet_is_found_by_question_and_by_control() {
        assert_eq!(questions_of_caiq(" iam-05.1 "), [4]);
        assert_eq!(questions_of_caiq("IAM-14"), [1, 3]);
        assert!(questions_of_caiq("DCS-03.1").is_empty() && questions_of_caiq("").is_empty());
    }

    #[test]
    fn the_page_is_the_table() {
        let page = include_str!("../../../docs/assess/mapping.md");
        let written = page.split("<!-- table -->\n").nth(1).expect("the mark stands in the page");
        assert_eq!(written, document(), "write the page anew from mapping::document()");
    }
}
