//! A seeded simulation of keys: random commands, writes that wait or fail, time, other configurations and restarts, and after
//! each of them every key that was ever asked for tried. What must hold follows from the answers alone: a key is good from
//! its answer on, until its end; from the command to revoke it on it is not. A failure names its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::tests::{Harness, Store, configured, digest, key, name};
use super::{KeyAnswer, KeyCommand, KeyRefusal};
use crate::model::{KeyName, OldDigest, RuntimeKey, Sha256Digest};
use crate::ports::Store as _;
use crate::registry::{Answer, Refusal, ReplyId};

const SEEDS: u64 = 256;
const STEPS: usize = 200;
const NAMES: [&str; 3] = ["a", "b", "c"];
const SECONDS: [u32; 4] = [1, 5, 30, 200];

/// What was asked, and when.
struct Asked {
    command: KeyCommand,
    at_ms: i64,
}

/// A key as the answers tell of it.
struct Known {
    key: RuntimeKey,
    is_revoked: bool,
}

struct Simulation {
    random: fastrand::Rng,
    furt: Harness,
    next_key: u32,
    all: Vec<String>,
    asked: BTreeMap<ReplyId, Asked>,
    /// The last command to revoke each name.
    revoked: BTreeMap<KeyName, ReplyId>,
    known: BTreeMap<KeyName, Known>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut furt = Harness::new();
        furt.store = Store::Waits;
        Self {
            random: fastrand::Rng::with_seed(seed),
            furt,
            next_key: 0,
            all: Vec::new(),
            asked: BTreeMap::new(),
            revoked: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    fn new_key(&mut self) -> String {
        self.next_key += 1;
        self.all.push(format!("k{}", self.next_key));
        format!("k{}", self.next_key)
    }

    fn step(&mut self) {
        match self.random.u8(..100) {
            0..25 => {
                let (name, text) = (self.one_of(&NAMES), self.new_key());
                let seconds = self.one_of(&SECONDS);
                let command =
                    if self.random.bool() { key(name, &text) } else { self.furt.expiring(name, &text, seconds) };
                self.ask(KeyCommand::Create(command));
            }
            25..40 => {
                let (text, seconds) = (self.new_key(), self.one_of(&[0, 0, 3, 60]));
                let (name, grace) = (name(self.one_of(&NAMES)), Duration::from_secs(seconds));
                self.ask(KeyCommand::Rotate { name, sha256: digest(&text), grace });
            }
            40..50 => {
                let name = name(self.one_of(&NAMES));
                self.ask(KeyCommand::Revoke(name));
            }
            50..80 => {
                let outcome = self.one_of(&[Store::Works, Store::Works, Store::Works, Store::Fails]);
                if !self.furt.writes.is_empty() {
                    self.furt.finish(outcome);
                }
            }
            80..93 => {
                let ms = self.one_of(&[1, 400, 1_000, 4_000, 30_000]);
                self.furt.pass_ms(ms);
            }
            93..97 => self.reconfigure(),
            _ => self.restart(),
        }
        self.take_answers();
        self.compare();
    }

    fn ask(&mut self, command: KeyCommand) {
        let at_ms = self.furt.now.unix_ms;
        let reply = self.furt.ask_key(command.clone());
        if let KeyCommand::Revoke(name) = &command {
            self.revoked.insert(name.clone(), reply);
            if let Some(known) = self.known.get_mut(name) {
                known.is_revoked = true;
            }
        }
        self.asked.insert(reply, Asked { command, at_ms });
    }

    fn reconfigure(&mut self) {
        let mut keys = Vec::new();
        if self.random.bool() {
            keys.push(configured(self.one_of(&NAMES), "of the configuration"));
        }
        if self.random.bool() && !self.all.is_empty() {
            let text = self.all[self.random.usize(..self.all.len())].clone();
            keys.push(configured("other", &text));
        }
        self.furt.configure_keys(keys);
    }

    /// What was answered is stored; what was asked and not answered may be.
    fn restart(&mut self) {
        let stored = self.furt.stored.load().unwrap().keys;
        let now_ms = self.furt.now.unix_ms;
        let unanswered: BTreeSet<_> = self.asked.values().map(|asked| asked.command.name().clone()).collect();
        for (name, known) in &self.known {
            if !known.is_revoked && !known.key.is_over(now_ms) && !unanswered.contains(name) {
                assert_eq!(stored[name].spec, known.key.spec, "{name} is stored");
            }
        }
        for name in stored.keys() {
            assert!(self.known.contains_key(name) || unanswered.contains(name), "{name} is stored for a reason");
        }
        self.furt.restart_same();
        self.furt.store = Store::Waits;
        self.asked.clear();
        self.revoked.clear();
        let known = |(name, key): (KeyName, std::sync::Arc<RuntimeKey>)| {
            (name, Known { key: RuntimeKey::clone(&key), is_revoked: false })
        };
        self.known = stored.into_iter().map(known).collect();
    }

    fn take_answers(&mut self) {
        for (reply, answer) in std::mem::take(&mut self.furt.answers) {
            let asked = self.asked.remove(&reply).expect("it was asked");
            match answer {
                Ok(Answer::Key(answer)) => self.take_good(reply, &asked, answer),
                Ok(other) => panic!("{other:?} is no answer to a command about a key"),
                Err(Refusal::Key(KeyRefusal::NotForgotten { name, .. })) => {
                    assert!(self.known.get(&name).is_none_or(|known| known.is_revoked), "{name} was to be revoked");
                }
                Err(_) => {}
            }
        }
    }

    fn take_good(&mut self, reply: ReplyId, asked: &Asked, answer: KeyAnswer) {
        let key = RuntimeKey::clone(&answer.key);
        let name = key.name().clone();
        let is_revoked = self.revoked.get(&name).is_some_and(|revoked| *revoked > reply);
        match &asked.command {
            KeyCommand::Create(commanded) => {
                assert_eq!(key, **commanded);
                self.known.insert(name, Known { key, is_revoked });
            }
            KeyCommand::Rotate { sha256, grace, .. } => {
                let before = self.known.insert(name, Known { key: key.clone(), is_revoked }).expect("a known key").key;
                self.check_rotation(asked, &before, &key, *sha256, *grace);
            }
            KeyCommand::Revoke(_) => {
                self.known.remove(&name);
            }
        }
    }

    fn check_rotation(
        &self,
        asked: &Asked,
        before: &RuntimeKey,
        after: &RuntimeKey,
        sha256: Sha256Digest,
        grace: Duration,
    ) {
        assert_eq!((after.spec.sha256, after.expires_ms), (sha256, before.expires_ms));
        let Some((newest, others)) = after.old.split_last().filter(|_| !grace.is_zero()) else {
            assert_eq!((&after.old[..], grace), (&[] as &[OldDigest], Duration::ZERO));
            return;
        };
        assert_eq!(newest.sha256, before.spec.sha256);
        let grace_ms = i64::try_from(grace.as_millis()).unwrap();
        assert!((asked.at_ms + grace_ms..=self.furt.now.unix_ms + grace_ms).contains(&newest.until_ms));
        assert!(others.iter().all(|old| before.old.contains(old)), "no end moves");
    }

    fn compare(&self) {
        let now_ms = self.furt.now.unix_ms;
        let configured: BTreeSet<_> = self.furt.configured.iter().map(|spec| spec.sha256).collect();
        let names: BTreeSet<_> = self.furt.configured.iter().map(|spec| &spec.name).collect();
        let mut expected = configured.clone();
        for (name, known) in &self.known {
            let key = &known.key;
            let is_blocked = names.contains(name) || configured.contains(&key.spec.sha256);
            if !known.is_revoked && !is_blocked && !key.is_over(now_ms) {
                expected.insert(key.spec.sha256);
                expected.extend(key.still_good(now_ms).map(|old| old.sha256));
            }
        }
        for text in &self.all {
            assert_eq!(self.furt.is_good(text), expected.contains(&digest(text)), "{text}");
        }
    }

    /// The store works: everyone is answered, and what is stored is what is known.
    fn drain(&mut self) {
        self.furt.configure_keys(Vec::new());
        for _ in 0..3 {
            self.furt.pass(2);
            while !self.furt.writes.is_empty() {
                self.furt.finish(Store::Works);
            }
        }
        self.take_answers();
        self.compare();
        assert_eq!((self.furt.unanswered(), self.furt.writes.len(), self.asked.len()), (0, 0, 0), "all are answered");
        let now_ms = self.furt.now.unix_ms;
        let known = self.known.iter().filter(|(_, known)| !known.is_revoked && !known.key.is_over(now_ms));
        let known: Vec<_> = known.map(|(name, known)| (name.clone(), known.key.spec.clone())).collect();
        let stored = self.furt.stored.load().unwrap().keys;
        let stored: Vec<_> = stored.into_iter().map(|(name, key)| (name, key.spec.clone())).collect();
        assert_eq!(stored, known);
    }
}

#[test]
fn a_key_is_good_from_its_answer_on_until_its_end() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            for _ in 0..STEPS {
                simulation.step();
            }
            simulation.drain();
        });
        assert!(run.is_ok(), "seed {seed} fails, as the panic before this one says");
    }
}
