//! The page where an operator signs in.

use maud::html;

use super::{Content, Section};

/// What the page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn<'a> {
    /// Why the attempt before was refused, or why nobody can sign in here.
    pub refused: Option<&'a str>,
    /// Whether a token can be sent.
    pub is_open: bool,
}

/// The page where an operator signs in.
pub fn sign_in(view: &SignIn<'_>) -> Content {
    let body = html! {
        div .sign-in {
            h1 { "Sign in" }
            @if let Some(why) = view.refused { p .why.bad role="alert" { (why) } }
            @if view.is_open {
                form method="post" {
                    label { "Operator token" input type="password" name="token" autocomplete="current-password" required autofocus; }
                    button type="submit" { "Sign in" }
                }
                p .why { "What you see then can be looked at, and not changed, for 8 hours at most, from this address." }
            }
        }
    };
    Content { title: "Sign in".to_owned(), section: Section::Outside, body, lists: Vec::new() }
}
