//! One file a verb.

pub mod audit;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod manual;
pub mod serve;
pub mod user;
