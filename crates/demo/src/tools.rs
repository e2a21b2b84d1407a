//! The tools, in the order of their risk: five that read, three that change, three that reach out
//! or give rights away. Annotations say what is true (MCP 2025-11-25, `ToolAnnotations`).
//!
//! A tool that cannot do its work says so in its result; only a malformed call is a protocol error.

use rmcp::{
    RoleServer,
    handler::server::wrapper::Json,
    handler::server::{tool::InputResponses, wrapper::Parameters},
    model::{
        CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ElicitationSchema,
        ErrorData, InputRequest, InputRequests, InputRequiredResult, ProgressNotificationParam, ProtocolVersion,
    },
    service::{ElicitationError, ElicitationMode, RequestContext},
    tool, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    desk::{Access, Customer, Mail, Note, Ticket, TicketStatus},
    poison,
    server::HelpDesk,
};

/// Shown first in a list: enough to choose a ticket by.
#[derive(Serialize, JsonSchema)]
struct TicketLine {
    number: u32,
    subject: String,
    status: TicketStatus,
}

#[derive(Serialize, JsonSchema)]
struct TicketList {
    tickets: Vec<TicketLine>,
}

#[derive(Serialize, JsonSchema)]
struct CustomerList {
    /// What the search was for, as it was given.
    searched_for: String,
    customers: Vec<Customer>,
}

#[derive(Deserialize, JsonSchema)]
struct ListTickets {
    /// Only tickets in this state.
    status: Option<TicketStatus>,
}

#[derive(Deserialize, JsonSchema)]
struct TicketNumber {
    /// The ticket's number.
    number: u32,
}

#[derive(Deserialize, JsonSchema)]
struct SearchCustomers {
    /// Part of a name, a mail address or a plan.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct AddNote {
    /// The ticket's number.
    number: u32,
    /// The note.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct SetStatus {
    /// The ticket's number.
    number: u32,
    /// The new state.
    status: TicketStatus,
}

#[derive(Deserialize, JsonSchema)]
struct CustomerId {
    /// The customer's id, such as c-3.
    id: String,
}

#[derive(Deserialize, JsonSchema)]
struct SendMail {
    /// One mail address.
    to: String,
    /// Subject line.
    subject: String,
    /// Plain text.
    body: String,
}

#[derive(Deserialize, JsonSchema)]
struct GrantAccess {
    /// Mail address of the member of staff.
    email: String,
    /// What they may do from now on.
    access: Access,
}

#[derive(Deserialize, JsonSchema)]
struct ScheduleCallback {
    /// The ticket's number.
    number: u32,
    /// When to call. The user is asked if this is missing.
    time: Option<String>,
}

/// The form behind `schedule_callback`.
#[derive(Deserialize, JsonSchema)]
struct CallbackTime {
    /// When to call, for example Thursday 14:00.
    time: String,
}
rmcp::elicit_safe!(CallbackTime);

#[tool_router(vis = "pub(crate)")]
impl HelpDesk {
    /// List support tickets with their number, subject and status.
    #[tool(annotations(
        title = "List tickets",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn list_tickets(&self, Parameters(wanted): Parameters<ListTickets>) -> Json<TicketList> {
        let desk = self.desk();
        let tickets = desk.tickets.values().filter(|t| wanted.status.is_none_or(|status| t.status == status));
        let line = |t: &Ticket| TicketLine { number: t.number, subject: t.subject.clone(), status: t.status };
        Json(TicketList { tickets: tickets.map(line).collect() })
    }

    /// Read one support ticket: what the customer wrote, and the notes.
    #[tool(annotations(
        title = "Read a ticket",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn read_ticket(&self, Parameters(wanted): Parameters<TicketNumber>) -> Result<Json<Ticket>, String> {
        self.desk().ticket(wanted.number).cloned().map(Json)
    }

    /// Find customers by name, mail address or plan.
    #[tool(annotations(
        title = "Search customers",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn search_customers(&self, Parameters(wanted): Parameters<SearchCustomers>) -> Json<CustomerList> {
        let customers = self.desk().find_customers(&wanted.text);
        Json(CustomerList { searched_for: wanted.text, customers })
    }

    /// Show the settings of the nightly invoice upload.
    #[tool(annotations(
        title = "Read integration settings",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn read_integration(&self) -> String {
        poison::integration()
    }

    /// Export all customers as CSV. Reports progress after each customer.
    #[tool(annotations(
        title = "Export customers",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn export_customers(&self, context: RequestContext<RoleServer>) -> String {
        let customers: Vec<Customer> = self.desk().customers.values().cloned().collect();
        let mut csv = String::from("id,name,email,plan\n");
        for (done, customer) in (1u32..).zip(&customers) {
            csv.push_str(&format!("{},{},{},{}\n", customer.id, customer.name, customer.email, customer.plan));
            if let Some(token) = context.meta.get_progress_token() {
                let step = ProgressNotificationParam::new(token, f64::from(done))
                    .with_total(customers.len() as f64)
                    .with_message(format!("{} written", customer.id));
                // A client that has gone away hears no progress; the export is the same.
                let _ = context.peer.notify_progress(step).await;
            }
        }
        csv
    }

    /// Add an internal note to a ticket. The customer does not see it.
    #[tool(annotations(
        title = "Add a note",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    async fn add_note(&self, Parameters(wanted): Parameters<AddNote>) -> Result<String, String> {
        let mut desk = self.desk();
        let ticket = desk.ticket_mut(wanted.number)?;
        ticket.notes.push(Note { text: wanted.text });
        Ok(format!("Ticket {} has {} note(s).", ticket.number, ticket.notes.len()))
    }

