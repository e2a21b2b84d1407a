//! Third stage: may this principal do this. The only maker of [`Permitted`].
//!
//! Decides by the method table, the pinned catalogue and the token's scopes, before anything is
//! forwarded. A method that nobody has thought about needs the write scope.

use std::sync::Arc;

use sallyport_mcp::{Era, Request};
use sallyport_mcp::{
    Object,
    catalogue::{self, Definition},
    methods::{Kind, ListKind, Target, client_rule, rule},
};
use sallyport_model::{Decision, Principal, Reason, Scope, ScopeSet};

use crate::{
    config::Group,
    refusal::{Refusal, allowed},
    scopes::{self, Needed},
    served::{Live, Served, Tool, kind_of},
};

/// A request that its sender may make. Only such a request can be forwarded.
pub(crate) struct Permitted {
    request: Request,
    tool: Option<Arc<Tool>>,
    /// The scope that was needed, where no tool says so.
    other_scope: Option<Scope>,
    acts: bool,
}

impl Permitted {
    /// The request.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The pinned tool, of a tool call.
    pub(crate) fn tool(&self) -> Option<&Arc<Tool>> {
        self.tool.as_ref()
    }

    /// The narrowest scope that covers it; none where none is needed.
    pub(crate) fn used(&self) -> Option<&Scope> {
        self.tool.as_ref().map(|tool| &tool.needed.narrowest).or(self.other_scope.as_ref())
    }

    /// Whether it may change something.
    pub(crate) fn acts(&self) -> bool {
        self.acts
    }

    /// Lets the stage that forwards it take it apart.
    pub(crate) fn into_request(self) -> (Request, Option<Arc<Tool>>) {
        (self.request, self.tool)
    }
}

/// Decides on `request`. `live` is the catalogue that the decision is made by.
pub(crate) fn authorize(
    served: &Served,
    live: &Live,
    principal: &Principal,
    era: Era,
    request: Request,
) -> Result<Permitted, Refusal> {
    let about = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(Some(request.id.clone())));
    client_rule(&request.method, era).map_err(about)?;
    let target = Target::of(&request).map_err(about)?;
    let (decision, tool) = decide(served, live, principal, target);
    allowed(decision)?;
    let other_scope = scope_used(served, target);
    let acts = tool.as_ref().is_some_and(|tool| tool.acts())
        || rule(&request.method).kind == Kind::Other
        || matches!(request.method.as_str(), "tasks/update" | "tasks/cancel");
    Ok(Permitted { request, tool, other_scope, acts })
}

fn decide(served: &Served, live: &Live, principal: &Principal, target: Target<'_>) -> (Decision, Option<Arc<Tool>>) {
    if !served.offered().tenants.contains(&principal.tenant) {
        return (Decision::Deny(Reason::UpstreamNotGranted), None);
    }
    match target {
        Target::Tool(name) => match live.tool(name) {
            Some(tool) => (covered(&tool.needed, &principal.scopes), Some(Arc::clone(tool))),
            None => (Decision::Deny(Reason::NotInCatalogue { name: name.to_owned() }), None),
        },
        Target::Resource(_) | Target::Prompt(_) | Target::CompletePrompt(_) | Target::CompleteResource(_) => {
            (covered(&served.reading_needs(), &principal.scopes), None)
        }
        // Lists are filtered; tasks must be the caller's own; neither tells or does anything else.
        Target::List(_) | Target::Task(_) | Target::Tasks | Target::Listen | Target::Nothing => (Decision::Allow, None),
        Target::Other => {
            let write = scopes::group(served.name(), Group::Write);
            (covered(&Needed { narrowest: write.clone(), group: write }, &principal.scopes), None)
        }
    }
}

/// The scope that an allowed request needed which calls no tool, for the inventory alone.
fn scope_used(served: &Served, target: Target<'_>) -> Option<Scope> {
    match target {
        Target::Resource(_) | Target::Prompt(_) | Target::CompletePrompt(_) | Target::CompleteResource(_) => {
            Some(served.reading_needs().narrowest)
        }
        Target::Other => Some(scopes::group(served.name(), Group::Write)),
        _ => None,
    }
}

fn covered(needed: &Needed, held: &ScopeSet) -> Decision {
    if needed.met_by(held) {
        Decision::Allow
    } else {
        Decision::Deny(Reason::InsufficientScope { needed: needed.challenge(held) })
    }
}

/// Whether a definition may be shown: it is pinned as it stands, and its use is permitted.
fn shown(served: &Served, live: &Live, principal: &Principal, definition: &Definition) -> bool {
    if !live.has(kind_of(definition.kind), &definition.key, &definition.hash()) {
        return false;
    }
    match definition.kind {
        ListKind::Tools => live.tool(&definition.key).is_some_and(|tool| tool.needed.met_by(&principal.scopes)),
        ListKind::Resources | ListKind::ResourceTemplates | ListKind::Prompts => {
            served.reading_needs().met_by(&principal.scopes)
        }
    }
}

/// Removes from a list's result what `principal` may not use. A result that is no list is emptied of
/// nothing: it is refused by the caller.
pub(crate) fn filter(
    served: &Served,
    live: &Live,
    principal: &Principal,
    list: ListKind,
    result: &mut Object,
) -> Result<(), sallyport_mcp::Error> {
    catalogue::filter(list, result, |definition| shown(served, live, principal, definition))
}

/// Whether every definition of a list's result is pinned as it stands.
pub(crate) fn all_pinned(live: &Live, list: ListKind, result: &Object) -> bool {
    catalogue::read_page(list, result).is_ok_and(|page| {
        page.definitions.iter().all(|definition| live.has(kind_of(list), &definition.key, &definition.hash()))
    })
}
