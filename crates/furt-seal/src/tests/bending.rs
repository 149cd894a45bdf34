//! Messages that were bent on the way: each is refused, or is what was sent. Nothing panics.

use furt_bus::{Outgoing as Packet, Value};
use furt_cluster::{Protect, To};

use super::samples::{bodies, given, message, open, seal, secret};

/// The generator is seeded: a failure comes again.
const SEED: u64 = 16;
const ROUNDS: usize = 4_000;

fn value(random: &mut fastrand::Rng) -> Value {
    match random.u8(0..7) {
        0 => Value::Other,
        1 => Value::Boolean(random.bool()),
        2 => Value::Integer(random.i64(..)),
        3 => Value::Integer(i64::from(random.i8(..))),
        4 => Value::Bytes((0..random.usize(0..400)).map(|_| random.u8(..)).collect()),
        5 => Value::Text((0..random.usize(0..400)).map(|_| random.char(..)).collect()),
        _ => Value::Text((0..random.usize(0..400)).map(|_| random.alphanumeric()).collect()),
    }
}

fn bend(packet: &mut Packet, others: &[Packet], random: &mut fastrand::Rng) {
    let other = &others[random.usize(..others.len())];
    let names: Vec<_> = packet.properties.headers.keys().cloned().collect();
    let name = names.get(random.usize(..names.len().max(1))).cloned().unwrap_or_default();
    match random.u8(0..9) {
        0 if !packet.body.is_empty() => {
            let at = random.usize(..packet.body.len());
            packet.body[at] ^= 1 << random.u8(0..8);
        }
        1 => packet.body.truncate(random.usize(..=packet.body.len())),
        2 => packet.body.extend_from_slice(&other.body[random.usize(..other.body.len())..]),
        3 => packet.body.clone_from(&other.body),
        4 => packet.properties.headers.extend(other.properties.headers.get(&name).map(|it| (name, it.clone()))),
        5 => packet.properties.headers.extend([(name, value(random))]),
        6 => drop(packet.properties.headers.remove(&name)),
        7 => {
            if let Some(value) = packet.properties.headers.get_mut(&name) {
                bend_value(value, random);
            }
        }
        _ => {
            packet.properties.kind.clone_from(&other.properties.kind);
            packet.properties.content_encoding.clone_from(&other.properties.content_encoding);
            packet.key.clone_from(&other.key);
        }
    }
}

fn bend_value(value: &mut Value, random: &mut fastrand::Rng) {
    match value {
        Value::Text(text) => {
            let mut characters: Vec<char> = text.chars().collect();
            if !characters.is_empty() {
                let at = random.usize(..characters.len());
                characters[at] = random.alphanumeric();
            }
            *text = characters.into_iter().collect();
        }
        Value::Integer(number) => *number = number.wrapping_add(random.i64(-2..=2)),
        Value::Bytes(_) | Value::Boolean(_) | Value::Other => *value = Value::Other,
    }
}

#[test]
fn a_bent_message_is_refused_or_is_the_one_that_was_sent() {
    let (one, other) = (seal(0), seal(1));
    let mut packets = vec![given(&one)];
    for body in bodies() {
        for protect in [Protect::Signed, Protect::Cluster(secret().id())] {
            packets.push(one.seal(&message(To::All, protect, body.clone())).unwrap());
        }
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut opened, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let original = &packets[random.usize(..packets.len())];
        let mut packet = original.clone();
        for _ in 0..random.usize(1..4) {
            bend(&mut packet, &packets, &mut random);
        }
        match open(&other, &packet) {
            Ok((came, _)) => {
                // A number may be bent by nothing, and one message by another one into that one.
                let is_one = packets.iter().any(|sent| open(&other, sent).unwrap().0 == came);
                assert!(is_one, "round {round} of seed {SEED}: {packet:?}");
                opened += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(opened < ROUNDS / 4 && refused > ROUNDS / 2, "{opened} opened, {refused} refused");
}
