//! Who becomes whom: the options of a mapping, its change, its preview.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use sallyport_admin::tenancy::mapping::{self, Asserted, Preview, asserted_of, standard_of};
use sallyport_identity::{
    Profile,
    settings::{ConnectionSettings, Mapping, ScimAttribute},
};
use sallyport_model::TenantId;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    arguments::MappingOptions,
    opened::{Opened, refused, shown, told},
};

/// Bytes of a file of claims.
const MOST_FILE: u64 = 1 << 20;

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

    /// `mapping` with what was given; whether it can work is looked at where it is set.
    ///
    /// # Errors
    /// When a group would be called by two names.
    pub fn applied(&self, mut mapping: Mapping) -> Result<Mapping> {
        replace(&mut mapping.admitted, &self.admit_groups);
        replace(&mut mapping.administrators, &self.administrator_groups);
        replace(&mut mapping.email, &self.email_claims);
        replace(&mut mapping.name, &self.name_claims);
        replace(&mut mapping.groups, &self.groups_claims);
        if !self.rename_groups.is_empty() {
            mapping.rename_groups = renamed(&self.rename_groups)?;
        }
        if let Some(claim) = &self.email_verified_claim {
            mapping.email_verified = Some(claim.clone());
        }
        if let Some(scim) = &self.scim_match {
            mapping.scim = Some(scim.clone());
        }
        if self.no_scim_match {
            mapping.scim = None;
        }
        mapping.create &= !self.no_create;
        mapping.link_by_email |= self.link_by_email;
        Ok(mapping)
    }
}

fn replace(list: &mut Vec<String>, given: &[String]) {
    if !given.is_empty() {
        *list = given.to_vec();
    }
}

fn renamed(given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (from, to) in given {
        if let Some(other) = all.insert(from.clone(), to.clone())
            && other != *to
        {
            let what = format!("`{}` would be called both `{}` and `{}`", shown(from), shown(&other), shown(to));
            return Err(refused("--rename-group", &what));
        }
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
    let settings = ConnectionSettings::of(&connection)?;
    let start = if reset { standard_of(&settings) } else { settings.mapping().clone() };
    let name = connection.name.clone();
    let done = mapping::set(opened.tenancy(), connection, options.applied(start)?).await.map_err(told)?;
    let json = json!({ "connection": name, "before": done.before, "after": done.after });
    let mut lines = vec!["before:".to_owned()];
    lines.extend(mapping_lines(&done.before));
    if done.before == done.after {
        let answer = Answer::done(json, lines);
        return Ok(answer.remark("Nothing changes: it is like that already."));
    }
    lines.push("after:".to_owned());
    lines.extend(mapping_lines(&done.after));
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
    let mut remarks = Vec::new();
    let person = match user {
        Some(user) => Some(opened.person_of(id, user).await?),
        None => None,
    };
    let given = match file {
        None => None,
        Some(file) => {
            let (asserted, left_out) = read(file)?;
            if !left_out.is_empty() {
                remarks
                    .push(format!("left out, being neither text nor a list of texts: {}", shown(&left_out.join(", "))));
            }
            Some((json!({ "file": file.display().to_string() }), asserted))
        }
    };
    let preview = mapping::preview_of(opened.tenancy(), &connection, given, person.as_ref()).await.map_err(told)?;
    let Preview { asserted, source, profile, mapping } = preview;
    let word = |name: &str| source[name].as_str().unwrap_or_default().to_owned();
    let told = file.map_or_else(|| format!("{}, {}", word("user"), word("at")), |file| file.display().to_string());
    let lines = profile_lines(&told, &profile, &asserted);
    let json = json!({
        "connection": connection.name, "source": source, "asserted": asserted, "mapping": mapping, "profile": profile,
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
    Ok(asserted_of(members))
}
