//! Who becomes whom: the options of a mapping, its change, its preview.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use sallyport_identity::{
    Profile, preview,
    settings::{ConnectionSettings, Mapping, ScimAttribute},
};
use sallyport_model::TenantId;
use sallyport_oauth::oidc::PresetId;
use sallyport_storage::{Connection, Link, Tenant};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    arguments::MappingOptions,
    opened::{Opened, refused, shown, text},
};

/// Characters of a claim's or a group's name.
const MOST_NAME: usize = 256;
/// Names in one list.
const MOST_NAMES: usize = 500;
/// Bytes of a file of claims.
const MOST_FILE: u64 = 1 << 20;

/// Claims or attributes by name, each with its values.
type Asserted = BTreeMap<String, Vec<String>>;

/// What a connection begins with.
pub fn standard(preset: Option<PresetId>) -> Mapping {
    let Some(preset) = preset else { return Mapping::saml() };
    Mapping { groups: vec![preset.preset().groups_claim.to_owned()], ..Mapping::default() }
}

/// What the settings began with.
fn standard_of(settings: &ConnectionSettings) -> Mapping {
    match settings {
        ConnectionSettings::Oidc(oidc) => standard(Some(PresetId::named(&oidc.preset).unwrap_or(PresetId::Standard))),
        ConnectionSettings::Saml(_) => standard(None),
    }
}

impl MappingOptions {
    /// Whether nothing was given.
    fn is_empty(&self) -> bool {
        let lists = [&self.admit_groups, &self.administrator_groups, &self.email_claims, &self.name_claims];
        let switches = [self.no_scim_match, self.no_create, self.link_by_email];
        lists.iter().all(|list| list.is_empty())
            && self.groups_claims.is_empty()
            && self.rename_groups.is_empty()
            && self.email_verified_claim.is_none()
            && self.scim_match.is_none()
            && !switches.contains(&true)
    }

    /// `mapping` with what was given.
    ///
    /// # Errors
    /// When a name cannot be one, or a list is too long.
    pub fn applied(&self, mut mapping: Mapping) -> Result<Mapping> {
        replace(&mut mapping.admitted, "--admit-group", &self.admit_groups)?;
        replace(&mut mapping.administrators, "--administrator-group", &self.administrator_groups)?;
        replace(&mut mapping.email, "--email-claim", &self.email_claims)?;
        replace(&mut mapping.name, "--name-claim", &self.name_claims)?;
        replace(&mut mapping.groups, "--groups-claim", &self.groups_claims)?;
        if !self.rename_groups.is_empty() {
            mapping.rename_groups = renamed(&self.rename_groups)?;
        }
        if let Some(claim) = &self.email_verified_claim {
            mapping.email_verified = Some(text("--email-verified-claim", claim, MOST_NAME)?);
        }
        if let Some(scim) = &self.scim_match {
            text("--scim-match", &scim.claim, MOST_NAME)?;
            mapping.scim = Some(scim.clone());
        }
        if self.no_scim_match {
            mapping.scim = None;
        }
        mapping.create &= !self.no_create;
        mapping.link_by_email |= self.link_by_email;
        if !mapping.create && mapping.scim.is_none() && !mapping.link_by_email {
            let what = "nobody new could ever sign in: with it, say how those who are there are found, by --scim-match \
                        or --link-by-email";
            return Err(refused("--no-create", what));
        }
        Ok(mapping)
    }
}

