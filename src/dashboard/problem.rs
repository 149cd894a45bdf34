//! A refusal as a page.

use furt_api::problem::Problem;
use maud::html;

use super::{Content, Section};

/// The page in the place of another one.
pub fn problem(problem: &Problem, section: Section) -> Content {
    let body = html! {
        h1 { (problem.title) }
        @match &problem.errors {
            Some(errors) => ul .faults { @for error in errors { li .error { span .sign aria-hidden="true" { "✕" } @if let Some(name) = &error.parameter { (name) ": " } (error.detail) } } },
            None => p { (problem.detail.as_deref().unwrap_or_default()) },
        }
        p .why { code { (problem.code.as_str()) } ", request " code { (problem.request_id) } }
    };
    Content { title: problem.title.clone(), section, body, lists: Vec::new() }
}
