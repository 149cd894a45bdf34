//! Settings of a cluster of three: who must allow them, when they are in force, and what outlives a reload, a restart and an absence.

use super::*;
use crate::support::gateway::client_from;
use crate::support::load::Load;

/// What a file lets commanders set.
const ALLOWED: &str = "settings = ['limits.*', 'client.header_timeout', 'server.threads']";
/// The same, where another process can take over.
const ALLOWED_ON_DISK: &str =
    "settings = ['limits.*', 'client.header_timeout', 'server.threads']\n[store]\nkind = 'disk'\npath = 'furt.redb'";

/// Three nodes, of which the first commands, and what they need.
struct Three {
    nodes: [Gateway; 3],
    broker: Rabbitmq,
    folder: TempDir,
    _origin: Origin,
}

impl Three {
    async fn start(allowed: [&str; 3]) -> Self {
        let (broker, folder) = (Rabbitmq::start().await, tempfile::tempdir().unwrap());
        let origin = Origin::start().await;
        let start = async |name: &str, more: &str| node(&broker, name, &folder.path().join(name), more).await;
        let nodes = [start("one", allowed[0]).await, start("two", allowed[1]).await, start("three", allowed[2]).await];
        succeeds(&nodes[0], &["cluster", "init"]).await;
        let token = folder.path().join("token");
        std::fs::write(&token, succeeds(&nodes[0], &["cluster", "token", "--uses", "2"]).await).unwrap();
        for node in &nodes[1..] {
            succeeds(node, &["cluster", "join", "--token-file", token.to_str().unwrap()]).await;
        }
        for node in &nodes {
            agrees(node, 3).await;
            node.registered(&public_service("shop", &origin.url(), "/shop")).await;
        }
        Self { nodes, broker, folder, _origin: origin }
    }

    /// Writes a node's file anew.
    fn configure(&self, number: usize, name: &str, more: &str) {
        let state = self.folder.path().join(name);
        let more = format!("state = '{}'\npassword_file = '{}'\n{more}", state.display(), password(&state).display());
        self.nodes[number].configure(&tail(&self.broker.url(), name, &more));
    }

    /// What an operator sets at the first node.
    async fn sets(&self, arguments: &[&str]) -> String {
        succeeds(&self.nodes[0], &[&["settings", "set"], arguments].concat()).await
    }

    async fn refuses(&self, arguments: &[&str]) -> String {
        fails(&self.nodes[0], &[&["settings", "set"], arguments].concat()).await
    }

    /// Waits until the largest body of each node is so large; `None`: none is too large.
    async fn take(&self, most: [Option<usize>; 3]) {
        for (node, most) in self.nodes.iter().zip(most) {
            takes(node, most).await;
        }
    }
}

async fn status_of(node: &Gateway, length: usize) -> u16 {
    let request = node.anonymous(Method::POST, "/shop").body("x".repeat(length));
    Answer::of(request).await.status.as_u16()
}

pub(crate) async fn takes(node: &Gateway, most: Option<usize>) {
    eventually(&format!("{most:?} is the largest body"), PATIENCE, async || {
        let fits = most.unwrap_or(100);
        let too_large = if most.is_some() { 413 } else { 200 };
        (status_of(node, fits).await == 200 && status_of(node, fits + 1).await == too_large).then_some(())
    })
    .await;
}

async fn generation(node: &Gateway) -> u64 {
    let request = node.operate(Method::GET, "/internal/cluster/settings").bearer_auth(TOKEN);
    let known = Answer::of(request).await.ok();
    let of_cluster =
        known["settings"].as_array().unwrap().iter().find(|one| one["node"].is_null() && one["latest"] == true);
    of_cluster.map_or(0, |one| one["generation"].as_u64().unwrap())
}

