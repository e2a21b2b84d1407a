//! What a hook can be for.

/// The hooks that there are; each is a table of the hooks file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookName {
    /// Ends the person's account.
    Deprovision,
    /// Undoes [`Self::Deprovision`].
    Reprovision,
    /// Revokes the agent.
    RevokeAgent,
    /// Undoes [`Self::RevokeAgent`].
    RestoreAgent,
    /// Takes the read tool from the customer's people.
    Restrict,
    /// Undoes [`Self::Restrict`].
    Unrestrict,
    /// Prints the trail since a time.
    AuditExport,
    /// Says whether the trail is sound.
    AuditVerify,
    /// Alters a copy of the trail.
    AuditTamper,
    /// Says whether that copy is sound; it must not be.
    AuditVerifyCopy,
    /// Ends everything of an identity.
    Contain,
    /// Undoes [`Self::Contain`].
    Release,
    /// Writes the evidence bundle of an identity.
    Bundle,
    /// Says whether a bundle is sound.
    BundleVerify,
    /// Prints what the server behind was sent.
    UpstreamRequests,
}

impl HookName {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Deprovision,
        Self::Reprovision,
        Self::RevokeAgent,
        Self::RestoreAgent,
        Self::Restrict,
        Self::Unrestrict,
        Self::AuditExport,
        Self::AuditVerify,
        Self::AuditTamper,
        Self::AuditVerifyCopy,
        Self::Contain,
        Self::Release,
        Self::Bundle,
        Self::BundleVerify,
        Self::UpstreamRequests,
    ];

    /// Its name in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Deprovision => "deprovision",
            Self::Reprovision => "reprovision",
            Self::RevokeAgent => "revoke_agent",
            Self::RestoreAgent => "restore_agent",
            Self::Restrict => "restrict",
            Self::Unrestrict => "unrestrict",
            Self::AuditExport => "audit_export",
            Self::AuditVerify => "audit_verify",
            Self::AuditTamper => "audit_tamper",
            Self::AuditVerifyCopy => "audit_verify_copy",
            Self::Contain => "contain",
            Self::Release => "release",
            Self::Bundle => "bundle",
            Self::BundleVerify => "bundle_verify",
            Self::UpstreamRequests => "upstream_requests",
        }
    }

    /// The hook of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == name)
    }

    /// The hook without which this one has no use.
    pub(super) fn belongs_to(self) -> Option<Self> {
        match self {
            Self::Reprovision => Some(Self::Deprovision),
            Self::RestoreAgent => Some(Self::RevokeAgent),
            Self::Unrestrict => Some(Self::Restrict),
            Self::AuditTamper => Some(Self::AuditVerifyCopy),
            Self::AuditVerifyCopy => Some(Self::AuditTamper),
            Self::Release => Some(Self::Contain),
            Self::BundleVerify => Some(Self::Bundle),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_is_found_by_its_name_and_every_check_names_one_that_exists() {
        assert!(HookName::ALL.iter().all(|hook| HookName::parse(hook.as_str()) == Some(*hook)));
        for check in crate::catalogue::all() {
            if let crate::check::Needs::Hook(name) = check.needs {
                assert!(HookName::parse(name).is_some(), "{name}");
            }
        }
    }
}
