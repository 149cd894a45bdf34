//! What the help of each verb ends with: examples of it. A test reads every one as the command line does.

pub(super) const RUN: &str = "\
Examples:
  furt run
  furt run --config furt.toml";

pub(super) const DEMO: &str = "\
Examples:
  furt demo
  furt demo --load";

pub(super) const CHECK: &str = "\
Examples:
  furt check furt.toml
  furt check furt.toml -o json";

pub(super) const REGISTER: &str = "\
Examples:
  furt register comments.json
  furt register - < comments.json
  furt register --service comments --upstream http://127.0.0.1:7812 --route 'GET /api/comments/*'";

pub(super) const JOIN: &str = "\
Examples:
  furt join comments -- node server.js
  furt join comments --port 7812 --routes routes.json --health /health -- python3 server.py
  furt join comments --url furt://10.0.0.1,10.0.0.2/shop -- ./comments";

pub(super) const LOOKUP: &str = "\
Examples:
  curl -sS \"$(furt lookup comments)/api/comments/a\"
  furt lookup comments --url furt://10.0.0.1,10.0.0.2/shop -o json";

pub(super) const DEREGISTER: &str = "\
Examples:
  furt deregister comments
  furt deregister comments --instance comments-2 --drain 30";

pub(super) const DRAIN: &str = "\
Examples:
  furt drain comments --wait 30 && systemctl stop comments
  furt drain comments --instance comments-2
  furt drain comments --undo";

pub(super) const MAINTENANCE: &str = "\
Examples:
  furt maintenance
  furt maintenance on comments --for 30m
  furt maintenance off comments";

pub(super) const MAINTENANCE_ON: &str = "\
Examples:
  furt maintenance on comments --for 30m --message 'back at 15:00 UTC'
  furt maintenance on --all --allow-from 10.0.0.0/8";

pub(super) const MAINTENANCE_OFF: &str = "\
Examples:
  furt maintenance off comments
  furt maintenance off --all";

pub(super) const SPLIT: &str = "\
Examples:
  furt split comments 2.4.0=5% --header X-Canary
  furt split comments 2.4.0=50% 2.5.0=1% --header X-Canary
  furt split comments --off
  furt split";

pub(super) const GRANT: &str = "\
Examples:
  furt grant comments --path '/api/comments/*' --permission 'comments:*'
  furt grant status --path /status --public --upstream 10.1.0.0/16
  furt grant comments --off
  furt grant";

pub(super) const EXPORT: &str = "\
Examples:
  furt export > state.toml
  furt export -o json";

pub(super) const DIFF: &str = "\
Examples:
  furt diff -f state.toml
  furt export --url http://10.0.0.5:8081 | furt diff -f -";

pub(super) const APPLY: &str = "\
Examples:
  furt apply -f state.toml --dry-run
  furt apply -f state.toml
  furt apply -f state.toml --in-parts";

pub(super) const SERVICES: &str = "\
Examples:
  furt services
  furt services comments -o json
  furt services --verbose";

pub(super) const EVENTS: &str = "\
Examples:
  furt events
  furt events --follow
  furt events --after 120 -o json";

pub(super) const AUDIT: &str = "\
Examples:
  furt audit
  furt audit --follow
  furt audit --check";

pub(super) const WATCH: &str = "\
Examples:
  furt watch
  furt watch -o json";

pub(super) const TOP: &str = "\
Examples:
  furt top
  furt top --interval 5
  furt top --once -o json";

pub(super) const NODES: &str = "\
Examples:
  furt nodes
  furt nodes --watch
  furt nodes -o json";

pub(super) const NODES_APPROVE: &str = "\
Examples:
  furt nodes approve e1d00f3b51c2a9d4
  furt nodes approve e1d00f3b51c2a9d4 --role commander";

pub(super) const NODES_REVOKE: &str = "\
Examples:
  furt nodes revoke e1d00f3b51c2a9d4 && furt secret rotate";

pub(super) const NODES_FORGET: &str = "\
Examples:
  furt nodes forget edge_9.55";

pub(super) const NODES_SHOW: &str = "\
Examples:
  furt nodes show edge_1.4711
  furt nodes show e1d00f3b -o json";

pub(super) const CLUSTER_INIT: &str = "\
Examples:
  furt cluster init
  furt cluster init -o json";

pub(super) const CLUSTER_JOIN: &str = "\
Examples:
  furt cluster token | ssh edge-2 furt cluster join
  furt cluster join --token-file /run/join-token";

pub(super) const CLUSTER_TOKEN: &str = "\
Examples:
  furt cluster token > join-token
  furt cluster token --uses 20 --ttl 30m --role member";

pub(super) const CLUSTER_TOKENS: &str = "\
Examples:
  furt cluster tokens
  furt cluster tokens -o json";

pub(super) const CLUSTER_DROP_TOKEN: &str = "\
Examples:
  furt cluster drop-token 5f0c1b2a99d3e4f7";

pub(super) const CLUSTER_ACL: &str = "\
Examples:
  furt cluster acl --user edge-1 --host edge-1
  furt cluster acl --user edge-1 --host edge-1 --vhost gateways --exchange node";

pub(super) const SECRET_STATUS: &str = "\
Examples:
  furt secret status
  furt secret status -o json";

pub(super) const SECRET_ROTATE: &str = "\
Examples:
  furt secret rotate";

pub(super) const SECRET_ADOPT: &str = "\
Examples:
  furt secret adopt 00112233aabbccdd";

