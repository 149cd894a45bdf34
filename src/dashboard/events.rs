//! The page of what happened: the last events of the registry.

use furt_api::events::Event;
use maud::{Markup, Render as _, html};
use serde_json::Value;

use super::words::{clock_time, filter, service_link};
use super::{Content, Context, List, Section};

/// What is asked of the events, and what comes of it.
pub struct EventsView {
    /// A part of the kind, the service or the instance.
    pub question: String,
    /// The last ones that are asked for, the last one first.
    pub events: Vec<Event>,
}

/// The page of what happened.
pub fn events(view: &EventsView, context: &Context) -> Content {
    let rows = List::rows("events", view.events.iter().map(|event| row(event, context)));
    let body = html! {
        h1 { "Events" }
        (filter(&view.question, "Kind, service or instance", html! {}))
        (table(&rows))
        p .paging { "The last events that furt keeps in memory, the last one first." }
    };
    Content { title: "Events".to_owned(), section: Section::Events, body, lists: vec![rows] }
}

/// A table of events.
pub(super) fn table(rows: &List) -> Markup {
    html! {
        @if rows.is_empty() { p .empty { "Nothing so far." } }
        div .scroll tabindex="0" role="group" aria-label="Events" {
            table .events {
                thead { tr { th scope="col" { "Time" } th scope="col" { "What" } th scope="col" { "Service" } th scope="col" { "Details" } } }
                (rows.render())
            }
        }
    }
}

/// An event as a row.
pub(super) fn row(event: &Event, context: &Context) -> (String, Markup) {
    let instance = event.instance.as_ref().filter(|instance| event.service.as_ref() != Some(instance));
    let cells = html! {
        td { (clock_time(&event.time)) }
        td { (event.kind) }
        td {
            @if let Some(service) = &event.service { (service_link(service, context)) }
            @if let Some(instance) = instance { " " (instance) }
        }
        td {
            @for (at, (name, value)) in event.details.iter().enumerate() {
                @if at > 0 { ", " } span .name { (name) } " " (text(value))
            }
        }
    };
    (event.seq.to_string(), cells)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
