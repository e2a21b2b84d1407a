//! `[[tenants]]`: the customers of this deployment.

use sallyport_model::TenantId;
use sallyport_proxy::catalogue::GATE_TENANT;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// A customer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// 1 to 63 of a-z, 0-9 and inner hyphens.
    #[schemars(with = "String")]
    pub id: TenantId,
    /// What people call it.
    pub name: String,
}

impl Tenant {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.id.as_str() == GATE_TENANT {
            return Err(ConfigError::field(
                "tenants.id",
                &format!("`{GATE_TENANT}` is the gate's own"),
                "choose another id",
            ));
        }
        Ok(())
    }
}
