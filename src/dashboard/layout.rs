//! What is around every page: its head, the ways to the others, and who looks at it.

use maud::{DOCTYPE, Markup, html};

use super::{BUILD, Content};

/// The pages that can be gone to from everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What is wrong, and how much is asked for.
    Overview,
    /// What is registered.
    Services,
    /// The table of routes.
    Routes,
    /// What happened.
    Events,
    /// API keys.
    Keys,
    /// The gateways.
    Nodes,
    /// Certificates.
    Certificates,
    /// Which route a request takes.
    Explain,
    /// Before anybody may see one of these.
    Outside,
}

/// Each with its address below the first page, and its name.
const SECTIONS: [(Section, &str, &str); 8] = [
    (Section::Overview, "", "Overview"),
    (Section::Services, "services", "Services"),
    (Section::Routes, "routes", "Routes"),
    (Section::Events, "events", "Events"),
    (Section::Keys, "keys", "Keys"),
    (Section::Nodes, "nodes", "Nodes"),
    (Section::Certificates, "certificates", "Certificates"),
    (Section::Explain, "explain", "Explain"),
];

/// What all pages show, whatever they are about.
#[derive(Debug, Clone, Copy)]
pub struct Shell<'a> {
    /// As in [`super::Context`].
    pub root: &'static str,
    /// furt's version.
    pub version: &'a str,
    /// The commit that it was built from.
    pub commit: &'a str,
    /// The gateway that answers.
    pub node: &'a str,
    /// The operator who looks; `None`: whoever comes from the address.
    pub viewer: Option<&'a str>,
    /// Whether a session lets in, which can be ended.
    pub has_session: bool,
}

/// A whole page.
pub fn document(content: &Content, shell: &Shell<'_>) -> String {
    let Shell { root, version, commit, .. } = shell;
    let is_live = !content.lists.is_empty();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (content.title) " · furt" }
                link rel="icon" href={ (root) "icon.svg" } type="image/svg+xml";
                link rel="stylesheet" href={ (root) "style.css?" (*BUILD) };
                @if is_live { script src={ (root) "live.js?" (*BUILD) } defer {} }
            }
            body data-build=(*BUILD) {
                a .skip href="#content" { "Skip to the content" }
                (header(content.section, shell, is_live))
                main #content { (content.body) }
                @if content.section != Section::Outside {
                    footer { p { "furt " (version) " (" (commit) ") on " (shell.node) } }
                }
            }
        }
    };
    page.into_string()
}

fn header(section: Section, shell: &Shell<'_>, is_live: bool) -> Markup {
    let first = if shell.root.is_empty() { "./" } else { shell.root };
    html! {
        header {
            @if section == Section::Outside {
                span .brand { (logo()) "furt" }
            } @else {
                a .brand href=(first) { (logo()) "furt" }
                nav aria-label="Pages" {
                    ul {
                        @for (one, path, name) in SECTIONS {
                            li {
                                @let href = if path.is_empty() { first.to_owned() } else { format!("{}{path}", shell.root) };
                                a href=(href) aria-current=[(one == section).then_some("page")] { (name) }
                            }
                        }
                    }
                }
                div .who {
                    @if is_live {
                        p #live-state role="status" { "as of its loading" }
                        button #live-pause type="button" hidden { "Pause" }
                    }
                    @if let Some(viewer) = shell.viewer { span .viewer { (viewer) } }
                    @if shell.has_session {
                        form method="post" action={ (shell.root) "sign-out" } { button type="submit" { "Sign out" } }
                    }
                }
            }
        }
    }
}

fn logo() -> Markup {
    html! {
        svg .logo viewBox="0 0 24 24" aria-hidden="true" {
            path d="M4 5h16M4 5v14M4 12h10" {}
            circle cx="20" cy="5" r="2" {}
            circle cx="14" cy="12" r="2" {}
            circle cx="4" cy="19" r="2" {}
        }
    }
}

/// The icon of all pages.
pub const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="#0f6b5c"/><g fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"><path d="M6 6h10M6 6v12M6 12h6"/></g><g fill="#9fe8d8"><circle cx="17.5" cy="6" r="2"/><circle cx="13.5" cy="12" r="2"/><circle cx="6" cy="18.500" r="2"/></g></svg>"##;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(title: &str, section: Section, root: &'static str) -> String {
        let content = Content { title: title.to_owned(), section, body: html! {}, lists: Vec::new() };
        let shell =
            Shell { root, version: "1", commit: "abc", node: "<node>", viewer: Some("<me>"), has_session: true };
        document(&content, &shell)
    }

    #[test]
    fn every_text_is_escaped() {
        let page = shown("</title><script>", Section::Overview, "");
        assert!(!page.contains("<script>") && !page.contains("<node>") && !page.contains("<me>"), "{page}");
    }

    #[test]
    fn links_lead_below_the_first_page_from_everywhere() {
        let page = shown("a", Section::Services, "../");
        for expected in ["href=\"../services\" aria-current=\"page\"", "href=\"../\"", "action=\"../sign-out\""] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("=\"/"), "a link from the root would break below a prefix: {page}");
    }
}
