//! The MCP side of the desk: hands each request to the tools or to the catalogue.

use std::sync::{Arc, Mutex, MutexGuard};

use rmcp::{
    RoleServer, ServerHandler,
    handler::server::{router::tool::ToolRouter, tool::ToolCallContext},
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, ErrorData,
        GetPromptRequestParams, GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
        ReadResourceResult, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use crate::{
    catalogue,
    desk::{self, Desk},
};

/// The help desk as an MCP server, over whatever transport serves it.
#[derive(Clone)]
pub struct HelpDesk {
    desk: Arc<Mutex<Desk>>,
    tools: Arc<ToolRouter<Self>>,
}

impl HelpDesk {
    /// A server over `desk`; several may share one.
    pub fn new(desk: Arc<Mutex<Desk>>) -> Self {
        Self { desk, tools: Arc::new(Self::tool_router()) }
    }

    /// Every tool definition, by name.
    pub fn tools(&self) -> Vec<Tool> {
        self.tools.list_all()
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        desk::lock(&self.desk)
    }
}

type Page = Option<PaginatedRequestParams>;
type Context = RequestContext<RoleServer>;

impl ServerHandler for HelpDesk {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_tools()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("help-desk", env!("CARGO_PKG_VERSION")).with_title("Help desk"))
            .with_instructions("A small help desk: tickets, customers, mail.")
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.get(name).cloned()
    }

    async fn list_tools(&self, _: Page, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools()))
    }

    async fn call_tool(&self, call: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        self.tools.call(ToolCallContext::new(self, call, context)).await
    }

    async fn list_resources(&self, _: Page, _: Context) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(catalogue::resources()))
    }

    async fn list_resource_templates(&self, _: Page, _: Context) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(catalogue::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents = catalogue::read(&self.desk(), &request.uri)?;
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn list_prompts(&self, _: Page, _: Context) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(catalogue::prompts()))
    }

    async fn get_prompt(&self, request: GetPromptRequestParams, _: Context) -> Result<GetPromptResponse, ErrorData> {
        catalogue::prompt(&self.desk(), &request.name, request.arguments.as_ref()).map(Into::into)
    }

    async fn complete(&self, request: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        catalogue::complete(&self.desk(), &request)
    }
}
