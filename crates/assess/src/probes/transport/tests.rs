use std::collections::BTreeMap;

use super::*;

fn spec(arguments: &[&str]) -> StdioSpec {
    StdioSpec::from_configuration("server", arguments.iter().map(|a| (*a).to_owned()).collect(), BTreeMap::new(), None)
}

#[test]
fn credentials_on_a_command_line_are_found_and_not_repeated() {
    for arguments in [
        &["--api-key", "Zx81kQpw77LmN2"][..],
        &["--token=Zx81kQpw77LmN2"],
        &["-e", "GITHUB_TOKEN=ghp_0123456789abcdefghijABCDEFGHIJ012345"],
        &["postgres://app:Zx81kQpw@db/main"],
        &["https://h/mcp?access_token=Zx81kQpw77"],
    ] {
        let (held, observed) = credentials(&spec(arguments));
        assert!(!held, "{arguments:?}: {observed}");
        assert!(!observed.contains("Zx81") && !observed.contains("ghp_"), "{observed}");
    }
}

#[test]
fn ordinary_arguments_and_references_are_left_alone() {
    for arguments in [
        &["-y", "@modelcontextprotocol/server-filesystem", "/srv/files"][..],
        &["--token-file", "/run/secrets/token"],
        &["--password-env", "DB_PASSWORD"],
        &["--token", "$GITHUB_TOKEN"],
        &["--max-tokens-limit", "4096", "--verbose"],
        &["postgres://app@db/main", "https://h/mcp?page=2"],
        &[],
    ] {
        let (held, observed) = credentials(&spec(arguments));
        assert!(held, "{arguments:?}: {observed}");
    }
}
