//! The engine through its one entry, over a directory in memory. The modules say what each is about.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod attacks;
mod bulk;
mod dialects;
mod differential;
#[path = "memory.rs"]
mod memory;
mod properties;
mod protocol;
mod query;

use memory::Memory;
use sallyport_scim::{Method, Request, Response, Service, handle};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const BASE: &str = "https://gate.example/scim/v2";

/// A client of one tenant.
#[derive(Debug, Clone)]
struct Client {
    service: Service,
    directory: Memory,
}

impl Client {
    fn new() -> Self {
        Self { service: Service::new(BASE), directory: Memory::new("acme") }
    }

    fn tenant(&self, name: &str) -> Self {
        Self { service: self.service.clone(), directory: self.directory.tenant(name) }
    }

    /// `target` is a path with an optional query, both in plain text.
    fn request(method: Method, target: &str, body: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let mut request = Request::new(method, &segments);
        request.query = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        request.body = body.to_owned().into();
        request
    }

    async fn send(&self, request: &Request) -> Response {
        let response = handle(&self.service, &self.directory, request).await;
        let empty = matches!(response.status, 204 | 304);
        assert_eq!(response.body.is_none(), empty, "{} {:?}", response.status, response.body);
        if let (Some(fault), Some(body)) = (&response.fault, &response.body) {
            assert_eq!(body["status"], fault.status().to_string());
        }
        response
    }

    async fn call(&self, method: Method, target: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(&Self::request(method, target, &body)).await
    }
    async fn get(&self, target: &str) -> Response {
        self.call(Method::Get, target, &Value::Null).await
    }
    async fn post(&self, target: &str, body: &Value) -> Response {
        self.call(Method::Post, target, body).await
    }
    async fn put(&self, target: &str, body: &Value) -> Response {
        self.call(Method::Put, target, body).await
    }
    async fn delete(&self, target: &str) -> Response {
        self.call(Method::Delete, target, &Value::Null).await
    }

    /// A PATCH of these operations.
    async fn patch(&self, target: &str, operations: &Value) -> Response {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.call(Method::Patch, target, &body).await
    }

    /// Creates a user and gives her id.
    async fn user(&self, name: &str) -> String {
        id(&self.post("/Users", &json!({ "schemas": [USER], "userName": name })).await)
    }

    /// Creates a group of these and gives its id.
    async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        id(&self.post("/Groups", &json!({ "schemas": [GROUP], "displayName": name, "members": members })).await)
    }

    async fn members_of(&self, group: &str) -> Vec<String> {
        let body = body(&self.get(&format!("/Groups/{group}")).await).clone();
        let members = body["members"].as_array().cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
    }
}

fn body(response: &Response) -> &Value {
    response.body.as_ref().unwrap()
}

fn id(response: &Response) -> String {
    assert_eq!(response.status, 201, "{:?}", response.body);
    body(response)["id"].as_str().unwrap().to_owned()
}

/// Status and keyword of a refusal.
fn refusal(response: &Response) -> (u16, Option<&'static str>) {
    let fault = response.fault.as_ref().unwrap_or_else(|| panic!("not refused: {response:?}"));
    (response.status, fault.scim_type())
}

/// The attribute `name` of the resources on a page.
fn listed(response: &Response, name: &str) -> Vec<String> {
    assert_eq!(response.status, 200, "{:?}", response.body);
    let resources = body(response)["Resources"].as_array().unwrap();
    resources.iter().map(|resource| resource[name].as_str().unwrap_or_default().to_owned()).collect()
}