#[tokio::test]
async fn all_nodes_must_allow_a_setting_and_then_it_is_in_force_at_all() {
    let three = Three::start([ALLOWED, ALLOWED, ""]).await;
    let why = three.refuses(&["limits.max_body=5", "--to", "all"]).await;
    assert!(why.contains("422 invalid-config") && why.contains("three.") && why.contains("does not allow it"), "{why}");
    assert!(why.contains(":2:1: limits.max_body"), "its place: {why}");
    assert!(!why.contains("one.") && !why.contains("two."), "{why}");
    assert_eq!(generation(&three.nodes[0]).await, 0);
    three.take([None; 3]).await;

    three.configure(2, "three", ALLOWED);
    succeeds(&three.nodes[2], &["reload"]).await;
    let said = three.sets(&["limits.max_body=5", "--to", "all"]).await;
    assert_eq!(said.matches(": success").count(), 3, "{said}");
    three.take([Some(5); 3]).await;
    let got = succeeds(&three.nodes[2], &["settings", "get", "limits.max_body"]).await;
    assert!(got.contains("the cluster"), "{got}");

    // Settings restart nothing.
    let why = three.refuses(&["server.threads=7", "--to", "all"]).await;
    assert!(
        why.contains("new settings of the cluster:") && why.contains("server.threads: takes effect at a restart"),
        "{why}"
    );

    // Each error of each node, and nobody applies what is good.
    let why = three.refuses(&["limits.max_body=-1", "client.header_timeout=forever", "--to", "all"]).await;
    for what in ["one.", "two.", "three.", "limits.max_body", "client.header_timeout"] {
        assert!(why.contains(what), "{what}: {why}");
    }
    assert_eq!((why.matches(":2:").count(), why.matches(":5:").count()), (3, 3), "{why}");
    for bad in ["limits.max_bodies=5", "cluster.name=x", "internal.listen=[]", "server.threads=1"] {
        let why = three.refuses(&[bad, "--to", "all"]).await;
        assert!(why.contains("422") && why.contains(bad.split('=').next().unwrap()), "{why}");
    }
    assert_eq!(generation(&three.nodes[0]).await, 1);
    three.take([Some(5); 3]).await;
    let why = three.refuses(&["limits.max_body=6", "--to", "all", "--expect", "0"]).await;
    assert!(why.contains("412 outdated") && why.contains("generation 1"), "{why}");
    // Members set nothing.
    let why = fails(&three.nodes[1], &["settings", "set", "limits.max_body=6", "--to", "all"]).await;
    assert!(why.contains("403 not-commander"), "{why}");

    three.sets(&["--unset", "limits.max_body", "--to", "all"]).await;
    three.take([None; 3]).await;
    let diff = succeeds(&three.nodes[0], &["settings", "diff"]).await;
    assert!(diff.contains("from generation 1 to 2") && diff.contains("- limits.max_body = 5"), "{diff}");
    let history = succeeds(&three.nodes[0], &["settings", "history"]).await;
    assert_eq!(history.lines().count(), 3, "{history}");
}

#[tokio::test]
async fn a_node_s_own_settings_lie_over_the_cluster_s_and_outlive_reload_and_restart() {
    let mut three = Three::start([ALLOWED; 3]).await;
    three.sets(&["limits.max_body=5", "--to", "all"]).await;
    let name = of_this(&cluster(&three.nodes[1]).await)["name"].as_str().unwrap().to_owned();
    three.sets(&["limits.max_body=20", "--to", &name]).await;
    three.take([Some(5), Some(20), Some(5)]).await;
    three.nodes[1].signal("HUP");
    eventually("it is reloaded", PATIENCE, async || {
        let log = three.nodes[1].log();
        let (_, after) = log.split_once("SIGHUP: reloading")?;
        after.contains("reloaded ").then_some(())
    })
    .await;
    three.take([Some(5), Some(20), Some(5)]).await;
    three.nodes[1].restart().await;
    three.nodes[1].registered(&public_service("shop", &three._origin.url(), "/shop")).await;
    three.take([Some(5), Some(20), Some(5)]).await;

    // One that is away takes what it missed. Two are there only once the second one is again.
    agrees(&three.nodes[0], 3).await;
    three.nodes[2].stop().await;
    agrees(&three.nodes[0], 2).await;
    let said = three.sets(&["limits.max_body=7", "--to", "all"]).await;
    assert!(said.contains("away") && said.matches(": success").count() == 2, "{said}");
    three.nodes[2].start_again().await;
    three.nodes[2].registered(&public_service("shop", &three._origin.url(), "/shop")).await;
    three.take([Some(7), Some(20), Some(7)]).await;

    // Its file allows them no more: they are passed over, also where the others go on.
    three.configure(2, "three", "");
    three.nodes[2].restart().await;
    three.nodes[2].registered(&public_service("shop", &three._origin.url(), "/shop")).await;
    three.take([Some(7), Some(20), None]).await;
    agrees(&three.nodes[0], 3).await;
    let issues = cluster(&three.nodes[2]).await["issues"].to_string();
    assert!(issues.contains("does not allow limits.max_body, so its own values count"), "{issues}");
    let why = three.refuses(&["limits.max_body=9", "--to", "all"]).await;
    assert!(why.contains("three.") && why.contains("does not allow it"), "{why}");
    let partial = ["settings", "set", "limits.max_body=9", "--to", "all", "--partial"];
    let output = command(&three.nodes[0], &partial).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // It did not agree, or has tried meanwhile, since the record says so: either is told with the reason.
    assert!(said.matches(": success").count() == 2 && said.contains("does not allow it"), "{said}");
    three.take([Some(9), Some(20), None]).await;
}

