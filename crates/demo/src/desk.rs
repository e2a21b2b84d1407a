//! The help desk's state: tickets, customers, notes, mails sent, access granted.
//!
//! Knows nothing of MCP. Every change returns what it changed, or why it could not.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::poison;

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TicketStatus {
    /// Nobody has answered yet.
    Open,
    /// The customer has to answer.
    Waiting,
    /// Done.
    Closed,
}

/// A remark by the desk's staff, not shown to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Note {
    /// The remark.
    pub text: String,
}

/// One support ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ticket {
    /// Its number.
    pub number: u32,
    /// The customer who wrote it, by id.
    pub customer: String,
    /// One line.
    pub subject: String,
    /// What the customer wrote, as it came.
    pub body: String,
    /// Where it stands.
    pub status: TicketStatus,
    /// Remarks, oldest first.
    pub notes: Vec<Note>,
    /// An agreed time to call back, as the customer put it.
    pub callback: Option<String>,
}

/// One customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Customer {
    /// A short id such as `c-3`.
    pub id: String,
    /// Full name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// What they pay for: `free`, `team` or `enterprise`.
    pub plan: String,
}

/// A mail that would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mail {
    /// One address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

/// What a member of staff may do at the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read tickets.
    Viewer,
    /// Answer tickets.
    Agent,
    /// Everything.
    Owner,
}

/// The whole desk.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    /// By number.
    pub tickets: BTreeMap<u32, Ticket>,
    /// By id.
    pub customers: BTreeMap<String, Customer>,
    /// Oldest first.
    pub outbox: Vec<Mail>,
    /// By mail address.
    pub access: BTreeMap<String, Access>,
}

/// Locks the desk. A panic elsewhere leaves plain values behind, so poisoning means nothing here.
pub(crate) fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// The desk as every demo begins.
    pub fn seeded() -> Self {
        let customers = [
            ("c-1", "Ada Moreau", "ada.moreau@customer.example", "enterprise"),
            ("c-2", "Tomasz Lind", "tomasz.lind@customer.example", "team"),
            ("c-3", "Nadia Osei", "nadia.osei@customer.example", "team"),
            ("c-4", "Ravi Menon", "ravi.menon@customer.example", "free"),
            ("c-5", "Yuki Hartmann", "yuki.hartmann@customer.example", "enterprise"),
        ]
        .map(|(id, name, email, plan)| {
            let customer = Customer { id: id.into(), name: name.into(), email: email.into(), plan: plan.into() };
            (customer.id.clone(), customer)
        });
        let poisoned = poison::ticket_body();
        let tickets = [
            (1039, "c-1", "Export stops at 10,000 rows", "The CSV ends after 10,000 rows.", TicketStatus::Waiting),
            (1040, "c-2", "Add a seat", "Please add a sixth seat to our plan.", TicketStatus::Open),
            (1041, "c-4", "Password mail never comes", "I asked three times.", TicketStatus::Closed),
            (poison::POISONED_TICKET, "c-3", "Invoice page shows old total", &poisoned, TicketStatus::Open),
            (1043, "c-5", "Sign-in with our directory", "Which claims do you read?", TicketStatus::Open),
        ]
        .map(|(number, customer, subject, body, status)| {
            let (customer, subject, body) = (customer.into(), subject.into(), body.into());
            (number, Ticket { number, customer, subject, body, status, notes: Vec::new(), callback: None })
        });
        Self {
            tickets: tickets.into(),
            customers: customers.into(),
            outbox: Vec::new(),
            access: [("sam@desk.example".to_owned(), Access::Owner)].into(),
        }
    }

    /// The ticket, or a sentence for whoever asked.
    pub fn ticket(&self, number: u32) -> Result<&Ticket, String> {
        self.tickets.get(&number).ok_or_else(|| no_ticket(number))
    }

    /// The ticket, to be changed.
    pub fn ticket_mut(&mut self, number: u32) -> Result<&mut Ticket, String> {
        self.tickets.get_mut(&number).ok_or_else(|| no_ticket(number))
    }

    /// Customers whose name, address or plan contains `text`, whatever the case.
    pub fn find_customers(&self, text: &str) -> Vec<Customer> {
        let text = text.to_lowercase();
        let hit = |c: &&Customer| [&c.name, &c.email, &c.plan].iter().any(|f| f.to_lowercase().contains(&text));
        self.customers.values().filter(hit).cloned().collect()
    }

    /// Removes a customer and all their tickets; says how many tickets went.
    pub fn delete_customer(&mut self, id: &str) -> Result<usize, String> {
        if self.customers.remove(id).is_none() {
            return Err(format!("There is no customer {id}. search_customers finds ids."));
        }
        let before = self.tickets.len();
        self.tickets.retain(|_, ticket| ticket.customer != id);
        Ok(before - self.tickets.len())
    }
}

fn no_ticket(number: u32) -> String {
    format!("There is no ticket {number}. list_tickets shows the numbers.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_a_customer_takes_the_tickets_along_and_works_once() {
        let mut desk = Desk::seeded();
        assert_eq!(desk.delete_customer("c-3"), Ok(1));
        assert!(desk.ticket(poison::POISONED_TICKET).is_err());
        assert!(desk.delete_customer("c-3").is_err());
    }

    #[test]
    fn search_ignores_case_and_reads_name_address_and_plan() {
        let desk = Desk::seeded();
        assert_eq!(desk.find_customers("NADIA").len(), 1);
        assert_eq!(desk.find_customers("enterprise").len(), 2);
        assert!(desk.find_customers("nobody").is_empty());
    }
}
