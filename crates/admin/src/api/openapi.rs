//! The OpenAPI 3.1 document, made of the table of operations.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Answer, Ask, BASE,
    operations::{Gives, OPERATIONS, Operation},
    reply::Reply,
    shapes,
};

/// `getDocument`
pub(crate) async fn document(_: Ask) -> Answer {
    Ok(Reply::ok(openapi()))
}

/// The document.
pub(super) fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut bodies = settings.into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = described(operation, &mut bodies);
        let verb = operation.method().as_str().to_ascii_lowercase();
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[verb] = described;
    }
    let mut schemas = shapes::schemas();
    for (name, schema) in bodies.take_definitions(true) {
        // The name of a body never is that of an answer; what is given and what is taken differ.
        schemas.insert(body_name(&name), renamed(schema));
    }
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sallyport admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "For the operator and for tenants' administrators, on the private listener.",
        },
        "servers": [{ "url": BASE }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token that `sallyport api-token create` made.",
                },
            },
            "schemas": schemas,
        },
    })
}

/// Where a body's schema is kept.
fn body_name(name: &str) -> String {
    format!("{name}Request")
}

/// The same schema, with references to where bodies are kept.
fn renamed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let old = value.take();
                *value = match old {
                    Value::String(target) if name == "$ref" => json!(body_name(&target)),
                    other => renamed(other),
                };
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|value| *value = renamed(value.take())),
        _ => {}
    }
    schema
}

fn described(operation: &Operation, bodies: &mut SchemaGenerator) -> Value {
    let mut value = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": if operation.is_operators() { "For the operator alone." } else { "" },
        "parameters": parameters(operation),
        "responses": responses(operation),
    });
    if let Some(body) = operation.body {
        let schema = renamed((body.schema)(bodies).to_value());
        let content = json!({ "application/json": { "schema": schema } });
        value["requestBody"] = json!({ "required": body.required, "content": content });
    }
    value
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let query = operation.query.iter().map(|parameter| {
        let schema = if parameter.number {
            json!({ "type": "integer", "minimum": 1, "maximum": super::page::MOST })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": parameter.name, "in": "query", "description": parameter.what, "schema": schema })
    });
    let if_match = operation.if_match.then(|| {
        let what = "The `ETag` of the state that this is a change of. Without it: 428; of another state: 412.";
        json!({ "name": "If-Match", "in": "header", "required": true, "description": what, "schema": { "type": "string" } })
    });
    path.chain(query).chain(if_match).collect()
}

fn responses(operation: &Operation) -> Value {
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let (status, what, schema) = match operation.gives {
        Gives::One(shape) => ("200", "Here it is.", Some(of(shape))),
        Gives::New(shape) => ("201", "It was made.", Some(of(shape))),
        Gives::List(shape) => ("200", "A page.", Some(page(of(shape)))),
        Gives::Nothing => ("204", "It is gone.", None),
    };
    let mut good = json!({ "description": what });
    if let Some(schema) = schema {
        good["content"] = json!({ "application/json": { "schema": schema } });
    }
    if operation.etag {
        good["headers"] = json!({ "ETag": { "description": "The state.", "schema": { "type": "string" } } });
    }
    let problem = json!({
        "description": "No; `code` says why: 401 without a living token, 403 for what is the operator's, 404 for what is \
                        not there or another tenant's, 412 and 428 for a change without the present state.",
        "content": { "application/problem+json": { "schema": of("Problem") } },
    });
    json!({ status: good, "default": problem })
}

fn page(item: Value) -> Value {
    json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": { "type": "array", "items": item },
            "next": { "type": "string", "description": "The `cursor` of the next page; absent on the last." },
        },
    })
}

/// RFC 9457.
fn problem() -> Value {
    let text = |what: &str| json!({ "type": "string", "description": what });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": text("`about:blank`"),
            "title": text("The status in words."),
            "status": { "type": "integer", "description": "The status." },
            "code": text("Why, in one stable word."),
            "detail": text("Why, for people."),
            "field": text("The member or parameter that it is about."),
            "remedy": text("What to do."),
        },
    })
}
