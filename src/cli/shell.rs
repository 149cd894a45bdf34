//! `completions` and `man`: what shells and `man` know of furt, of the same source as `--help`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, output};

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell that is to complete furt's verbs and options
    shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArgs {
    /// Write a page for furt and one for each verb into this directory; if left out, print furt's own
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    output::print(&String::from_utf8(script(args.shell))?)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<()> {
    match &args.directory {
        Some(directory) => write_pages(directory),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            output::print(&String::from_utf8(page)?)
        }
    }
}

/// In memory first: clap ends with a panic where nobody reads.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "furt", &mut script);
    script
}

fn write_pages(directory: &Path) -> anyhow::Result<()> {
    let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
    written.with_context(|| format!("cannot write the pages into {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn verbs() -> Vec<String> {
        Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    }

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for verb in verbs() {
                assert!(script.contains(&verb), "{shell} does not know {verb}");
            }
            // fish has a way of its own to write `--follow`.
            let option = if *shell == Shell::Fish { "-l follow" } else { "--follow" };
            assert!(script.contains("rotate") && script.contains(option), "{shell}");
        }
    }

    #[test]
    fn every_verb_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("man1");
        write_pages(&directory).unwrap();
        let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let of_furt = page("furt.1");
        for verb in verbs() {
            assert!(of_furt.contains(&format!("furt\\-{verb}(1)")), "{verb} is not in\n{of_furt}");
            assert!(page(&format!("furt-{verb}.1")).contains(".SH SYNOPSIS"), "{verb}");
        }
        assert!(page("furt-keys-new.1").contains("Examples"));
    }
}
