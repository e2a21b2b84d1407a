//! Who may import whom. The table stands here and nowhere else; DESIGN section 4 explains it.

use toml::{Table, Value};

use super::Problem;
use crate::tree::Tree;

/// A crate's folder and the folders that it may depend on.
pub(crate) const TABLE: [(&str, &[&str]); 22] = [
    ("model", &[]),
    ("mcp", &["model"]),
    ("oauth", &["model"]),
    ("saml", &["model"]),
    ("scim", &["model"]),
    ("policy", &["model"]),
    ("inspect", &["model", "mcp"]),
    ("ledger", &["model"]),
    ("outbound", &["model"]),
    ("storage", &["model"]),
    ("web", &["model"]),
    ("proxy", &["model", "mcp", "oauth", "policy", "inspect", "ledger", "outbound", "storage"]),
    ("identity", &["model", "oauth", "saml", "scim", "storage", "outbound", "web"]),
    ("authserver", &["model", "oauth", "policy", "storage", "outbound", "identity", "web"]),
    ("contain", &["model", "storage", "outbound"]),
    ("export", &["model", "ledger", "storage", "outbound"]),
    (
        "admin",
        &[
            "model", "mcp", "oauth", "saml", "policy", "inspect", "storage", "ledger", "export", "identity", "contain",
            "outbound", "web",
        ],
    ),
    ("assess", &["model", "mcp", "oauth", "inspect", "ledger", "outbound"]),
    ("report", &["model"]),
    ("demo", &["model"]),
    ("app", EVERYTHING),
    ("testkit", EVERYTHING),
];

/// Whoever has this row may import every crate but `testkit`.
const EVERYTHING: &[&str] = &["*"];

/// These four never import one another, whatever a later table says.
const APART: [&str; 4] = ["proxy", "authserver", "admin", "assess"];

/// Only for tests: never in `[dependencies]`.
const TEST_ONLY: &str = "testkit";

const PREFIX: &str = "sallyport-";

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) {
    for (path, text) in tree.ending("/Cargo.toml") {
        let Some(krate) = path.strip_prefix("crates/").and_then(|p| p.strip_suffix("/Cargo.toml")) else { continue };
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == krate) else {
            problems.push(Problem::new(
                path,
                1,
                format!("`{krate}` has no row in the import table"),
                "add a row to xtask/src/tidy/imports.rs, with an ADR",
            ));
            continue;
        };
        check_lints(path, text, problems);
        for dependency in dependencies(text) {
            if !dependency.shared {
                let what = format!("`{}` is not taken from the workspace", dependency.package);
                let remedy = "write `NAME.workspace = true` and name version and features in the root Cargo.toml";
                problems.push(Problem::new(path, dependency.line, what, remedy));
            }
            let Some(import) = dependency.folder() else { continue };
            if let Some(what) = refusal(krate, allowed, &import, dependency.dev) {
                let remedy = "take a trait that `app` wires, or move the wall in xtask/src/tidy/imports.rs with an ADR";
                problems.push(Problem::new(path, dependency.line, what, remedy));
            }
        }
    }
    if let Some(text) = tree.files.get("Cargo.toml") {
        check_aliases(text, problems);
    }
}

/// A member that forgets the workspace's lints has none: `unsafe` and every ban included.
fn check_lints(path: &str, text: &str, problems: &mut Vec<Problem>) {
    let manifest = text.parse::<Table>().unwrap_or_default();
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    if lints != Some(true) {
        problems.push(Problem::new(path, 1, "the workspace's lints are off", "add [lints] workspace = true"));
    }
}

/// Why `krate` may not depend on `import`, if it may not.
fn refusal(krate: &str, allowed: &[&str], import: &str, dev: bool) -> Option<String> {
    if import == TEST_ONLY {
        return (!dev && krate != TEST_ONLY).then(|| format!("`{krate}` imports `{TEST_ONLY}` outside its tests"));
    }
    if APART.contains(&krate) && APART.contains(&import) {
        return Some(format!("`{krate}` imports `{import}`: {} never import one another", APART.join(", ")));
    }
    let fine = krate == import || allowed == EVERYTHING || allowed.contains(&import);
    (!fine).then(|| format!("`{krate}` may not import `{import}`"))
}

/// A folder under crates/ goes by its own name in `[workspace.dependencies]`.
fn check_aliases(text: &str, problems: &mut Vec<Problem>) {
    let Ok(root) = text.parse::<Table>() else { return };
    let shared = root.get("workspace").and_then(|w| w.get("dependencies")).and_then(Value::as_table);
    for (key, value) in shared.into_iter().flatten() {
        let Some(folder) = value.get("path").and_then(Value::as_str).and_then(|p| p.strip_prefix("crates/")) else {
            continue;
        };
        if *key != format!("{PREFIX}{folder}") {
            let what = format!("crates/{folder} is called `{key}`");
            problems.push(Problem::new("Cargo.toml", line_of(text, key), what, format!("call it `{PREFIX}{folder}`")));
        }
    }
}

/// One line of a dependency table.
pub(super) struct Dependency {
    /// The package's name, behind any rename.
    pub(super) package: String,
    path: Option<String>,
    /// Whether version and features are the workspace's.
    shared: bool,
    pub(super) dev: bool,
    pub(super) line: usize,
}

impl Dependency {
    /// The folder under crates/, if it is one of ours.
    fn folder(&self) -> Option<String> {
        let by_path = self.path.as_deref().and_then(|path| path.trim_end_matches('/').rsplit('/').next());
        self.package.strip_prefix(PREFIX).or(by_path).map(str::to_owned)
    }
}