#[tokio::test]
async fn of_two_operators_who_start_from_one_generation_one_is_told() {
    let three = Three::start([ALLOWED; 3]).await;
    let key = of_this(&cluster(&three.nodes[1]).await)["fingerprint"].as_str().unwrap().to_owned();
    succeeds(&three.nodes[0], &["nodes", "approve", &key, "--role", "commander"]).await;
    eventually("it commands", PATIENCE, async || {
        (of_this(&cluster(&three.nodes[1]).await)["standing"] == "commander").then_some(())
    })
    .await;
    let set = async |node: &Gateway, body: &str| {
        command(node, &["settings", "set", &format!("limits.max_body={body}"), "--to", "all", "--expect", "0"]).await
    };
    let both = tokio::join!(set(&three.nodes[0], "5"), set(&three.nodes[1], "6"));
    let [first, second] =
        [both.0, both.1].map(|output| (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()));
    assert_ne!(first.0, second.0, "{first:?} {second:?}");
    let (most, why) = if first.0 { (5, second.1) } else { (6, first.1) };
    assert!(why.contains("412 outdated") && why.contains("generation 1"), "{why}");
    three.take([Some(most); 3]).await;
    let why = three.refuses(&["limits.max_body=8", "--to", "all", "--expect", "0"]).await;
    assert!(why.contains("412 outdated"), "{why}");
}

/// The threads of the public listener of the process that a node is now, and that process.
pub(crate) async fn workers(node: &Gateway) -> (u32, usize) {
    let name = of_this(&cluster(node).await)["name"].as_str().unwrap().to_owned();
    let pid = name.rsplit_once('.').unwrap().1.parse().unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    (pid, names.filter(|name| name.trim() == "public").count())
}

impl Three {
    /// Waits until each of these nodes is another process than it was, which takes part; from here on it is that one.
    async fn follow(&mut self, before: &[(usize, u32)]) {
        for (at, before) in before {
            let node = &mut self.nodes[*at];
            let pid = eventually("it is another process", PATIENCE, async || {
                let cluster = cluster(node).await;
                let this = cluster["members"].as_array()?.iter().find(|member| member["this"] == true)?;
                let pid = this["name"].as_str()?.rsplit_once('.')?.1.parse().ok()?;
                (pid != *before && cluster["link"]["status"] == "up").then_some(pid)
            })
            .await;
            node.replaced_by(pid);
        }
    }
}

