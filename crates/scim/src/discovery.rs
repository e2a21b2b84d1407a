//! What the service is and offers (RFC 7644 §4): configuration, schemas, resource types.

use serde_json::{Value, json};

use crate::{
    directory::Kind,
    fault::{Fault, shown},
    list,
    schema::{self, Schema},
    service::Service,
};

pub(crate) fn config(service: &Service) -> Value {
    let limits = &service.limits;
    let mut config = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": {
            "supported": true, "maxOperations": limits.bulk_operations, "maxPayloadSize": limits.payload,
        },
        "filter": { "supported": true, "maxResults": limits.page },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer token",
            "description": "A token of the tenant, issued by its administrator or the operator.",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750", "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/ServiceProviderConfig", service.base_url),
        },
    });
    if let Some(documentation) = &service.documentation {
        config["documentationUri"] = json!(documentation);
    }
    config
}

fn all_schemas() -> impl Iterator<Item = &'static Schema> {
    [&schema::USER, &schema::GROUP, &schema::ENTERPRISE].into_iter().chain(schema::discovery::SCHEMAS)
}

pub(crate) fn schemas(service: &Service) -> Value {
    let all: Vec<Value> = all_schemas().map(|schema| schema.render(&service.base_url)).collect();
    list::response(all.len() as u64, 1, all)
}

pub(crate) fn schema(service: &Service, id: &str) -> Result<Value, Fault> {
    let found = all_schemas().find(|schema| schema.id.eq_ignore_ascii_case(id));
    found
        .map(|schema| schema.render(&service.base_url))
        .ok_or_else(|| Fault::NotFound(format!("Schema {} not found", shown(id))))
}

fn type_of(service: &Service, kind: Kind) -> Value {
    let extensions = kind.extensions().iter().map(|schema| json!({ "schema": schema.id, "required": false }));
    let mut out = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": kind.name(),
        "name": kind.name(),
        "endpoint": format!("/{}", kind.endpoint()),
        "description": match kind { Kind::User => "People", Kind::Group => "Groups" },
        "schema": kind.schema().id,
        "schemaExtensions": extensions.collect::<Vec<_>>(),
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{}/ResourceTypes/{}", service.base_url, kind.name()),
        },
    });
    if let Some(object) = out.as_object_mut().filter(|_| kind.extensions().is_empty()) {
        object.shift_remove("schemaExtensions");
    }
    out
}

pub(crate) fn resource_types(service: &Service) -> Value {
    let all: Vec<Value> = Kind::ALL.iter().map(|kind| type_of(service, *kind)).collect();
    list::response(all.len() as u64, 1, all)
}

pub(crate) fn resource_type(service: &Service, id: &str) -> Result<Value, Fault> {
    let found = Kind::ALL.iter().find(|kind| kind.name().eq_ignore_ascii_case(id));
    found
        .map(|kind| type_of(service, *kind))
        .ok_or_else(|| Fault::NotFound(format!("ResourceType {} not found", shown(id))))
}
