//! `demo`: a gateway with services to try furt with.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use clap::{Args, CommandFactory as _};

use super::{Cli, Format, Output, logging, output};
use crate::config::LogFormat;
use crate::demo::{self, Clients, Options, Reader};

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Send requests all the time, and show each second what became of them
    #[arg(long)]
    load: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    // What is logged would push away what is to be pasted, and at the end Pingora misses its signals.
    logging::start("error,pingora_core=off,pingora_proxy=off", LogFormat::Text)?;
    demo::run(Options {
        load: if args.load { Clients::Steady } else { Clients::None },
        reader: match args.format.output {
            Output::Json => Reader::Program,
            Output::Text if io::stdout().is_terminal() => Reader::Terminal,
            Output::Text => Reader::File,
        },
        program: program(),
        verbs: Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect(),
        say: Arc::new(output::print),
    })
}

/// This furt as a command, wherever it is pasted: its name if it was found by that, otherwise where it is.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    let place = std::env::current_exe().ok().filter(|_| called.contains('/'));
    let name = place.as_deref().map(Path::to_string_lossy).map_or(called, |name| name.into_owned());
    output::quoted(&name)
}