#[tokio::test]
async fn nodes_restart_one_after_the_other_for_a_key_that_needs_it_and_no_client_notices() {
    let mut three = Three::start([ALLOWED_ON_DISK; 3]).await;
    let mut load = Vec::new();
    for node in &three.nodes {
        let url = node.public_url("/shop");
        load.push(Load::start(2, move |_, _| {
            let asked = client_from(None).get(&url).send();
            async move { assert_eq!(asked.await.unwrap().status(), 200) }
        }));
    }
    let [one, two, other] = [0, 1, 2].map(|at| workers(&three.nodes[at]));
    let before = [one.await, two.await, other.await];
    assert!(before.iter().all(|(_, count)| *count == 2), "{before:?}");
    let said = three.sets(&["server.threads=3", "limits.max_body=5", "--to", "all", "--restart"]).await;
    assert_eq!(said.matches(": success").count(), 3, "{said}");
    three.follow(&[(0, before[0].0), (1, before[1].0), (2, before[2].0)]).await;
    for one in &mut load {
        one.more(20).await;
    }
    three.take([Some(5); 3]).await;
    let mut boots = Vec::new();
    for node in &three.nodes {
        assert_eq!(workers(node).await.1, 3);
        assert_eq!(generation(node).await, 1);
        boots.push(of_this(&cluster(node).await)["boot"].as_u64().unwrap());
    }
    assert!(boots[0] > boots[1] && boots[0] > boots[2], "the node that was asked is the last: {boots:?}");

    // What needs no restart has none, also where one is allowed.
    let processes = [workers(&three.nodes[0]).await, workers(&three.nodes[1]).await, workers(&three.nodes[2]).await];
    three.sets(&["limits.max_body=6", "--to", "all", "--restart"]).await;
    three.take([Some(6); 3]).await;
    assert_eq!(
        [workers(&three.nodes[0]).await, workers(&three.nodes[1]).await, workers(&three.nodes[2]).await],
        processes
    );
    // To take such a key back is a restart as well.
    let why = three.refuses(&["--unset", "server.threads", "--to", "all"]).await;
    assert!(why.contains("server.threads: takes effect at a restart alone"), "{why}");
    // One node by its name.
    let name = of_this(&cluster(&three.nodes[1]).await)["name"].as_str().unwrap().to_owned();
    three.sets(&["server.threads=4", "--to", &name, "--restart"]).await;
    three.follow(&[(1, processes[1].0)]).await;
    assert_eq!(workers(&three.nodes[1]).await.1, 4);
    assert_eq!([workers(&three.nodes[0]).await, workers(&three.nodes[2]).await], [processes[0], processes[2]]);
    // A process that takes over for another reason has all of them as well, also those that are set meanwhile.
    let (upgraded, _) = tokio::join!(
        succeeds(&three.nodes[2], &["upgrade"]),
        succeeds(&three.nodes[0], &["settings", "set", "limits.max_body=7", "--to", "all"])
    );
    three.follow(&[(2, processes[2].0)]).await;
    three.take([Some(7); 3]).await;
    assert_eq!((workers(&three.nodes[2]).await.1, generation(&three.nodes[2]).await), (3, 3), "{upgraded}");
    for one in load {
        one.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_cannot_restart_goes_on_as_it_was_and_those_after_it_do_not_restart() {
    let mut three = Three::start([ALLOWED, ALLOWED_ON_DISK, ALLOWED_ON_DISK]).await;
    // One with its store in memory says so before anything is changed.
    let why = three.refuses(&["server.threads=3", "--to", "all", "--restart"]).await;
    assert!(why.contains("one.") && why.contains("this furt cannot: the store is in memory"), "{why}");
    assert_eq!(generation(&three.nodes[0]).await, 0);
    three.configure(0, "one", ALLOWED_ON_DISK);
    three.nodes[0].restart().await;
    agrees(&three.nodes[0], 3).await;
    three.nodes[0].registered(&public_service("shop", &three._origin.url(), "/shop")).await;

    let before = [workers(&three.nodes[0]).await, workers(&three.nodes[1]).await, workers(&three.nodes[2]).await];
    // Its file names an address that is another's, which a process finds at its start alone.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (at, name) in [(1, "two"), (2, "three")] {
        let public = three.nodes[at].public;
        three.configure(at, name, &format!("{ALLOWED_ON_DISK}\n[server]\nlisten = ['{public}', '{address}']"));
    }
    let output = command(&three.nodes[0], &["settings", "set", "server.threads=3", "--to", "all", "--restart"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("failed") && said.contains("Address already in use"), "{said}");
    assert!(
        said.contains("one.") && said.matches("waits, since a node before it could not restart").count() == 2,
        "{said}"
    );
    for (node, before) in three.nodes.iter().zip(&before) {
        assert_eq!(workers(node).await, *before);
        assert_eq!(status_of(node, 1).await, 200, "it serves");
    }

    for (at, name) in [(1, "two"), (2, "three")] {
        three.configure(at, name, ALLOWED_ON_DISK);
    }
    let said = three.sets(&["server.threads=4", "--to", "all", "--restart"]).await;
    assert_eq!(said.matches(": success").count(), 3, "{said}");
    three.follow(&[(0, before[0].0), (1, before[1].0), (2, before[2].0)]).await;
    for node in &three.nodes {
        assert_eq!(workers(node).await.1, 4);
    }
}