/// Every dependency in a manifest, those for one target only and of build scripts too.
pub(super) fn dependencies(text: &str) -> Vec<Dependency> {
    // A manifest that does not parse does not build; cargo reports it better.
    let Ok(manifest) = text.parse::<Table>() else { return Vec::new() };
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let mut found = Vec::new();
    for table in std::iter::once(&manifest).chain(targets.filter_map(Value::as_table)) {
        for (section, dev) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let text_of = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
                let package = text_of("package").unwrap_or_else(|| key.clone());
                let shared = value.get("workspace").and_then(Value::as_bool) == Some(true);
                found.push(Dependency { package, path: text_of("path"), shared, dev, line: line_of(text, key) });
            }
        }
    }
    found
}

/// The first line that starts with `key` (dotted keys and table headers included); 1 if none does.
fn line_of(text: &str, key: &str) -> usize {
    let at = text.lines().position(|line| {
        let line = line.trim_start();
        let after = line.strip_prefix(key).or_else(|| line.strip_prefix('"').and_then(|l| l.strip_prefix(key)));
        after.is_some_and(|rest| rest.starts_with([' ', '=', '.', '"'])) || line.ends_with(&format!(".{key}]"))
    });
    at.map_or(1, |n| n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "\n[lints]\nworkspace = true\n";

    /// What is found in these manifests, once the members have their lints and versions aside.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let linted: Vec<(&str, String)> = files.iter().map(|(path, text)| (*path, format!("{text}{LINTS}"))).collect();
        let linted: Vec<(&str, &str)> = linted.iter().map(|(path, text)| (*path, text.as_str())).collect();
        all_problems(&linted).into_iter().filter(|what| !what.contains("not taken from the workspace")).collect()
    }

    fn all_problems(files: &[(&str, &str)]) -> Vec<String> {
        let mut problems = Vec::new();
        check(&Tree::of(files), &mut problems);
        problems.iter().map(|p| format!("{}:{} {}", p.path, p.line, p.what)).collect()
    }

    #[test]
    fn a_member_keeps_the_lints_and_versions_of_the_workspace() {
        let one = |text: &str| all_problems(&[("crates/model/Cargo.toml", text)]);
        assert_eq!(one(&format!("[dependencies]\nserde.workspace = true\n{LINTS}")), [""; 0]);
        assert_eq!(one(""), ["crates/model/Cargo.toml:1 the workspace's lints are off"]);
        assert_eq!(one("[lints]\nworkspace = false\n").len(), 1);
        for written in ["serde = \"1\"", "serde = { version = \"1\", features = [\"derive\"] }"] {
            let found = one(&format!("[dev-dependencies]\n{written}\n{LINTS}"));
            assert_eq!(found, ["crates/model/Cargo.toml:2 `serde` is not taken from the workspace"]);
        }
    }

    #[test]
    fn the_table_has_no_cycle_and_keeps_the_four_apart() {
        for (n, (krate, allowed)) in TABLE.iter().enumerate().filter(|(_, (_, a))| *a != EVERYTHING) {
            for import in *allowed {
                let at = TABLE.iter().position(|(name, _)| name == import);
                assert!(at.is_some_and(|at| at < n), "{krate} imports {import}, which is not above it");
                assert!(!(APART.contains(krate) && APART.contains(import)), "{krate} {import}");
            }
        }
    }

    #[test]
    fn what_the_table_allows_passes() {
        let files = [
            ("crates/mcp/Cargo.toml", "[dependencies]\nsallyport-model.workspace = true\nserde.workspace = true\n"),
            ("crates/proxy/Cargo.toml", "[dev-dependencies]\nsallyport-testkit.workspace = true\n"),
            ("crates/app/Cargo.toml", "[dependencies]\nsallyport-proxy.workspace = true\n"),
        ];
        assert_eq!(problems(&files), [""; 0]);
    }

    #[test]
    fn an_import_against_the_table_is_found_however_it_is_written() {
        for written in [
            "[dependencies]\nsallyport-storage.workspace = true\n",
            "[dependencies]\nsallyport-storage = { workspace = true }\n",
            "[dependencies]\nstore = { package = \"sallyport-storage\", path = \"../x\" }\n",
            "[dependencies]\nstore = { path = \"../storage\" }\n",
            "[build-dependencies]\nsallyport-storage.workspace = true\n",
            "[dev-dependencies]\nsallyport-storage.workspace = true\n",
            "[target.'cfg(unix)'.dependencies]\nsallyport-storage.workspace = true\n",
            "[dependencies.sallyport-storage]\nworkspace = true\n",
        ] {
            let found = problems(&[("crates/mcp/Cargo.toml", written)]);
            assert!(found.len() == 1 && found[0].contains("`mcp` may not import `storage`"), "{written}: {found:?}");
        }
        let found = problems(&[("crates/mcp/Cargo.toml", "[dependencies]\nx = \"1\"\nsallyport-oauth = \"1\"\n")]);
        assert_eq!(found, ["crates/mcp/Cargo.toml:3 `mcp` may not import `oauth`"]);
    }

    #[test]
    fn the_four_testkit_strangers_and_aliases_are_found() {
        let one = |path, text| problems(&[(path, text)]).concat();
        let found = one("crates/assess/Cargo.toml", "[dev-dependencies]\nsallyport-admin.workspace = true\n");
        assert!(found.contains("never import one another"), "{found}");
        let found = one("crates/app/Cargo.toml", "[dependencies]\nsallyport-testkit.workspace = true\n");
        assert!(found.contains("outside its tests"), "{found}");
        let found = one("crates/novelty/Cargo.toml", "");
        assert!(found.contains("no row"), "{found}");
        let found = one("Cargo.toml", "[workspace.dependencies]\nstore = { path = \"crates/storage\" }\n");
        assert!(found.contains("Cargo.toml:2 crates/storage is called `store`"), "{found}");
    }
}