fn replace(list: &mut Vec<String>, option: &str, given: &[String]) -> Result<()> {
    if given.is_empty() {
        return Ok(());
    }
    if given.len() > MOST_NAMES {
        return Err(refused(option, &format!("it is there more than {MOST_NAMES} times")));
    }
    let mut names = Vec::new();
    for name in given {
        let name = text(option, name, MOST_NAME)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    *list = names;
    Ok(())
}

fn renamed(given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let option = "--rename-group";
    let mut all = BTreeMap::new();
    for (from, to) in given {
        let (from, to) = (text(option, from, MOST_NAME)?, text(option, to, MOST_NAME)?);
        if let Some(other) = all.insert(from.clone(), to.clone())
            && other != to
        {
            let what = format!("`{}` would be called both `{}` and `{}`", shown(&from), shown(&other), shown(&to));
            return Err(refused(option, &what));
        }
    }
    if all.len() > MOST_NAMES {
        return Err(refused(option, &format!("it is there more than {MOST_NAMES} times")));
    }
    Ok(all)
}

/// `sallyport tenant set-mapping`
pub async fn set(opened: &Opened, id: &TenantId, name: &str, reset: bool, options: &MappingOptions) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    if !reset && options.is_empty() {
        let what = "nothing is to change: give at least one, such as --admit-group staff, or --reset";
        return Err(refused("options of the mapping", what));
    }
    let mut settings = ConnectionSettings::of(&connection)?;
    let before = settings.mapping().clone();
    let start = if reset { standard_of(&settings) } else { before.clone() };
    let after = options.applied(start)?;
    let json = json!({ "connection": connection.name, "before": before, "after": after });
    let mut lines = vec!["before:".to_owned()];
    lines.extend(mapping_lines(&before));
    if before == after {
        let answer = Answer::done(json, lines);
        return Ok(answer.remark("Nothing changes: it is like that already."));
    }
    lines.push("after:".to_owned());
    lines.extend(mapping_lines(&after));
    *settings.mapping_mut() = after.clone();
    let changed = Connection { settings: settings.to_json(), changed_at: opened.now(), ..connection };
    let facts = json!({ "connection": changed.id, "before": before, "after": after });
    opened.notice("tenant.set_mapping", Some(id), facts).await?;
    opened.store().put_connection(&changed).await?;
    let remark = "It counts from each person's next sign-in on. `sallyport tenant preview` shows what it makes of her.";
    Ok(Answer::done(json, lines).remark(remark))
}

/// A mapping for people.
pub fn mapping_lines(mapping: &Mapping) -> Vec<String> {
    let listed = |names: &[String]| shown(&names.join(", "));
    let of = |names: &[String], none: &str| if names.is_empty() { none.to_owned() } else { listed(names) };
    let renamed: Vec<String> = mapping.rename_groups.iter().map(|(from, to)| format!("{from} as {to}")).collect();
    let scim = mapping.scim.as_ref().map_or_else(
        || "nobody is looked for".to_owned(),
        |scim| {
            let attribute = if scim.attribute == ScimAttribute::UserName { "userName" } else { "externalId" };
            format!("{} is {attribute}", shown(&scim.claim))
        },
    );
    let verified = mapping.email_verified.as_deref().map_or_else(|| "by the provider's word".to_owned(), shown);
    let mut lines = vec![
        format!("  e-mail address: {}", of(&mapping.email, "none")),
        format!("  address verified: {verified}"),
        format!("  name: {}", of(&mapping.name, "none")),
        format!("  groups: {}", of(&mapping.groups, "none")),
        format!("  admitted: {}", of(&mapping.admitted, "everybody")),
        format!("  administrators: {}", of(&mapping.administrators, "nobody")),
        format!("  among those of SCIM: {scim}"),
        format!("  a first sign-in makes a person: {}", if mapping.create { "yes" } else { "no" }),
        format!("  linked by verified address: {}", if mapping.link_by_email { "yes" } else { "no" }),
    ];
    if !renamed.is_empty() {
        lines.push(format!("  groups are called: {}", listed(&renamed)));
    }
    lines
}

