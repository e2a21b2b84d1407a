//! For whom a leg is opened.

use std::sync::Arc;

use sallyport_model::{Actor, Binding, Principal, TenantId};

use super::ProcessOwner;

/// For whom a leg is opened. It holds who somebody is and never what she showed: a [`Principal`] has no room for
/// a token, so that what is made for an upstream cannot be made of one.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A verified principal.
    Principal(Arc<Principal>),
    /// The gate itself, as when it reads a catalogue, under the name of a tenant that nobody has.
    Gate(TenantId),
}

impl Caller {
    /// Whose a process is that runs for it.
    pub fn owner(&self) -> ProcessOwner {
        match self {
            Self::Principal(principal) => ProcessOwner::Principal(principal.binding()),
            Self::Gate(tenant) => ProcessOwner::Tenant(tenant.clone()),
        }
    }

    /// The principal's binding; the gate has none.
    pub(super) fn binding(&self) -> Option<Binding> {
        match self {
            Self::Principal(principal) => Some(principal.binding()),
            Self::Gate(_) => None,
        }
    }

    /// The person whose authority it is, with her tenant; nobody for the gate and for an agent of its own.
    pub(super) fn person(&self) -> Option<(&TenantId, &sallyport_model::UserId)> {
        match self {
            Self::Principal(principal) => match &principal.subject {
                Actor::Human(user) => Some((&principal.tenant, user)),
                Actor::Agent(_) => None,
            },
            Self::Gate(_) => None,
        }
    }
}
