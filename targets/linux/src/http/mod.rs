//! A small HTTP/1.1 server that answers as the bento's own server does.
//!
//! One thread polls all sockets ([`server`]). A request's bytes become a [`head::Head`] and a body; the [`routes`] say what it asks for; what needs
//! a model is a [`job::Job`], which an [`engine`] answers: on the same thread between two polls, or on [`workers`]. [`contract`] knows what either
//! generation of BentoML answers, and [`response`] how an answer is written.

mod access;
mod answer;
mod body;
mod connection;
mod contract;
mod engine;
mod head;
mod identity;
mod job;
mod listen;
mod metrics;
mod models;
mod page;
mod response;
mod routes;
mod server;
mod settings;
mod tasks;
mod workers;

pub use access::LogFormat;
pub use models::ServeError;
pub use server::{Control, serve};
pub use settings::{Address, Limits, ModelFile, Settings};