pub(super) const SETTINGS_SET: &str = "\
Examples:
  furt settings set limits.max_body=10000000 --to all
  furt settings set limits.max_body=10000000 --to edge_1.4711,b07712ee
  furt settings set client.header_timeout=30s --unset limits.max_body --to all --expect 7
  furt settings set server.threads=8 --to all --restart";

pub(super) const SETTINGS_GET: &str = "\
Examples:
  furt settings get
  furt settings get limits.max_body --to edge_1.4711";

pub(super) const SETTINGS_DIFF: &str = "\
Examples:
  furt settings diff
  furt settings diff 5 7
  furt settings diff --node edge_1.4711";

pub(super) const SETTINGS_HISTORY: &str = "\
Examples:
  furt settings history
  furt settings history -o json";

pub(super) const SETTINGS_KEYS: &str = "\
Examples:
  furt settings keys";

pub(super) const ROUTES: &str = "\
Examples:
  furt routes
  furt routes -o json";

pub(super) const EXPLAIN: &str = "\
Examples:
  furt explain GET /api/comments/a
  furt explain GET /api/comments/a --key website
  furt explain GET /api/comments/a --origin https://app.example.org
  furt explain GET https://shop.example/cart --client 192.0.2.1";

pub(super) const CERTIFICATES: &str = "\
Examples:
  furt certificates
  furt certificates -o json";

pub(super) const ACME_RENEW: &str = "\
Examples:
  furt acme renew api.example.org
  furt acme renew api.example.org -o json";

pub(super) const RELOAD: &str = "\
Examples:
  furt check furt.toml && furt reload
  furt reload -o json";

pub(super) const UPGRADE: &str = "\
Examples:
  furt upgrade
  furt upgrade -o json";

pub(super) const UPDATE: &str = "\
Examples:
  furt update --to edge_1.4711 --version 1.4.0 --sha256 \"$(sha256sum < furt-1.4.0 | cut -c1-64)\"";

pub(super) const READY: &str = "\
Examples:
  furt ready && echo 'takes requests'
  furt ready --url http://127.0.0.1:8081";

pub(super) const KEYS_NEW: &str = "\
Examples:
  KEY=$(furt keys new --name website --permission 'comments:*')
  furt keys new --name website --permission comments:read --rate 100/s --expires 90d
  furt keys new --name website --permission 'comments:*' --add-to furt.toml";

pub(super) const KEYS_LIST: &str = "\
Examples:
  furt keys list
  furt keys list -o json";

pub(super) const KEYS_REVOKE: &str = "\
Examples:
  furt keys revoke website";

pub(super) const KEYS_ROTATE: &str = "\
Examples:
  KEY=$(furt keys rotate website)
  furt keys rotate website --grace 1h";

pub(super) const STORE_CHECK: &str = "\
Examples:
  furt store check
  furt store check /var/lib/furt/data/furt.redb -o json";

pub(super) const STORE_EXPORT: &str = "\
Examples:
  furt store export --running > copy.json
  furt store export /var/lib/furt/data/furt.redb > copy.json";

pub(super) const STORE_IMPORT: &str = "\
Examples:
  furt store import copy.json --into /var/lib/furt/data/furt.redb
  furt store import - --into furt.redb < copy.json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  furt completions bash > /usr/share/bash-completion/completions/furt
  furt completions zsh > /usr/local/share/zsh/site-functions/_furt";

pub(super) const MAN: &str = "\
Examples:
  furt man /usr/local/share/man/man1
  furt man | man -l -";

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use crate::cli::Cli;

    /// The words of one command, as a shell would have them: quotes are single ones, and what is no word ends it.
    fn words(command: &str) -> Vec<String> {
        let (mut words, mut is_quoted) = (vec![String::new()], false);
        for c in command.chars() {
            match c {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => words.push(String::new()),
                '|' | '&' | '<' | '>' | ')' if !is_quoted => break,
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// Each call of furt in a line.
    fn calls(line: &str) -> impl Iterator<Item = Vec<String>> {
        let starts = line.match_indices("furt ").filter(|(at, _)| {
            line[..*at].chars().next_back().is_none_or(|before| " (".contains(before)) && !line[..*at].contains(">")
        });
        starts.map(|(at, _)| words(&line[at..]))
    }

    /// Checks the examples of a verb, or of the verbs below it.
    fn check(verb: &Command, path: &[&str]) {
        if verb.has_subcommands() {
            verb.get_subcommands().for_each(|below| check(below, &[path, &[below.get_name()]].concat()));
            return;
        }
        let help = verb.get_after_help().unwrap_or_else(|| panic!("{path:?} has no examples")).to_string();
        let (head, lines) = help.split_once('\n').unwrap();
        assert_eq!(head, "Examples:", "{path:?}");
        for line in lines.lines() {
            assert!(line.starts_with("  ") && line.len() <= 100, "{line}");
            let calls: Vec<_> = calls(line).collect();
            assert!(
                calls
                    .iter()
                    .any(|call| call[1..].starts_with(&path.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())),
                "{line}"
            );
            for call in calls {
                let read = Cli::command().try_get_matches_from(&call);
                assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
            }
        }
    }

    #[test]
    fn every_verb_has_examples_and_every_example_is_good() {
        check(&Cli::command(), &[]);
    }

    #[test]
    fn an_example_is_read_as_a_shell_reads_it() {
        let line = "  KEY=$(furt keys new --permission 'a b') && furt ready > x";
        let calls: Vec<_> = calls(line).collect();
        assert_eq!(calls, [vec!["furt", "keys", "new", "--permission", "a b"], vec!["furt", "ready"]]);
    }
}