/// `sallyport tenant preview`
pub async fn preview_of(
    opened: &Opened,
    id: &TenantId,
    name: &str,
    user: Option<&str>,
    file: Option<&Path>,
) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let settings = ConnectionSettings::of(&connection)?;
    let mut remarks = Vec::new();
    let (source, told, asserted) = match file {
        Some(file) => {
            let (asserted, left_out) = read(file)?;
            if !left_out.is_empty() {
                remarks
                    .push(format!("left out, being neither text nor a list of texts: {}", shown(&left_out.join(", "))));
            }
            (json!({ "file": file.display().to_string() }), format!("{}", file.display()), asserted)
        }
        None => {
            let link = last_seen(opened, &tenant, &connection, user).await?;
            let asserted: Asserted = serde_json::from_str(&link.asserted)?;
            let at = link.last_seen_at.to_string();
            (json!({ "user": link.user, "at": at }), format!("{}, {at}", link.user), asserted)
        }
    };
    let profile = preview(settings.mapping(), &asserted);
    let lines = profile_lines(&told, &profile, &asserted);
    let json = json!({
        "connection": connection.name, "source": source, "asserted": asserted, "mapping": settings.mapping(),
        "profile": profile,
    });
    let answer = Answer::done(json, lines).remarks(remarks);
    Ok(if profile.admitted { answer } else { answer.no() })
}

fn profile_lines(told: &str, profile: &Profile, asserted: &Asserted) -> Vec<String> {
    let mut lines = vec![format!("asserted ({}):", shown(told))];
    lines.extend(asserted.iter().map(|(name, values)| format!("  {}: {}", shown(name), shown(&values.join(", ")))));
    lines.push("becomes:".to_owned());
    let email = profile.email.as_deref().map_or_else(|| "none".to_owned(), shown);
    let verified = if profile.email_verified { "verified" } else { "not verified" };
    lines.push(format!("  e-mail address: {email} ({verified})"));
    lines.push(format!("  name: {}", shown(&profile.display_name)));
    let groups = if profile.groups.is_empty() { "none".to_owned() } else { shown(&profile.groups.join(", ")) };
    lines.push(format!("  groups: {groups}"));
    lines.push(format!("  role: {}", json!(profile.role).as_str().unwrap_or_default()));
    lines.push(format!("  may sign in: {}", if profile.admitted { "yes" } else { "no" }));
    lines.extend(profile.missing.iter().map(|missing| format!("  not asserted: {}", shown(missing))));
    if !profile.unused.is_empty() {
        lines.push(format!("  not used: {}", shown(&profile.unused.join(", "))));
    }
    lines
}

/// The last that was asserted at this connection: about one person, or about anybody.
async fn last_seen(opened: &Opened, tenant: &Tenant, connection: &Connection, user: Option<&str>) -> Result<Link> {
    let people = match user {
        Some(user) => vec![opened.person_of(&tenant.id, user).await?],
        None => opened.store().people(&tenant.id).await?,
    };
    let mut last: Option<Link> = None;
    for person in people {
        for link in opened.store().links(&person.id).await? {
            let later = last.as_ref().is_none_or(|last| last.last_seen_at < link.last_seen_at);
            if link.connection == connection.id && later {
                last = Some(link);
            }
        }
    }
    last.ok_or_else(|| {
        let who = user.map_or_else(|| "nobody".to_owned(), |user| format!("`{}` has not", shown(user)));
        let has = if user.is_some() { "" } else { " has" };
        let what = format!(
            "{who}{has} signed in by {} yet: try it with --asserted FILE, a JSON object of claims or attributes",
            shown(&connection.name)
        );
        refused(if user.is_some() { "--user" } else { "NAME" }, &what)
    })
}

/// Claims or attributes of a file, and the names of those that are no texts.
fn read(path: &Path) -> Result<(Asserted, Vec<String>)> {
    let wrong = |what: String| refused(&path.display().to_string(), &what);
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MOST_FILE {
        return Err(wrong(format!("it has {size} bytes, more than the {MOST_FILE} that are read")));
    }
    let raw = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let Ok(Value::Object(members)) = serde_json::from_str(&raw) else {
        let example = r#"{"email": "ann@acme.example", "groups": ["staff"]}"#;
        return Err(wrong(format!("it is no JSON object of claims: write one such as {example}")));
    };
    let mut asserted = BTreeMap::new();
    let mut left_out = Vec::new();
    for (name, value) in members {
        match texts(&value) {
            Some(texts) => drop(asserted.insert(name, texts)),
            None => left_out.push(name),
        }
    }
    Ok((asserted, left_out))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        other => one(other).map(|text| vec![text]),
    }
}
