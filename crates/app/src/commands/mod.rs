//! One file a verb.

pub mod agent;
pub mod api_token;
pub mod assess;
pub mod audit;
pub mod config;
pub mod contain;
pub mod demo;
mod demo_assess;
pub mod doctor;
pub mod manual;
pub mod register;
pub mod report;
pub mod serve;
pub mod tenant;
pub mod user;
