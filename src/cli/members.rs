//! Nodes of a cluster as verbs are told of them: which one is meant, and how what it says of itself is shown.

use anyhow::{Result, bail, ensure};
use furt_api::Seconds;
use furt_api::cluster::{Cluster, Member, SecretId};
use furt_api::nodes::Nodes;

use super::Target;
use super::client::{Answer, ask};
use super::terminal::cut;

/// The least of a fingerprint that names a node, as the internal listener has it.
const MIN_PREFIX: usize = 8;

/// Asks for the gateways and the nodes of the cluster.
pub(super) fn ask_nodes(target: &Target) -> Result<Answer> {
    ask(target, "GET", &["internal", "nodes"], &[], None)
}

/// The cluster of an answer.
///
/// # Errors
/// There is none, or it is not shown.
pub(super) fn cluster_of(target: &Target, nodes: Nodes) -> Result<Cluster> {
    match (nodes.cluster, nodes.cluster_error) {
        (Some(cluster), _) => Ok(cluster),
        (None, Some(why)) => bail!("the cluster cannot be shown: {}", foreign(&why, 500)),
        (None, None) => {
            bail!("furt at {} shows no cluster: cluster.url is not set there, or you are no operator", target.url)
        }
    }
}

/// The node that is meant: by its fingerprint, the beginning of it, or its name.
///
/// # Errors
/// None is, or several are.
pub(super) fn find<'a>(cluster: &'a Cluster, text: &str) -> Result<&'a Member> {
    let prefix = text.to_ascii_lowercase();
    let is_hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_meant = |member: &&Member| match is_hex {
        true => prefix.len() >= MIN_PREFIX && member.fingerprint.starts_with(&prefix),
        false => member.name.as_deref() == Some(text),
    };
    let meant: Vec<_> = cluster.members.iter().filter(is_meant).collect();
    ensure!(
        !meant.is_empty(),
        "no node is called {text}: a key is its fingerprint, at least {MIN_PREFIX} digits that it begins with, or the node's name"
    );
    let [one] = meant.as_slice() else {
        let all: Vec<_> = meant.iter().map(|member| foreign(&member.fingerprint, 64)).collect();
        bail!("several nodes are called {text}: {}; give more of the fingerprint", all.join(", "));
    };
    Ok(one)
}

/// Words that any stranger may have chosen: without what is not plain ASCII, such as marks that turn a line round, and cut.
pub(super) fn foreign(text: &str, width: usize) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { char::REPLACEMENT_CHARACTER };
    cut(&text.chars().map(plain).collect::<String>(), width)
}

/// The first digits of a fingerprint.
pub(super) fn short(fingerprint: &str) -> String {
    foreign(fingerprint, usize::MAX).chars().take(MIN_PREFIX).collect()
}

pub(super) fn age(age: Seconds) -> String {
    // What is no number of seconds is as old as can be.
    let seconds = if age.0 >= 0.0 { age.0 as u64 } else { u64::MAX };
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn secret(id: &SecretId) -> String {
    format!("generation {}, check {}", id.generation, foreign(&id.check, 16))
}