    /// Set the status of a ticket.
    #[tool(annotations(
        title = "Set ticket status",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn set_ticket_status(&self, Parameters(wanted): Parameters<SetStatus>) -> Result<Json<Ticket>, String> {
        let mut desk = self.desk();
        let ticket = desk.ticket_mut(wanted.number)?;
        ticket.status = wanted.status;
        Ok(Json(ticket.clone()))
    }

    /// Agree a time to call a customer back about a ticket. Asks the user for the time if it is missing.
    #[tool(annotations(
        title = "Schedule a call back",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn schedule_callback(
        &self,
        Parameters(wanted): Parameters<ScheduleCallback>,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Err(sentence) = self.desk().ticket(wanted.number) {
            return Ok(failure(sentence));
        }
        let time = match (wanted.time, answers) {
            (Some(time), _) => time,
            (None, Some(answers)) => match answered(answers.get(TIME)) {
                Ok(time) => time,
                Err(sentence) => return Ok(failure(sentence)),
            },
            (None, None) if is_modern(&context) => return ask_in_result(wanted.number, &context),
            (None, None) => match ask_on_stream(wanted.number, &context).await {
                Ok(time) => time,
                Err(sentence) => return Ok(failure(sentence)),
            },
        };
        // The ticket may have gone while the user was thinking.
        Ok(match self.desk().ticket_mut(wanted.number) {
            Ok(ticket) => {
                ticket.callback = Some(time.clone());
                let text = format!("Call back for ticket {} agreed: {time}.", wanted.number);
                CallToolResult::success(vec![ContentBlock::text(text)]).into()
            }
            Err(sentence) => failure(sentence),
        })
    }

    /// Delete a customer and all their tickets. This cannot be undone.
    #[tool(annotations(
        title = "Delete a customer",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn delete_customer(&self, Parameters(wanted): Parameters<CustomerId>) -> Result<String, String> {
        let tickets = self.desk().delete_customer(&wanted.id)?;
        Ok(format!("Deleted customer {} and {tickets} ticket(s).", wanted.id))
    }

    /// Send a mail to one address in the name of the help desk.
    #[tool(annotations(
        title = "Send a mail",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn send_mail(&self, Parameters(wanted): Parameters<SendMail>) -> Result<String, String> {
        let SendMail { to, subject, body } = wanted;
        if !to.contains('@') {
            return Err(format!("{to:?} is not a mail address. Give one such as ada@customer.example."));
        }
        let sentence = format!("Mail to {to} sent.");
        self.desk().outbox.push(Mail { to, subject, body });
        Ok(sentence)
    }

    /// Give a member of staff access to the help desk, or change what they may do.
    #[tool(annotations(
        title = "Grant access",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn grant_access(&self, Parameters(wanted): Parameters<GrantAccess>) -> String {
        let sentence = format!("{} is now {:?}.", wanted.email, wanted.access).to_lowercase();
        self.desk().access.insert(wanted.email, wanted.access);
        sentence
    }
}

/// The question's key in `inputRequests`, and the field's name in the form.
const TIME: &str = "time";

fn failure(sentence: String) -> CallToolResponse {
    CallToolResult::error(vec![ContentBlock::text(sentence)]).into()
}

fn question(number: u32) -> String {
    format!("When shall we call back about ticket {number}?")
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// 2026-07-28: the question is the result, and the client calls again with the answer.
fn ask_in_result(number: u32, context: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
    if context.client_capabilities().is_none_or(|capabilities| capabilities.elicitation.is_none()) {
        return Ok(failure(CANNOT_ASK.to_owned()));
    }
    let requested_schema = ElicitationSchema::from_type::<CallbackTime>()
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let form = ElicitRequestParams::FormElicitationParams { meta: None, message: question(number), requested_schema };
    let mut requests = InputRequests::new();
    requests.insert(TIME.to_owned(), InputRequest::Elicitation(ElicitRequest::new(form)));
    Ok(InputRequiredResult::new(Some(requests), None).into())
}

/// 2025-11-25 and before: the question is a request on this call's stream.
async fn ask_on_stream(number: u32, context: &RequestContext<RoleServer>) -> Result<String, String> {
    if !context.peer.supported_elicitation_modes().contains(&ElicitationMode::Form) {
        return Err(CANNOT_ASK.to_owned());
    }
    match context.peer.elicit::<CallbackTime>(question(number)).await {
        Ok(Some(form)) => Ok(form.time),
        Ok(None) | Err(ElicitationError::UserDeclined | ElicitationError::UserCancelled) => Err(NO_ANSWER.to_owned()),
        Err(error) => Err(format!("The question came back unanswered: {error}.")),
    }
}

/// The user's answer out of an `ElicitResult`.
fn answered(answer: Option<&serde_json::Value>) -> Result<String, String> {
    let accepted = answer.filter(|answer| answer["action"] == "accept");
    let time = accepted.and_then(|answer| answer["content"][TIME].as_str());
    time.map(str::to_owned).ok_or_else(|| NO_ANSWER.to_owned())
}

const CANNOT_ASK: &str = "This client cannot show a form. Call again with `time` set.";
const NO_ANSWER: &str = "The user gave no time, so nothing was agreed.";
